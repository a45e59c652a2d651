"""Hyperparameters of a model bundle, saved in its manifest."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Hyperparameters; architecture and training together, as they are saved together.

    The autoencoder's are those of arXiv:2510.14102; the alignment's were chosen on the validation
    split of the benchmark dataset.
    """

    seed: int = 0
    train_on: Literal["split", "all"] = "split"
    """``split``: the training split only; ``all``: everything but the validation split."""

    patch: int = 10
    width: int = 64
    layers: int = 3
    attention_heads: int = 4
    latent: int = 64
    autoencoder_epochs: int = 12
    autoencoder_batch: int = 128
    autoencoder_learning_rate: float = 1e-3

    text_components: int = 256
    """Principal components of the section embeddings that the text heads see."""
    hidden: int = 256
    shared: int = 64
    members: int = 4
    """Pairs of heads in the ensemble."""
    input_dropout: float = 0.2
    dropout: float = 0.5
    temperature: float = 0.07
    alignment_epochs: int = 80
    alignment_batch: int = 512
    alignment_learning_rate: float = 2e-3
    weight_decay: float = 0.01
    patience: int = 40
    """Epochs without better validation retrieval after which a pair of heads is done."""
    repeated_section: float = 0.3
    """Probability that one section stands in all three places, as a question does."""

    thinned_copies: int = 5
    """Copies of each spectrum with fewer counts that the heads are trained on besides it."""
    least_kept: float = 0.5
    """Smallest fraction of the counts that thinning keeps."""
