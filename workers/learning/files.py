"""Files of a round: written aside and renamed, so that what has a name is whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UnavailableError


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def draft_of(path: Path) -> Path:
    """Return where to write what shall have this name, empty."""
    draft = path.with_name(f".{path.name}")
    shutil.rmtree(draft, ignore_errors=True)
    return draft


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Translate the error of a disk that is full, or of a folder that may not be written."""
    try:
        yield
    except OSError as exc:
        raise UnavailableError(
            f"{folder} cannot be written ({exc.strerror or exc}): make room and repeat the "
            "command, it goes on from the last step that was completed; the store is as it was"
        ) from exc
