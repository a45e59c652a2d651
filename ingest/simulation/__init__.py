"""The parts of the built-in simulator: physics, instrument, population, measurement, prose."""
