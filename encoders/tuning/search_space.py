"""Which hyperparameters are searched, in what range, and the file that holds what was found."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from optuna.distributions import FloatDistribution, IntDistribution

from common.errors import InputError, NotFoundError

Distribution = FloatDistribution | IntDistribution

SPACE: Final = MappingProxyType[str, Distribution](
    {
        # The paper ends at 1e-3; our optimizer decouples weight decay and warms up, and the best
        # rate found by hand, 3e-3, lies beyond.
        "alignment_learning_rate": FloatDistribution(1e-4, 5e-3, log=True),
        "shared": IntDistribution(16, 128, log=True),
        "dropout": FloatDistribution(0.1, 0.5),
        "hidden": IntDistribution(16, 1024, log=True),
        "temperature": FloatDistribution(0.02, 0.2, log=True),
        "dropped_sentences": FloatDistribution(0.0, 0.3),
    }
)
"""Of our recipe: the grid of arXiv:2603.04516, and besides it the temperature to begin with and
the part of the sentences left out."""

PAPER_SPACE: Final = MappingProxyType[str, Distribution](
    {
        "alignment_learning_rate": FloatDistribution(1e-4, 1e-3, log=True),
        "shared": IntDistribution(16, 128, log=True),
        "dropout": FloatDistribution(0.1, 0.5),
        "hidden": IntDistribution(16, 1024, log=True),
    }
)
"""The grid of arXiv:2603.04516 and nothing else."""


def space_of(recipe: str) -> Mapping[str, Distribution]:
    """Return what is searched for a recipe."""
    return PAPER_SPACE if recipe == "paper" else SPACE


_EXPECTED: Final = "give a file that chandra-search tune --out has written"


def read_settings(path: Path, recipe: str = "ours") -> dict[str, Any]:
    """Return the settings of a document that ``chandra-search tune`` has written.

    Parameters
    ----------
    path : Path
        JSON with an object ``settings``, whose names and ranges are those of `space_of`.
    recipe : str
        Recipe that they shall be for.

    Returns
    -------
    dict
        Arguments of `TrainingConfig`.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is something else or of another recipe, or a value is out of its range.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise NotFoundError(
            f"no settings file {path}: make one with chandra-search tune --out"
        ) from exc
    except (OSError, ValueError) as exc:
        raise InputError(f"{path} cannot be read as JSON ({exc}): {_EXPECTED}") from exc
    settings = document.get("settings") if isinstance(document, dict) else None
    if not isinstance(settings, dict) or not settings:
        raise InputError(f"{path} has no settings: {_EXPECTED}")
    found_for = document.get("recipe", "ours")
    if found_for != recipe:
        raise InputError(
            f"{path} was found for --recipe {found_for}: give that recipe, or settings that "
            f"chandra-search tune --recipe {recipe} has found"
        )
    for name, value in settings.items():
        _check_setting(path, space_of(recipe), name, value)
    return settings


def _check_setting(path: Path, space: Mapping[str, Distribution], name: str, value: object) -> None:
    if name not in space:
        raise InputError(f"{path}: unknown setting {name!r}: known are {', '.join(space)}")
    allowed = space[name]
    whole = isinstance(allowed, IntDistribution)
    right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (right_type and allowed.low <= value <= allowed.high):  # type: ignore[operator]
        kind = "a whole number" if whole else "a number"
        raise InputError(
            f"{path}: {name} is {value!r}: give {kind} from {allowed.low} to {allowed.high}"
        )
