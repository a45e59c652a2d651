"""What a round of learning was asked to do, and what it needs to do it."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from common.dataset import Dataset
from common.errors import InputError, InvalidTableError

FEWEST = {"train": 60, "validation": 10, "test": 20}
"""Sources with a text of their own in each part: with fewer, better cannot be told from luck."""
ABOUT_ENOUGH = 150


@dataclass(frozen=True, slots=True)
class Wish:
    """What whoever begins a round may choose; None leaves it to the round.

    Attributes
    ----------
    seed : int
        Equal seeds give equal bundles.
    profile : str
        How much time training may take, a `encoders.config.Profile`.
    simulated_share : float or None
        Simulated sources among those trained on.
    """

    seed: int = 0
    profile: str = "standard"
    simulated_share: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A round under way.

    Attributes
    ----------
    begun : str
        When, UTC.
    old : str
        Model of the store, which the new one must be better than.
    old_bundle : str
        Its folder.
    wish : Wish
        What was asked for.
    simulated_share : float
        What became of that.
    n_detections, n_sources, n_texts : int
        What there is to learn from.
    simulated : bool
        Whether some of the spectra are simulated.
    notes : tuple of str
        What was left out and why.
    """

    begun: str
    old: str
    old_bundle: str
    wish: Wish
    simulated_share: float
    n_detections: int
    n_sources: int
    n_texts: int
    simulated: bool
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the document that `from_json` reads."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, path: Path) -> "Plan":
        """Read a plan, or raise InputError that says which file to remove."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            values = {field.name: document[field.name] for field in fields(cls)}
            values["wish"] = Wish(**values["wish"])
            values["notes"] = tuple(values["notes"])
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise InputError(
                f"{path} cannot be read ({exc}): remove {path.parent} to begin a new round"
            ) from exc


def only_simulated(dataset: Dataset) -> list[str]:
    """Return a note where nothing but simulations can be learnt from."""
    if all(detection.simulated for detection in dataset.detections):
        return ["all spectra of the store are simulated: what is learnt is the simulation"]
    return []


def check_enough(dataset: Dataset, notes: tuple[str, ...] = (), test: bool = True) -> None:
    """Raise where too few sources have a text of their own to learn from and to judge by.

    Parameters
    ----------
    dataset : Dataset
        Pairs of a store.
    notes : tuple of str
        What was left out of it, which may be why.
    test : bool
        Whether a test part is needed too.

    Raises
    ------
    InvalidTableError
        That says how many there are, and how many are needed.
    """
    found: dict[str, int] = {}
    split = dataset.split()
    for part in FEWEST if test else ("train", "validation"):
        texts = [dataset.texts_of(source) for source in split[part].tolist()]
        distinct = {text.summary.hash() for of_source in texts for text in of_source}
        found[part] = min(sum(map(bool, texts)), len(distinct))
    if all(n >= FEWEST[part] for part, n in found.items()):
        return
    n = dataset.n_sources
    paired = sum(bool(dataset.texts_of(source)) for source in range(n))
    told = ", ".join(f"{n:,} of {FEWEST[part]} for {part}" for part, n in found.items())
    why = "".join(f"; {note}" for note in notes)
    raise InvalidTableError(
        f"{dataset.name} has too few pairs to learn from: {n:,} sources with a spectrum, "
        f"{paired:,} of them with a text; by the hash of their names, sources with a text of "
        f"their own: {told}{why}. Ingest papers about more sources, until about "
        f"{ABOUT_ENOUGH} have both"
    )
