"""Official benchmark files, checked and brought into the form that the tables read."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from graphnas.data_folder import data_folder
from graphnas.evaluate.nasbench101 import NASBench101Table
from graphnas.evaluate.nasbench101_import import convert_tfrecord, whole_file
from graphnas.evaluate.nasbench201 import NASBench201Times
from graphnas.evaluate.parquet_table import read_layout
from graphnas.evaluate.table import Table
from graphnas.evaluate.tables import TABLES, kind_of_table
from graphnas.formats.tfrecord import starts_like_a_record

_PICKLES = (".pth", ".pt", ".tar", ".pickle", ".pkl", ".p", ".pbz2", ".bz2")


class Imported(NamedTuple):
    """What an import left."""

    path: Path
    """The file in the data folder."""
    rows: int
    """Rows of the table."""
    detail: str
    """What was found, for people."""


def import_file(
    path: str | Path, folder: str | Path | None = None, *, progress: Callable[[int], None] | None = None
) -> Imported:
    """Check a benchmark file and put it into a data folder: convert an official one, copy one in our form.

    Args:
        path: NAS-Bench-101's official tfrecord, or a table in the form that is read here.
        folder: The data folder; that of GRAPHNAS_DATA, or `~/.cache/graphnas`, if None.
        progress: Called with the number of bytes read since the last call.

    Raises:
        FileExistsError: if the folder holds the table already; it is left as it is.
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, the place in it where there is one, and what is wrong.
    """
    path, folder = Path(path), data_folder() if folder is None else Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    if _holds_pickles(path):
        forms = ", ".join(kind.file for kind in TABLES.values() if not kind.shipped)
        raise ValueError(
            f"{path} holds pickles, as all official archives of NAS-Bench-201 and NATS-Bench do: reading one executes "
            f"code that it may contain, so graphnas reads none. Import the table in its Parquet form instead, "
            f"nasbench201.parquet (known tables: {forms})"
        )
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, but got a folder")
    if path.suffix == ".tfrecord" or starts_like_a_record(path):
        target = _target(path, folder, NASBench101Table.file)
        rows = convert_tfrecord(path, target, progress=progress)
        return Imported(target, rows, f"{rows:,} of 423,624 cells converted")
    table = _recognise(path)
    try:
        detail = table.verify()
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    target = _target(path, folder, table.file)
    with whole_file(target) as part:
        shutil.copyfile(path, part)
    return Imported(target, len(table), f"{detail}; copied")


def _recognise(path: Path) -> Table | NASBench201Times:
    with path.open("rb") as file:
        head = file.read(4)
    kind = kind_of_table(path)
    if kind is not None and not kind.shipped:
        return kind(path)
    if head == b"PAR1" and not set(NASBench201Times.needs) - set(read_layout(path)[0]):
        return NASBench201Times(path)
    forms = ", ".join(one.file for one in TABLES.values() if not one.shipped)
    raise ValueError(
        f"{path}: expected the official nasbench_only108.tfrecord or nasbench_full.tfrecord, or a table in the form of "
        f"{forms}, but the file begins with {head!r}"
    )


def _target(path: Path, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    if target.exists():
        raise FileExistsError(f"{target} is there already; {path} was not imported: remove it, or give another folder")
    return target


def _holds_pickles(path: Path) -> bool:
    if path.is_dir():
        return any(one.suffix in _PICKLES for one in path.iterdir())
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PK\x03\x04":  # torch's archives, as well as npz files
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith(".pkl") for name in archive.namelist())
        except zipfile.BadZipFile:
            return False
    return path.suffix in _PICKLES or head[:3] == b"BZh" or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05")
