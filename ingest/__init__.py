"""The outside world -> records: OGIP files, catalogues, papers, datasets, simulation."""
