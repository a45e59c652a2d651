"""Where vectors live: one store, two engines."""
