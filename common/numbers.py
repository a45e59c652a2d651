"""Numbers in a sentence as features: a text model hardly tells a photon index of 1.4 from 1.9.

Each positive number enters by its decimal logarithm as points on circles of several periods, from
32 decades, which tells a column density from a redshift, to half a decade, which tells their values
apart. What a number means is left to the embedding of its sentence.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from common.ports import Float32Array

_CYCLES_PER_DECADE = 2.0 ** np.arange(-5, 2)
N_NUMBER_FEATURES = 1 + 2 * len(_CYCLES_PER_DECADE)

_LARGEST_EXPONENT = 60
_LARGEST_MANTISSA = 1e30
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺−", "0123456789-+-")  # noqa: RUF001
_POWER = r"10\s*(?:\^\s*\{?\s*([-+−]?\d{1,3})\}?|([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))"  # noqa: RUF001
_NUMBER = re.compile(
    # What stands in an exponent (cm^-2) or in a name (NGC4258) is no quantity.
    rf"\^\s*\{{?\s*[-+−]?\d+\}}?|[^\W\d]\w*"  # noqa: RUF001
    rf"|{_POWER}"
    r"|(\d+(?:\.\d+)?|\.\d+)(?:[eE]([-+]?\d{1,3})|\s*(?:\\times|\\cdot|[x×*·])\s*"  # noqa: RUF001
    rf"{_POWER})?(?!\w)"
)
_BETWEEN_QUANTITIES = re.compile(r"[,;]\s+|\s+(?=(?:and|with)\s+[^\W\d])")


def numbers_in(sentence: str) -> list[float]:
    """Return the positive numbers of a sentence, in any of the ways papers write powers of ten."""
    return [value for value, _ in located_numbers(sentence)]


def split_quantities(sentence: str) -> list[str]:
    """Split a sentence that states several quantities, at a comma or "and" between two of them."""
    parts, start, after_number = [], 0, None
    for _, (first, last) in located_numbers(sentence):
        if after_number is not None:
            between = _BETWEEN_QUANTITIES.search(sentence, after_number, first)
            if between:
                parts.append(sentence[start : between.start()])
                start = between.end()
        after_number = last
    return [*parts, sentence[start:]]


def located_numbers(sentence: str) -> Iterator[tuple[float, tuple[int, int]]]:
    """Yield each positive number of a sentence with its place, first and last character."""
    for match in _NUMBER.finditer(sentence):
        power, raised, mantissa, exponent, times_power, times_raised = match.groups()
        if not (power or raised or mantissa):
            continue
        decades = power or raised or exponent or times_power or times_raised or "0"
        exponent_of_ten = int(decades.translate(_PLAIN))
        value = float(mantissa or 1)
        if 0 < value < _LARGEST_MANTISSA and abs(exponent_of_ten) <= _LARGEST_EXPONENT:
            yield value * 10.0**exponent_of_ten, match.span()


def number_features(sentences: Sequence[str]) -> Float32Array:
    """Describe the numbers of each sentence, shape (n, 15); all 0 without a number.

    Parameters
    ----------
    sentences : sequence of str, length n
        Sentences.

    Returns
    -------
    ndarray of float32, shape (n, 15)
        Whether there is a number, and the mean sines and cosines over the numbers.
    """
    features = np.zeros((len(sentences), N_NUMBER_FEATURES), dtype=np.float32)
    for row, sentence in enumerate(sentences):
        numbers = numbers_in(sentence)
        if numbers:
            features[row] = _features(np.log10(numbers))
    return features


def _features(decades: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    angle = 2 * np.pi * decades[:, None] * _CYCLES_PER_DECADE  # (n_number, n_period)
    return np.concatenate([[1.0], np.sin(angle).mean(0), np.cos(angle).mean(0)])
