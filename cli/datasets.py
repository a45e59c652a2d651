"""Datasets with all their texts, as the commands read them."""

from pathlib import Path

from common.dataset import Dataset
from common.ports import Progress, TextEmbedder
from ingest.dataset import read_dataset
from ingest.dataset_texts import read_abstracts, with_abstracts
from ingest.summaries import ExtractiveSummarizer


def read_with_texts(path: Path, embedder: TextEmbedder, progress: Progress) -> Dataset:
    """Read a dataset; its abstracts are summarised by sentences chosen on this machine."""
    papers = read_abstracts(path)
    dataset = read_dataset(path)
    return with_abstracts(dataset, papers, ExtractiveSummarizer(embedder), progress)
