"""Answers as text: a table for people, JSON, CSV, ECSV and VOTable."""
