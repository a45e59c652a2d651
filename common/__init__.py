"""Contracts every room shares: records, variables, source classes, errors, ports."""
