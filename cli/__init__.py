"""The ``chandra-search`` command."""
