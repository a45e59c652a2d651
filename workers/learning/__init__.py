"""Learn from what is ingested: train on the store, compare, and change only to what is better."""
