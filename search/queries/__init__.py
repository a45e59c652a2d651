"""What may be asked of the store, and how answers are found, ranked and cut into pages."""
