"""Hyperparameters searched on the validation split."""
