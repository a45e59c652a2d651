"""Records in, points in the store out."""
