"""Benchmark tables in Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graphnas.evaluate.table import Table


class ParquetTable(Table):
    """A table in a Parquet file; its metrics are the columns of floating numbers.

    A subclass adds how a row is found, and converts what is not in the library's units.
    """

    needs: ClassVar[tuple[str, ...]]
    """Columns without which the file is no such table."""
    texts: ClassVar[tuple[str, ...]] = ()
    """Columns that must hold texts."""
    codes: ClassVar[tuple[str, ...]] = ()
    """Columns that must hold lists of whole numbers."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._names, self._metrics, self._rows = read_layout(self.path)
        missing = [name for name in self.needs if name not in self._names]
        if missing:
            raise ValueError(f"{self.path}: expected the columns {', '.join(self.needs)}, but {missing[0]} is missing")

    def __len__(self) -> int:
        return self._rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self._names

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the columns of floating numbers."""
        return self._metrics

    def _read(self, name: str) -> NDArray[Any]:
        values = read_column(self.path, name)
        if name in self.texts and not all(isinstance(value, str) for value in values):
            raise ValueError(f"{self.path}: expected texts in {name}, but got {values[:1]}")
        if name in self.codes and (values.ndim != 2 or values.dtype.kind not in "iu"):
            raise ValueError(f"{self.path}: expected lists of whole numbers in {name}, but got {values[:1]}")
        return values


def read_layout(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Names of all columns of a Parquet file, of those with floating numbers, and the number of rows.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as stream:
        try:
            with pq.ParquetFile(stream) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}: expected a Parquet file, but {error}") from None
    # Frames of pandas leave columns of this form.
    fields = [field for field in schema if not field.name.startswith("__index_level_")]
    floating = tuple(field.name for field in fields if pa.types.is_floating(field.type))
    return tuple(field.name for field in fields), floating, rows


def read_column(path: Path, name: str) -> NDArray[Any]:
    """One column of a Parquet file: numbers, texts (dtype object), or `n x width` codes of lists of equal length.

    Raises:
        ValueError: if the file is damaged or the column has gaps where there can be none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream:
            column = pq.read_table(stream, columns=[name], use_threads=False).column(name).combine_chunks()
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        flat = (column.flatten() if is_list else column).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: column {name} cannot be read: {error}") from None
    if pa.types.is_floating(column.type):
        # A gap is a figure that was not measured.
        values: NDArray[Any] = flat.astype(np.float64)
        return values
    if column.null_count:
        raise ValueError(f"{path}: expected no gaps in {name}, but got {column.null_count}")
    if is_list:
        lengths = np.diff(column.offsets.to_numpy())
        if flat.dtype == object or np.unique(lengths).size > 1:
            raise ValueError(f"{path}: expected lists of equally many numbers in {name}")
        codes: NDArray[Any] = flat.reshape(len(column), -1)
        return codes
    return np.array(flat)


def distinct(values: Sequence[Any] | NDArray[Any]) -> int:
    """Number of different texts or rows."""
    return len({value.tobytes() if isinstance(value, np.ndarray) else value for value in values})
