"""Catalogue tables -> detections."""
