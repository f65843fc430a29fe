"""Which measured cells an encoding is asked to rank, space by space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import CellArrays, IntArray
from graphnas.evaluate import Table, open_table
from graphnas.spaces import Space

FloatArray = NDArray[np.float64]

_MOST_TESTED = 5_000  # held-out cells whose labels are only predicted
_FAILED = 0.8  # NAS-Bench-101 accuracy below which a training counts as failed; all such are taken as equal


@dataclass(frozen=True)
class LabelledCells:
    """Architectures with a measured figure each."""

    cells: CellArrays
    """Their cells, in the form of the table."""
    labels: FloatArray
    """`n` figures; larger is better."""
    title: str
    """What a label is."""
    rows: IntArray
    """Architectures whose labels may be drawn."""
    test: IntArray | None
    """Those that are always predicted; None if every draw predicts another tenth of `rows`."""
    counts: tuple[int, ...]
    """Numbers of labels that are usual in this space, as far as there are so many."""
    large_draws: int
    """Draws that are enough for large numbers of labels, whose scores vary little and take long."""

    @property
    def most(self) -> int:
        """Most labels that can be drawn."""
        return len(self.rows) - (len(self.rows) // 10 if self.test is None else 0)


def labelled_cells(space: Space, held_out: CellArrays, table: Table | None = None) -> LabelledCells:
    """Measured cells of a space, none of which the encoder was fitted to where that can be had.

    NAS-Bench-101 and NAS-Bench-201: held-out cells, the last third of them (at most 5,000) for testing; of those of
    NAS-Bench-201 that are isomorphic one, since what sets their labels apart is noise. ENAS: the architectures of the
    table, whose rows before the end of the burn-in are left out as in D-VAE (Zhang et al. 2019).

    Args:
        space: The space.
        held_out: Cells that the encoder was not fitted to.
        table: The benchmark table; the one in the data folder if None.

    Raises:
        FileNotFoundError: naming the missing file and how to obtain it.
        ValueError: if no labels of the space are known, or the table does not hold its cells.
    """
    source = _SOURCES.get(space.name)
    if source is None:
        raise ValueError(f"no ranking is defined for {space.name}, only for {', '.join(_SOURCES)}")
    return source(space, held_out, open_table(space.name) if table is None else table)


def _nasbench101(space: Space, held_out: CellArrays, table: Table) -> LabelledCells:
    cells, values = _looked_up(space, held_out, table, "test_acc_run0")
    rows, test = _apart(len(values))
    title = f"test_acc_run0 clipped at {_FAILED}"
    return LabelledCells(cells, np.maximum(values, _FAILED), title, rows, test, (100, 1_000, 10_000), 3)


def _nasbench201(space: Space, held_out: CellArrays, table: Table) -> LabelledCells:
    cells, values = _looked_up(space, held_out, table, "c10_val_200")
    rows, test = _apart(len(values))
    classes = np.array(space.hashes(cells))
    _, first = np.unique(classes[test], return_index=True)
    test = test[np.sort(first)]
    test = test[~np.isin(classes[test], classes[rows])]
    return LabelledCells(cells, values, "c10_val_200", rows, test, (100, 1_000), 3)


def _enas(space: Space, held_out: CellArrays, table: Table) -> LabelledCells:
    del held_out  # far more are measured than could be held out, and no encoder was fitted to many of them
    rows = (
        np.flatnonzero(~table.column("burn_in").astype(bool)) if "burn_in" in table.columns else np.arange(len(table))
    )
    architectures = table.architectures(rows.tolist())
    space.validate(architectures[0])
    cells = space.to_arrays(architectures)
    known = np.arange(len(rows))
    most = len(rows) - len(rows) // 10
    values = table.column("acc")[rows].astype(np.float64)
    return LabelledCells(cells, values, "weight-sharing accuracy", known, None, (100, 1_000, most), 5)


_SOURCES: dict[str, Callable[[Space, CellArrays, Table], LabelledCells]] = {
    "nasbench101": _nasbench101,
    "nasbench201": _nasbench201,
    "enas": _enas,
}


def _looked_up(space: Space, cells: CellArrays, table: Table, column: str) -> tuple[CellArrays, FloatArray]:
    """Cells that the table has a figure of, and the figures."""
    if column not in table.metrics:
        raise ValueError(f"{table.path.name} has no {column}")
    found = [table.row(architecture) for architecture in space.from_arrays(cells)]
    known = np.array([row is not None for row in found], dtype=bool)
    values = table.column(column)[[row for row in found if row is not None]].astype(np.float64)
    measured = np.flatnonzero(known)[~np.isnan(values)]
    if measured.size < 100:
        raise ValueError(f"{table.path.name} has {column} of {measured.size} of {cells.n} held-out cells only")
    return cells.take(measured), values[~np.isnan(values)]


def _apart(n: int) -> tuple[IntArray, IntArray]:
    """Rows whose labels may be drawn, and rows to predict."""
    tested = min(_MOST_TESTED, n // 3)
    return np.arange(n - tested), np.arange(n - tested, n)
