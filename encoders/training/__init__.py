"""A dataset -> a trained bundle."""
