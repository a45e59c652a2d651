"""Protocols of the Virtual Observatory."""
