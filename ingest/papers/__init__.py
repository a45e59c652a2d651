"""Papers from files, and summaries of them."""
