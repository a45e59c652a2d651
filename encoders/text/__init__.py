"""Texts -> vectors and concepts."""
