"""A folder of an embedded collection in one file.

Most of a small collection are zeros that the engine has laid out in advance, half a gigabyte of
them: the file is compressed lightly, and what is unpacked has holes where zeros were.
"""

import os
import tarfile
from pathlib import Path
from typing import IO

_COPY = 4 * 1024 * 1024  # after each piece other threads may run: small ones would take for ever
_BLOCK = 64 * 1024
_ZEROS = bytes(_BLOCK)


def pack(folder: Path, path: Path) -> None:
    """Write a folder, whose files do not change meanwhile, into one file."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.copybufsize = _COPY  # type: ignore[attr-defined]  # typeshed does not know it
        archive.add(folder, arcname=".")


def unpack(path: Path, folder: Path) -> None:
    """Write such a file into a new folder, and nothing outside it."""
    folder.mkdir()
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            inside = tarfile.data_filter(entry, str(folder))
            if inside.isdir():
                (folder / inside.name).mkdir(parents=True, exist_ok=True)
            elif content := archive.extractfile(inside):
                with content, (folder / inside.name).open("wb") as file:
                    _copy(content, file)


def _copy(source: IO[bytes], file: IO[bytes]) -> None:
    """Copy a file, leaving out blocks of zeros."""
    while block := source.read(_BLOCK):
        if block == _ZEROS:
            file.seek(_BLOCK, os.SEEK_CUR)
        else:
            file.write(block)
    file.truncate()
