"""The jobs that fill the store."""
