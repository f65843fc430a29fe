"""Files of rows and columns that people give: CSV and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphnas.cli.console import BadData


def read_rows(path: Path, wanted: Callable[[str], bool]) -> tuple[list[str], list[Any]]:
    """Names and rows of a file whose name ends in `.csv` or `.parquet`.

    Args:
        path: The file. A CSV file is UTF-8, its first line are the names, its fields are text.
        wanted: Which columns of a Parquet file to read, by name; of a CSV file all are read.

    Returns:
        The names of the columns read, and the rows, each as long as the names.

    Raises:
        BadData: naming the file and the row, counted from 0.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise BadData(f"{path}: expected a name that ends in .csv or .parquet")
    return _parquet(path, wanted) if path.suffix == ".parquet" else _csv(path)


def _csv(path: Path) -> tuple[list[str], list[Any]]:
    import csv

    try:
        # Spreadsheets begin UTF-8 with a mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            try:
                rows = [row for row in reader if row]
            except csv.Error as error:
                raise BadData(f"{path}: line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: expected UTF-8, but {error}") from None
    names, rows = (rows[0], rows[1:]) if rows else ([], [])
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise BadData(f"{path}: row {number}: expected {len(names)} fields, but got {len(row)}")
    return names, rows


def _parquet(path: Path, wanted: Callable[[str], bool]) -> tuple[list[str], list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as stream:
        try:
            names = [name for name in pq.read_schema(stream).names if wanted(name)]
            # Threads of pyarrow beside those of torch abort the process if it ends soon after.
            columns = pq.read_table(stream, columns=names, use_threads=False).columns
            rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
        except (pa.ArrowException, OSError) as error:
            raise BadData(f"{path}: expected a Parquet file, but {error}") from None
    return names, rows
