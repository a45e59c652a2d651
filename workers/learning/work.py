"""The part of a round that needs no store: train a new bundle, score it and the old one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.calibration import write_calibration
from common.dataset import Dataset
from common.ports import Progress, no_progress
from common.representations import Representations
from ingest.dataset.dataset import read_dataset
from ingest.settings import IngestSettings
from ingest.simulation.mixing import mix_simulated
from workers.learning.files import draft_of, write_text, writing
from workers.learning.plan import Plan

if TYPE_CHECKING:  # torch takes seconds to load, and --help can do without
    from encoders.bundle import ModelBundle

PLAN, DATASET = "plan.json", "dataset"
_CHECKPOINTS, _BUNDLE, _REPORT = "checkpoints", "bundle", "report.json"

Load = Callable[[Path], "ModelBundle"]
Train = Callable[[Dataset, "ModelBundle", Plan, Path, Progress], "ModelBundle"]
"""Called with what to learn from, the old bundle, the plan, and a folder for checkpoints."""


class Work:
    """Train and score in the folder of a round, which holds its plan and its dataset.

    Parameters
    ----------
    folder : Path
        Folder of the round.
    load, train : callable or None
        How bundles are loaded and trained, by default as `chandra-search train` does.
    """

    def __init__(self, folder: Path, load: Load | None = None, train: Train | None = None) -> None:
        self.folder = folder
        self.bundle = folder / _BUNDLE
        self._load = load or _load
        self._train = train or train_on

    def run(self, progress: Progress = no_progress) -> dict[str, Any]:
        """Do what is still to be done, and return the report so far."""
        if self.is_done():
            return self.report()
        from encoders.evaluation.comparison import compare
        from encoders.evaluation.representations import represent

        plan = Plan.from_json(self.folder / PLAN)
        no_limits = IngestSettings(max_file_mb=1e9, max_text_characters=10**9)
        dataset = read_dataset(self.folder / DATASET, no_limits)
        old = self._load(Path(plan.old_bundle))
        if not self.bundle.exists():
            bundle = self._train(dataset, old, plan, self.folder / _CHECKPOINTS, progress)
            with writing(self.folder):
                draft = draft_of(self.bundle)
                bundle.save(draft)
                draft.rename(self.bundle)
        before = represent(dataset, old, progress)
        after = represent(dataset, self._load(self.bundle), progress)
        self._calibrate(after, progress)
        comparison = compare(before, after, seed=plan.wish.seed, progress=progress)
        report = {"plan": json.loads(plan.to_json()), **comparison.to_dict()}
        with writing(self.folder):
            write_text(self.folder / _REPORT, json.dumps(report, indent=2))
        return report

    def is_done(self) -> bool:
        """Return whether both models are scored."""
        return (self.folder / _REPORT).exists()

    def report(self) -> dict[str, Any]:
        """Return what the scores are."""
        document: dict[str, Any] = json.loads((self.folder / _REPORT).read_text(encoding="utf-8"))
        return document

    def _calibrate(self, vectors: Representations, progress: Progress) -> None:
        """Calibrate the new bundle on the validation part, where that is large enough."""
        from encoders.evaluation.calibrate import FEWEST, calibrate

        if min(len(vectors.split[part]) for part in ("train", "validation")) >= FEWEST:
            write_calibration(calibrate(vectors, progress), self.bundle)


def _load(folder: Path) -> "ModelBundle":
    from encoders.bundle import load

    return load(folder)


def train_on(
    dataset: Dataset, old: "ModelBundle", plan: Plan, checkpoints: Path, progress: Progress
) -> "ModelBundle":
    """Train a new bundle that begins with the old one; simulated pairs are mixed in."""
    from encoders.config import Profile
    from encoders.training.train import config_like, train

    config = config_like(old.manifest.config, Profile(plan.wish.profile), seed=plan.wish.seed)
    mixed = mix_simulated(dataset, plan.simulated_share, plan.wish.seed, progress)
    return train(mixed, old.embedder, config, progress, start=old, checkpoints=checkpoints)
