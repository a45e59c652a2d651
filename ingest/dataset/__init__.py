"""Datasets on disk: arrays of counts with their table, and texts."""
