"""The parts of a model fitted to data, one at a time."""
