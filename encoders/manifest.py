"""The manifest of a model bundle: what a model is made for and how it came about."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from common.errors import BundleError
from encoders.config import TrainingConfig

FORMAT_VERSION: Final = 3
MANIFEST: Final = "model.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is made for and how it came about."""

    text_model: str
    section_width: int
    config: TrainingConfig
    dataset: str
    simulated: bool
    summary_methods: Mapping[str, int]
    """How many of the summaries trained on were written by which method."""
    temperature: float
    """Divides cosines of the shared space where they are turned into probabilities."""
    started_from: str | None
    """``model_id`` of the bundle whose autoencoder training began with."""
    corpus: Mapping[str, int]
    """How many texts of which corpus taught the wording and the topic; empty: none."""
    split_sizes: Mapping[str, int]
    metrics: Mapping[str, Any]

    def to_json(self) -> str:
        """Return the canonical JSON that the hash covers."""
        return canonical({"format_version": FORMAT_VERSION, **asdict(self)})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the manifest of such a document."""
        fields = {k: v for k, v in content.items() if k not in ("format_version", "config")}
        return cls(config=TrainingConfig.from_dict(content["config"]), **fields)


def canonical(content: Mapping[str, Any]) -> str:
    """Return the JSON that a content hash covers."""
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the document of a bundle's folder.

    Raises
    ------
    BundleError
        If it is missing, no manifest, or of another format.
    """
    path = folder / MANIFEST
    try:
        content: dict[str, Any] | None = json.loads(read_file(path))
    except ValueError as exc:
        raise BundleError(f"{path} is no JSON ({exc}): copy or train the bundle again") from exc
    version = content.get("format_version") if isinstance(content, dict) else None
    if content is None or not isinstance(version, int):
        raise BundleError(f"{path} is no manifest of a model bundle: it has no format_version")
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path} has format {version}, this program reads {FORMAT_VERSION}: "
            f"{'update the program' if version > FORMAT_VERSION else 'train the bundle again'}"
        )
    return content


def read_file(path: Path) -> bytes:
    """Return the content of a file of a bundle.

    Raises
    ------
    BundleError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BundleError(
            f"{path} cannot be read ({exc.strerror}): name a folder that "
            "`chandra-search train` has written"
        ) from exc
