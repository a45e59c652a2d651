"""Datasets with all their texts, as the commands read them."""

from pathlib import Path

from cli.console import say
from cli.evaluation import data_dir_of, is_store
from common.dataset import Dataset
from common.ports import Progress, TextEmbedder
from ingest.dataset.dataset import ARRAYS, read_dataset
from ingest.dataset.texts import read_abstracts, with_abstracts
from ingest.papers.extractive import ExtractiveSummarizer
from ingest.simulation.mixing import default_share
from search.app import open_store
from search.collections.training_pairs import stored_pairs
from search.settings import SearchSettings
from workers.learning.plan import check_enough, only_simulated


def read_with_texts(path: Path, embedder: TextEmbedder, progress: Progress) -> Dataset:
    """Read a dataset; its abstracts are summarised by sentences chosen on this machine."""
    papers = read_abstracts(path)
    dataset = read_dataset(path)
    return with_abstracts(dataset, papers, ExtractiveSummarizer(embedder), progress)


def read_to_learn(path: Path, embedder: TextEmbedder, progress: Progress) -> tuple[Dataset, float]:
    """Read a dataset, or the pairs of a store; return also the share of simulated ones it wants.

    The store is the embedded one of a data folder, else the server of ``CHANDRA_QDRANT_URL``; it
    is closed again.

    Raises
    ------
    InvalidTableError
        If a store has too few pairs.
    """
    embedded = is_store(path)
    settings = SearchSettings(data_dir=data_dir_of(path))
    is_dataset = path.is_file() or (path / ARRAYS).is_file()
    if is_dataset or not (embedded or settings.qdrant_url):
        return read_with_texts(path, embedder, progress), 0.0
    if embedded:
        settings = settings.model_copy(update={"qdrant_url": None})
    with open_store(settings) as store:
        dataset, notes = stored_pairs(store, progress)
    check_enough(dataset, tuple(notes), test=False)
    for note in (*notes, *only_simulated(dataset)):
        say(f"note: {note}")
    return dataset, default_share(dataset)
