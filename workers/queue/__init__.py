"""Celery: the application, its tasks, and the processes that run them."""
