"""Arrays from strangers' ``.npz`` files: opened by name, sizes checked before anything is read."""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
from numpy.lib import format as npy

from common.errors import InvalidTableError

Array = npt.NDArray[Any]

MIB: Final = 2**20
_ITEM_BYTES: Final = 8  # numbers are worked on as float64, whatever the file stores
_KIND_NAMES: Final = {"i": "integers", "u": "integers", "f": "numbers", "U": "text", "b": "bool"}
_HEADER_READERS: Final = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
_READ_ERRORS: Final = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # an unknown compression
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(path: Path, kinds: Mapping[str, str], max_mb: float) -> dict[str, Array]:
    """Read the arrays of these names from an ``.npz`` file; others are not opened.

    Parameters
    ----------
    path : Path
        File as ``numpy.savez`` or ``numpy.savez_compressed`` writes it.
    kinds : mapping of str to str
        Array name -> the dtype kinds it may have, for instance ``iuf``.
    max_mb : float
        Largest size in MiB of all these arrays together, in memory.

    Returns
    -------
    dict of str to ndarray
        Those that are there, as stored.

    Raises
    ------
    InvalidTableError
        If the file cannot be read, or an array is too large or of another kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = [name for name in kinds if f"{name}.npy" in archive.NameToInfo]
            declared = sum(_declared_bytes(archive, path, name, kinds[name]) for name in present)
            if declared > max_mb * MIB:
                raise InvalidTableError(
                    f"{path.name}: its arrays take {declared / MIB:,.0f} MiB, more than "
                    f"{max_mb:g}: split the dataset, or raise CHANDRA_MAX_FILE_MB"
                )
            return {name: _read(archive, name) for name in present}
    except _READ_ERRORS as exc:
        raise InvalidTableError(
            f"{path.name}: cannot be read as .npz ({exc}): write it with numpy.savez_compressed"
        ) from exc


def _declared_bytes(archive: zipfile.ZipFile, path: Path, name: str, kinds: str) -> int:
    """Return the size an array says it has, once that agrees with the file."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in _HEADER_READERS:
            raise ValueError(f"array {name} has format version {version}")
        shape, _, dtype = _HEADER_READERS[version](file)
        header_bytes = file.tell()
    if dtype.kind not in kinds:
        raise InvalidTableError(
            f"{path.name}: array {name} is of type {dtype}, expected "
            + " or ".join(sorted({_KIND_NAMES[kind] for kind in kinds}))
        )
    size = math.prod(shape)
    if min(shape, default=0) < 0 or header_bytes + size * dtype.itemsize != member.file_size:
        raise ValueError(f"array {name} is not as long as its header says")
    return size * max(dtype.itemsize, _ITEM_BYTES)


def _read(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as file:
        array: Array = npy.read_array(file, allow_pickle=False)
    array.tolist()  # text that is no Unicode shows itself only here
    return array
