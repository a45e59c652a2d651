"""Recipes: what a model is composed of and how its parts are trained."""
