"""Which rows are learnt from, chosen on and tested: one split, or five folds by source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from common.errors import InvalidTableError
from common.representations import PARTS, Representations

IntArray = npt.NDArray[np.int64]

Scheme = Literal["fixed split", "cross-validated by source"]

N_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Rows of one round.

    Attributes
    ----------
    choice : sequence of pairs of ndarray of int64
        Where rules are chosen: neighbours are of the first, estimates for the second.
    reference, test : ndarray of int64
        Where they are tried: neighbours are of ``reference``, estimates for ``test``.
    """

    choice: Sequence[tuple[IntArray, IntArray]]
    reference: IntArray
    test: IntArray


def choose_scheme(representations: Representations, scheme: Scheme | None) -> Scheme:
    """Return the scheme asked for, else the fixed split unless there are no texts."""
    if scheme is not None:
        return scheme
    has_texts = "text" in representations.vectors or "shared_text" in representations.vectors
    return "fixed split" if has_texts else "cross-validated by source"


def make_folds(representations: Representations, scheme: Scheme, k: int, seed: int) -> list[Fold]:
    """Return the folds of a scheme.

    Raises
    ------
    InvalidTableError
        If there are too few detections or sources.
    """
    if scheme == "cross-validated by source":
        return _cross_validated(representations, k, seed)
    rows = {part: representations.split[part] for part in PARTS}
    found = {part: len(of_part) for part, of_part in rows.items()}
    if found["train"] < k or found["validation"] < 2 or found["test"] < 1:
        raise InvalidTableError(
            f"dataset {representations.dataset}: the splits have {found} detections to evaluate; "
            f"at least {k} to train on, 2 for validation and 1 to test are needed: give a dataset "
            "of about 20 sources or more"
        )
    return [Fold([(rows["train"], rows["validation"])], rows["train"], rows["test"])]


def _cross_validated(representations: Representations, k: int, seed: int) -> list[Fold]:
    sources, own = np.unique(representations.source, return_inverse=True)
    if len(sources) < N_FOLDS or len(own) < k + N_FOLDS:
        raise InvalidTableError(
            f"dataset {representations.dataset}: {len(sources)} sources with {len(own)} "
            f"detections are too few for {N_FOLDS} folds by source and {k} neighbours: give a "
            "larger one"
        )
    place = np.random.default_rng(seed).permutation(len(sources)) % N_FOLDS
    fold_of = place[own]  # (n,)
    folds = []
    for number in range(N_FOLDS):
        test = fold_of == number
        choice = [
            (np.flatnonzero(~test & (fold_of != other)), np.flatnonzero(fold_of == other))
            for other in range(N_FOLDS)
            if other != number
        ]
        folds.append(Fold(choice, np.flatnonzero(~test), np.flatnonzero(test)))
    return folds
