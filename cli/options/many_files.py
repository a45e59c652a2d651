"""``--corpus FILE…``: an option that takes all the files after it, as a shell's ``*`` gives."""

import re
from collections.abc import Sequence
from typing import Any, Final

from typer.core import TyperCommand

OPTION: Final = "--corpus"
_CORPUS: Final = re.compile(r"\.jsonl?(?:\.gz)?$", re.IGNORECASE)


class ManyFiles(TyperCommand):
    """A command whose ``--corpus`` need not be repeated before each of its files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer's own)
        """Parse the arguments once the option stands before each file."""
        return super().parse_args(ctx, spread(args))


def spread(arguments: Sequence[str]) -> list[str]:
    """Repeat ``--corpus`` before each file that follows one; other arguments end the list.

    A file is told from a dataset by its name: ``.jsonl``, ``.json``, also ``.gz``.
    """
    out: list[str] = []
    follows = False
    for place, argument in enumerate(arguments):
        if argument == "--":
            return [*out, *arguments[place:]]
        if argument == OPTION:
            follows = True
        elif follows and out[-1] != OPTION:
            follows = _CORPUS.search(argument) is not None and not argument.startswith("-")
            out += [OPTION] if follows else []
        out.append(argument)
    return out
