"""Builds what the jobs need; nothing is built on import."""

from ingest.summaries import ExtractiveSummarizer
from search.app import load_encoder, open_store
from search.settings import SearchSettings
from workers.pipeline import Pipeline


def open_pipeline(settings: SearchSettings) -> Pipeline:
    """Return the pipeline over the store and bundle of the settings; close its store after use."""
    encoder = load_encoder(settings)
    return Pipeline(open_store(settings), encoder, ExtractiveSummarizer(encoder.embedder))
