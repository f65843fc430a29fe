"""The benchmark tables that are known, and which of them a file holds."""

from __future__ import annotations

from pathlib import Path

from graphnas.evaluate.darts import DARTSTable
from graphnas.evaluate.digits101 import Digits101Table
from graphnas.evaluate.enas import ENASTable
from graphnas.evaluate.nasbench101 import NASBench101Table
from graphnas.evaluate.nasbench201 import NASBench201Table
from graphnas.evaluate.npz import npz_names
from graphnas.evaluate.parquet_table import ParquetTable, read_layout
from graphnas.evaluate.table import Table
from graphnas.spaces import Space

TABLES: dict[str, type[Table]] = {
    table.space: table for table in (NASBench101Table, NASBench201Table, ENASTable, DARTSTable, Digits101Table)
}
"""Tables by the name of their space."""


def open_table(space: str, path: str | Path | None = None) -> Table:
    """The benchmark table of a space.

    Args:
        space: Name of the space that is searched. A space of one's own has no table of its own, but may use the file
            of a known one, such as a table of NAS-Bench-101 for a part of that space.
        path: The file; the one in the data folder, or that of the library, if None.

    Raises:
        FileNotFoundError: naming the missing file and how to obtain it.
        ValueError: if no table of the space is known, or the file is the table of another one.
    """
    kind = TABLES.get(space)
    if path is None:
        if kind is None:
            raise ValueError(f"No benchmark table of {space} is known (only of {', '.join(TABLES)}); give its file")
        return kind.open()
    if not Path(path).is_file():
        return (kind or NASBench101Table).open(path)
    found = kind_of_table(path)
    if found is None:
        raise ValueError(f"{path}: expected a benchmark table, but its form or its columns are of none that is known")
    # Cells of a part of a space, which takes the whole one's encoder, are rows of the whole one's table.
    whole = Space.load(space).encoder.get("pretrained") if kind is not None else None
    if kind not in (None, found) and found.space != whole:
        raise ValueError(f"{path}: expected a table of {space}, but this is one of {found.space}")
    return found(path)


def kind_of_table(path: str | Path) -> type[Table] | None:
    """Which table a file holds, by its form and columns; None for any other file."""
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PK\x03\x04":
        try:
            names = npz_names(path)
        except ValueError:
            names = ()  # no whole archive, as the table says itself
        return NASBench101Table if set(Digits101Table.needs) - set(names) else Digits101Table
    if head != b"PAR1":
        return None
    names = read_layout(path)[0]
    fits = (kind for kind in TABLES.values() if issubclass(kind, ParquetTable) and not set(kind.needs) - set(names))
    return next(fits, None)
