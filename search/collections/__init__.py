"""The collections of a store: what they hold, and how one model's are seen."""
