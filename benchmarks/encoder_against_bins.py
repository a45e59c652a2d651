"""Does the autoencoder help? The same heads on its latents and on plain bins, by count decile.

    python benchmarks/encoder_against_bins.py ../shared/data/simbench

Everything but the input of the spectrum heads is the same: texts, pairs, thinned copies, ensemble,
schedule, seed. Scores are of the test split, which nothing is chosen by.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from common.dataset import Dataset, detections_of
from encoders.alignment import Alignment
from encoders.autoencoder import shapes
from encoders.bundle import SHIPPED_BUNDLE, load
from encoders.config import TrainingConfig
from encoders.fitting.checkpoint import Checkpoints
from encoders.fitting.fit_alignment import Pairs, fit_alignment
from encoders.fitting.fit_autoencoder import encode, thin
from encoders.retrieval import rank_sources, rank_texts
from encoders.text.embedders import SentenceTransformerEmbedder
from encoders.text.sentences import SentenceSets, embed_sentences
from encoders.training.train import prepare
from ingest.dataset.dataset import read_dataset

INPUTS = ("latent", "shape", "log(1 + counts)")


def main() -> None:
    """Train the heads on each input in turn and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--start", type=Path, default=SHIPPED_BUNDLE, help="bundle to start from")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dataset, embedder = read_dataset(arguments.dataset), SentenceTransformerEmbedder()
    config = TrainingConfig(seed=arguments.seed)
    prepared = prepare(dataset, embedder, config, start=load(arguments.start))
    split = dataset.split()
    rows = {part: detections_of(dataset, split[part]) for part in ("train", "validation", "test")}
    texts = {
        part: embed_sentences(
            embedder, [s for s in map(dataset.summary_of, split[part].tolist()) if s]
        )
        for part in rows
    }
    console, retrieval, deciles = Console(), Table("heads see"), Table("counts")
    for column in ("to text @1%", "@5%", "@10%", "rank", "to spectrum @1%", "@5%", "@10%", "rank"):
        retrieval.add_column(column)
    median_rank: dict[str, list[float]] = {}
    total = dataset.counts[rows["test"]].sum(axis=1)
    bounds = np.quantile(total, np.linspace(0, 1, 11))
    decile = np.clip(np.searchsorted(bounds, total, side="right") - 1, 0, 9)
    for name in INPUTS:
        ranks_of_text, ranks_of_source, n = _ranks(
            name, prepared.model, dataset, rows, texts, config
        )
        cells = [
            f"{value:.1%}"
            for ranks in (ranks_of_text, ranks_of_source)
            for value in (
                *((ranks <= int(n * k / 100)).mean() for k in (1, 5, 10)),
                np.median(ranks) / n,
            )
        ]
        retrieval.add_row(name, *cells)
        median_rank[name] = [np.median(ranks_of_text[decile == d]) / n for d in range(10)]
        deciles.add_column(name)
    for d in range(10):
        cells = [f"{median_rank[name][d]:.1%}" for name in INPUTS]
        deciles.add_row(f"{bounds[d]:.0f}-{bounds[d + 1]:.0f}", *cells)
    console.print(f"{dataset.name}, test split, {n:,} sources; simulated: {dataset.simulated}")
    console.print(retrieval)
    console.print("median rank, spectrum to text, by counts of the spectrum")
    console.print(deciles)


def _ranks(name, model, dataset: Dataset, rows, texts: dict[str, SentenceSets], config):  # noqa: ANN001, ANN202
    """Train the heads on one kind of input and return the ranks of both directions."""
    rng = np.random.default_rng([config.seed, 2])
    training = dataset.counts[rows["train"]]
    copies = [
        training,
        *(thin(training, config, rng) for _ in range(config.thinned_copies)),
    ]
    inputs = {part: _inputs(name, model, dataset.counts[of_part]) for part, of_part in rows.items()}
    many = torch.stack([_inputs(name, model, each) for each in copies])
    torch.manual_seed(config.seed)
    alignment = Alignment(
        texts["train"].embeddings.shape[1], replace(config, latent=many.shape[-1])
    )
    alignment.fit_inputs(many[0], torch.from_numpy(texts["train"].embeddings))
    pairs = {
        part: Pairs(
            latents=alignment.prepare_latents(many if part == "train" else inputs[part][None]),
            sentences=alignment.prepare_sentences(
                torch.from_numpy(texts[part].embeddings), torch.from_numpy(texts[part].numbers)
            ),
            of_text=torch.from_numpy(texts[part].of_text),
            source=np.unique(dataset.source[rows[part]], return_inverse=True)[1],
        )
        for part in rows
    }
    fit_alignment(
        alignment,
        pairs["train"],
        pairs["validation"],
        config,
        Checkpoints(None, ""),
        lambda *_: None,
    )
    test = pairs["test"]
    with torch.no_grad():
        spectra = alignment.place(test.latents[0]).numpy()
        found = alignment.read(test.sentences, test.of_text).numpy()
    each = rank_texts(spectra, found, test.source), rank_sources(spectra, found, test.source)
    return np.array(each[0].ranks), np.array(each[1].ranks), len(found)


def _inputs(name: str, model, counts: np.ndarray) -> torch.Tensor:  # noqa: ANN001
    if name == "latent":
        return encode(model.autoencoder, counts).clone()
    bins = torch.from_numpy(counts.astype(np.float32))
    return shapes(bins) if name == "shape" else bins.log1p()


if __name__ == "__main__":
    main()
