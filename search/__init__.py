"""Vectors <-> answers: store, filters, queries, HTTP API."""
