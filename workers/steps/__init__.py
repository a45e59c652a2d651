"""The steps of continuous ingestion: discover, fetch, store, refresh."""
