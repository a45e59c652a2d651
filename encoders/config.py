"""Hyperparameters of a model bundle, saved in its manifest."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Hyperparameters; architecture and training together, as they are saved together.

    They were chosen on the validation split of the benchmark dataset
    (docs/decisions/0005-encoders.md). `config_of` returns those of another recipe.
    """

    recipe: Literal["ours", "paper"] = "ours"
    """What the model is composed of and how it is trained, see `encoders.recipes`."""
    seed: int = 0
    train_on: Literal["split", "all"] = "split"
    """``split``: the training split only; ``all``: everything but the validation split."""

    patch: int = 20
    width: int = 64
    encoder_layers: int = 3
    decoder_layers: int = 1
    attention_heads: int = 4
    latent: int = 64
    variable_weight: float = 0.1
    """Weight of the loss of the catalogue variables beside that of the shape."""
    autoencoder_epochs: int = 10
    autoencoder_batch: int = 128
    autoencoder_learning_rate: float = 1e-3

    text_components: int = 128
    """Principal components of the sentence embeddings that the text heads see."""
    hidden: int = 256
    shared: int = 64
    members: int = 4
    """Pairs of heads in the ensemble."""
    candidates: int = 4
    """Pairs of heads trained, of which the best on the validation split become members."""
    input_dropout: float = 0.1
    dropout: float = 0.3
    dropped_sentences: float = 0.1
    """Part of a text's sentences left out when it is seen in training."""
    brief_texts: float = 0.2
    """Part of the texts of which any part is left out, as questions say less than summaries."""
    temperature: float = 0.07
    symmetric: bool = True
    """InfoNCE in both directions; False: from text to spectrum alone, as in the paper."""
    alignment_epochs: int = 40
    alignment_batch: int = 256
    alignment_learning_rate: float = 3e-3
    weight_decay: float = 0.01
    patience: int = 20
    """Epochs without a better validation result after which a part is done."""

    thinned_copies: int = 8
    """Copies of each spectrum with fewer counts that the heads are trained on besides it."""
    least_kept: float = 0.5
    """Smallest fraction of the counts that thinning keeps."""

    def __post_init__(self) -> None:
        if not 1 <= self.members <= self.candidates:
            raise ValueError(f"{self.members} members of {self.candidates} candidates")


class RecipeName(StrEnum):
    """Whose model is trained."""

    OURS = "ours"
    PAPER = "paper"


class Profile(StrEnum):
    """How much time training may take."""

    QUICK = "quick"
    STANDARD = "standard"
    BEST = "best"


_AS_PRINTED = MappingProxyType[str, Any](
    {
        "recipe": "paper",
        "variable_weight": 0.0,
        "autoencoder_epochs": 20,
        "text_components": 0,
        "hidden": 256,
        "members": 4,
        "candidates": 6,
        "input_dropout": 0.0,
        "dropout": 0.2,
        "dropped_sentences": 0.0,
        "brief_texts": 0.0,
        "symmetric": False,
        "alignment_epochs": 100,
        "alignment_learning_rate": 1e-3,
        "weight_decay": 0.0,
        "thinned_copies": 0,
        "least_kept": 1.0,
    }
)
"""The paper's recipe; what it has nothing of is 0."""

_QUICK = {"autoencoder_epochs": 0, "members": 1, "candidates": 1}
_PROFILES = MappingProxyType[tuple[RecipeName, Profile], dict[str, Any]](
    {
        (RecipeName.OURS, Profile.QUICK): {**_QUICK, "alignment_epochs": 20},
        (RecipeName.OURS, Profile.STANDARD): {},
        (RecipeName.OURS, Profile.BEST): {
            "autoencoder_epochs": 30,
            "members": 8,
            "candidates": 12,
            "thinned_copies": 16,
        },
        (RecipeName.PAPER, Profile.QUICK): {**_QUICK, "alignment_epochs": 50},
        (RecipeName.PAPER, Profile.STANDARD): {},
        (RecipeName.PAPER, Profile.BEST): {
            "autoencoder_epochs": 60,
            "members": 8,
            "candidates": 16,
        },
    }
)
"""What each profile changes; ``quick`` keeps the autoencoder that training starts from."""


def config_of(
    recipe: RecipeName = RecipeName.OURS,
    profile: Profile = Profile.STANDARD,
    **changes: Any,  # noqa: ANN401
) -> TrainingConfig:
    """Return the hyperparameters of a recipe and a profile, with some of them changed."""
    of_recipe = _AS_PRINTED if recipe is RecipeName.PAPER else {}
    return TrainingConfig(**{**of_recipe, **_PROFILES[recipe, profile], **changes})
