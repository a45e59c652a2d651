"""Names of objects in prose, however they are written: ``NGC 4258``, ``NGC4258``, ``ngc-4258``."""

import re
from collections.abc import Iterable
from typing import Final

_PART: Final = re.compile(r"[^\W\d_]+|\d+")
_FEWEST_CHARACTERS: Final = 3  # a shorter name would be found in any text


class ObjectNames:
    """A set of names to look for; blanks, hyphens, case and leading zeros make no difference."""

    def __init__(self, names: Iterable[str]) -> None:
        parts = {_parts(name): name for name in names}
        self._names = {
            own: name
            for own, name in parts.items()
            if sum(map(len, own)) >= _FEWEST_CHARACTERS and not all(map(str.isdigit, own))
        }
        self._lengths: dict[str, set[int]] = {}
        for own in self._names:
            self._lengths.setdefault(own[0], set()).add(len(own))

    def first_in(self, text: str) -> str | None:
        """Return the first name that a text holds, None where it holds none."""
        parts = _parts(text) if self._names else ()
        for start, first in enumerate(parts):
            for length in sorted(self._lengths.get(first, ())):
                name = self._names.get(parts[start : start + length])
                if name is not None:
                    return name
        return None


def _parts(text: str) -> tuple[str, ...]:
    """Return runs of letters and runs of digits, without what stands between them."""
    return tuple(
        part.lstrip("0") or "0" if part.isdigit() else part.casefold()
        for part in _PART.findall(text)
    )
