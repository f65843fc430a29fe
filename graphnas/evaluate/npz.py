"""Arrays of npz files, whatever such a file may hold."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Damaged members, headers that promise more than there is, unknown compressions, passwords.
_DAMAGES = (ValueError, EOFError, OSError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def npz_names(path: str | Path) -> tuple[str, ...]:
    """Names of the arrays of an npz file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: naming the file, if it is no npz file.
    """
    with _opened(Path(path)) as file:
        return tuple(file.files)


def read_npz(path: str | Path, name: str) -> NDArray[Any]:
    """One array of an npz file; nothing pickled is read.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: naming the file and the array, if it is missing, damaged, pickled or no array.
    """
    path = Path(path)
    with _opened(path) as file:
        if name not in file.files:
            raise ValueError(f"{path}: expected an array {name!r}, but got {', '.join(file.files) or 'none'}")
        try:
            values = file[name]
        except _DAMAGES as error:
            raise ValueError(f"{path}: column {name} cannot be read: {error}") from None
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path}: column {name} cannot be read: it is no array")
    return values


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    # Opened here, since numpy leaves the file open where it is no archive.
    with path.open("rb") as stream:
        try:
            file = np.load(stream, allow_pickle=False)
        except _DAMAGES:
            file = None
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError(f"{path}: expected an npz file of columns, but it is none, or not whole")
        with file:
            yield file
