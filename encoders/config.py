"""Hyperparameters of a model bundle, saved in its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, Self

BRIDGE_SHARES = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6)
"""Tried where there are real pairs, or simulated ones alone, to choose by."""

BRIDGE_SHARE_OF_WORDS = 0.9
"""Where words come from a corpus and pairs from simulation: such pairs cannot tell what real ones
need (docs/decisions/0013-concepts.md)."""


@dataclass(frozen=True, slots=True)
class TextConceptsConfig:
    """Hyperparameters, saved with the bundle; chosen in docs/decisions/0013-concepts.md."""

    seed: int = 0
    components: int = 256
    """Principal components of the sentence embeddings that the nets see."""
    hidden: int = 128
    members: int = 2
    topic_hidden: int = 48
    rules_share: float = 0.5
    """Part of the rules in the probabilities of concepts."""

    dropout: float = 0.3
    dropped_sentences: float = 0.2
    dropped_titles: float = 0.3
    templates: int = 5000
    """Short texts written for training, of which repetitions are left out."""
    template_share: float = 0.7
    """Part of the templates among what a batch is drawn from."""
    epochs: int = 80
    patience: int = 10
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.02


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
    most_counts: float = 3000.0
    """Counts to which brighter spectra are scaled down before they are encoded."""
    variable_weight: float = 0.1
    """Weight of the loss of the catalogue variables beside that of the shape."""
    autoencoder_epochs: int = 20
    autoencoder_steps: int = 5400
    """Steps after which a large training set has been learnt from enough, in whole epochs."""
    autoencoder_batch: int = 128
    autoencoder_learning_rate: float = 1e-3

    text_concepts: TextConceptsConfig = TextConceptsConfig()
    concept_hidden: int = 512
    concept_members: int = 3
    concept_copies: int = 3
    """Copies of each spectrum with fewer counts that concepts are learnt from besides it."""
    concept_epochs: int = 15
    concept_batch: int = 512
    concept_learning_rate: float = 3e-3
    concept_steadiness: float = 0.15
    """Weight of the distance between copies of a spectrum with more and with fewer counts."""

    bridge_share: float | None = None
    """Share of the bridge of concepts in a cosine of the shared space; None: the one of
    `BRIDGE_SHARES` with the best retrieval on the validation split."""

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
    most_sources: int = 10_000
    """Sources with texts that the heads are trained on; a fifth of it that they are judged by."""
    alignment_epochs: int = 40
    alignment_steps: int = 3000
    """Steps after which a large training set has been learnt from enough, in whole epochs."""
    alignment_batch: int = 256
    alignment_learning_rate: float = 3e-3
    weight_decay: float = 0.01
    patience: int = 20
    """Epochs without a better validation result after which a part is done."""

    thinned_copies: int = 8
    """Copies of each spectrum with fewer counts that the heads are trained on besides it."""
    least_kept: float = 0.5
    """Smallest fraction of the counts that thinning keeps, of spectra of few counts."""
    thinned_to: float = 1000.0
    """Counts that thinning leaves at least, of spectra of many."""

    def __post_init__(self) -> None:
        if not 1 <= self.members <= self.candidates:
            raise ValueError(f"{self.members} members of {self.candidates} candidates")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the hyperparameters of a manifest."""
        return cls(**{**content, "text_concepts": TextConceptsConfig(**content["text_concepts"])})


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
        "bridge_share": 0.0,
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
            "autoencoder_epochs": 40,
            "autoencoder_steps": 10_800,
            "members": 8,
            "candidates": 12,
            "thinned_copies": 16,
        },
        (RecipeName.PAPER, Profile.QUICK): {**_QUICK, "alignment_epochs": 50},
        (RecipeName.PAPER, Profile.STANDARD): {},
        (RecipeName.PAPER, Profile.BEST): {
            "autoencoder_epochs": 60,
            "autoencoder_steps": 10_800,
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
    """Return the hyperparameters of a recipe and a profile, with some of them changed.

    The seed is that of the reader of texts too.
    """
    of_recipe = _AS_PRINTED if recipe is RecipeName.PAPER else {}
    config = TrainingConfig(**{**of_recipe, **_PROFILES[recipe, profile], **changes})
    return replace(config, text_concepts=replace(config.text_concepts, seed=config.seed))
