"""A spectrum in plain language, each statement with its evidence."""
