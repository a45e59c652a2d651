"""Builds what the jobs need; nothing is built on import."""

from enum import StrEnum

from common.disk_cache import open_cache
from common.openai_api import OpenAIService
from common.ports import Summarizer, TextEmbedder
from common.settings import get_settings as shared_settings
from ingest.llm_summaries import OpenAISummarizer
from ingest.settings import get_settings as ingest_settings
from ingest.summaries import ExtractiveSummarizer
from search.app import load_encoder, open_store
from search.settings import SearchSettings
from workers.pipeline import Pipeline


class Summaries(StrEnum):
    """How papers are summarised."""

    EXTRACTIVE = "extractive"
    OPENAI = "openai"


def open_pipeline(
    settings: SearchSettings, summaries: Summaries = Summaries.EXTRACTIVE
) -> Pipeline:
    """Return the pipeline over the store and bundle of the settings; close its store after use."""
    encoder = load_encoder(settings)
    return Pipeline(open_store(settings), encoder, open_summarizer(encoder.embedder, summaries))


def open_summarizer(embedder: TextEmbedder, summaries: Summaries) -> Summarizer:
    """Return who summarises papers; what a language model does not is extracted."""
    extractive = ExtractiveSummarizer(embedder)
    if summaries == Summaries.EXTRACTIVE:
        return extractive
    shared = shared_settings()
    cache = open_cache(shared, loss="the next run pays for the same summaries again")
    return OpenAISummarizer(OpenAIService(shared), extractive, ingest_settings(), cache)
