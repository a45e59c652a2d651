"""Options that commands share, each spelled once."""
