"""What operators run: backup, change of model, verification."""
