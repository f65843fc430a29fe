"""Architectures with known performances, curves and costs, on which predictors are compared."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from graphnas.analysis import labelled_cells, training_split
from graphnas.cell import Architecture, CellArrays
from graphnas.data_folder import data_folder
from graphnas.evaluate import Digits101Table, Table, open_table
from graphnas.formats.nasbench201 import OPERATIONS, from_string
from graphnas.predictors.protocol import FloatArray, Info
from graphnas.spaces import Space

IntArray = NDArray[np.int64]

_HELD_OUT = 42_000  # cells of NAS-Bench-101 that the shipped encoder was not fitted to


@dataclass(frozen=True)
class PredictionData:
    """What predictors are fitted to and asked about."""

    name: str
    """What it is called on the command line."""
    title: str
    """What a target is, for people."""
    space: Space
    """Space of the architectures."""
    cells: CellArrays
    """Cells of `n` architectures."""
    targets: FloatArray
    """`n` accuracies as fractions."""
    train: IntArray
    """Rows that may be learned from."""
    test: IntArray | None
    """Rows that are asked about; None if these are drawn anew for each seed from those not learned from."""
    curves: Mapping[str, FloatArray] = field(default_factory=dict)
    """`n x e` values after each epoch, by name; none where they are not known."""
    epochs: int | None = None
    """Epochs of a training."""
    seconds: FloatArray | None = None
    """`n` seconds of a training, the median of the known ones where they are not; None where none is known, and a
    training counts one."""
    truth: FloatArray | None = None
    """`n` accuracies of other trainings, which predictions are compared with; the targets if None."""
    task: str | None = None
    """Task on which untrained networks are scored; None where networks of these cells cannot be built."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes of these networks, in place of the space's proxy sizes; as deep as those whose performance is predicted,
    without which gradients say something else."""

    def architectures(self, rows: IntArray) -> CellArrays:
        """The cells of some architectures."""
        return self.space.take(self.cells, rows)

    def info(self, rows: IntArray, epochs: int | None, scores: Mapping[str, FloatArray]) -> Info:
        """What is known of some architectures after so many epochs; no curves if None."""
        curves = {} if epochs is None else {name: values[rows, :epochs] for name, values in self.curves.items()}
        return Info(curves, scores, self.epochs)

    def cost(self, rows: IntArray) -> FloatArray:
        """Seconds of whole trainings."""
        return np.ones(len(rows)) if self.seconds is None else self.seconds[rows]


def _nasbench101() -> PredictionData:
    """Cells that the shipped encoder was not fitted to, the last 5,000 of them for testing."""
    space = Space.load("nasbench101")
    split = training_split(space, held_out=_HELD_OUT, seed=0)
    known = labelled_cells(space, split.held_out)
    return PredictionData(
        "nasbench101", f"NAS-Bench-101, {known.title}", space, known.cells, known.labels, known.rows, known.test,
        seconds=_seconds(open_table("nasbench101"), space.from_arrays(known.cells), 108), task="cifar10",
        sizes={"channels": 16, "cells_per_stack": 3},
    )  # fmt: skip


def _nasbench201() -> PredictionData:
    """A cell of each class that the table knows, however often the class occurs; encoders know their graphs."""
    space, table = Space.load("nasbench201"), open_table("nasbench201")
    cells = space.to_arrays(list(space.enumerate()))
    architectures = space.from_arrays(cells)
    rows = [table.row(architecture) for architecture in architectures]
    targets = table.column("c10_val_200")[[row for row in rows if row is not None]].astype(np.float64)
    return PredictionData(
        "nasbench201", "NAS-Bench-201, CIFAR-10 validation accuracy", space, cells, targets, np.arange(len(targets)),
        None, seconds=_seconds(table, architectures, 200), task="cifar10",
        sizes={"channels": 16, "cells_per_stage": 5},
    )  # fmt: skip


def _seconds(table: Table, architectures: Sequence[Architecture], epochs: int) -> FloatArray | None:
    """Seconds of trainings that a table knows of some, and their median of the others."""
    rows = [table.row(architecture) for architecture in architectures]
    known = np.array([math.nan if row is None else table.cost(row, epochs) or math.nan for row in rows])
    return None if np.isnan(known).all() else np.where(np.isnan(known), np.nanmedian(known), known)


def _digits101() -> PredictionData:
    """Curves of the first of the three trainings of every cell; targets are its last validation accuracies.

    What is predicted is the mean of the two others, so that noise which a curve and its end share is of no use.
    """
    table = Digits101Table.open()
    rows = np.arange(len(table))
    cells = table.cells()
    curves = {
        name: table.column(f"{name}_curves")[:, 0]
        for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    }
    others = table.column("validation_accuracy_curves")[:, 1:, -1].astype(np.float64).mean(1)
    return PredictionData(
        "digits101", "digits101, mean validation accuracy of two other trainings", Space.load("digits101"), cells,
        curves["validation_accuracy"][:, -1], rows, None, curves, table.epochs, table.column("cpu_seconds"), others,
        "digits#300",
    )  # fmt: skip


def _spikenas() -> PredictionData:
    """Spiking networks of NAS-Bench-201's graph; those of its five operations that they have not stand for theirs.

    The first of each class of isomorphic cells, whose trainings differ by noise alone.
    """
    table = pq.read_table(data_folder() / "spikenas_cifar10.parquet").sort_by("index")
    lengths = np.array([len(row) for row in table["val_acc"].to_pylist()])
    space = Space.load("nasbench201")
    rows = np.flatnonzero(lengths == 100)
    cells = space.to_arrays([_spiking(digits) for digits in table["ops"].take(rows).to_pylist()])
    _, first = np.unique(space.hashes(cells), return_index=True)
    first = np.sort(first)
    rows, cells = rows[first], cells.take(first)
    taken = table.take(rows)
    curves = {
        name: np.stack([np.asarray(values, dtype=np.float64) for values in taken[column].to_pylist()]) / unit
        for name, column, unit in (
            ("train_loss", "train_loss", 1), ("train_accuracy", "train_acc", 100),
            ("validation_loss", "val_loss", 1), ("validation_accuracy", "val_acc", 100),
        )
    }  # fmt: skip
    return PredictionData(
        "spikenas", "SpikeNAS-Bench, CIFAR-10 test accuracy", space, cells,
        taken["test_acc"].to_numpy().astype(np.float64) / 100, np.arange(len(rows)), None, curves, 100,
        taken["elapsed_s"].to_numpy().astype(np.float64),
    )  # fmt: skip


def _spiking(digits: list[int]) -> Architecture:
    """The cell of operations on the edges (0,1), (0,2), (0,3), (1,2), (1,3), (2,3)."""
    a, b, c, d, e, f = (OPERATIONS[digit] for digit in digits)
    return Architecture("nasbench201", (from_string(f"|{a}~0|+|{b}~0|{d}~1|+|{c}~0|{e}~1|{f}~2|"),))


PREDICTION_DATA: dict[str, Callable[[], PredictionData]] = {
    "digits101": _digits101,
    "nasbench101": _nasbench101,
    "nasbench201": _nasbench201,
    "spikenas": _spikenas,
}
"""By name; all but the first need a table in the data folder."""


@functools.cache
def prediction_data(name: str) -> PredictionData:
    """Architectures to compare predictors on.

    Raises:
        FileNotFoundError: naming the missing file.
        ValueError: if there are none of that name.
    """
    if name not in PREDICTION_DATA:
        raise ValueError(f"Expected data of {', '.join(PREDICTION_DATA)}, but got {name!r}")
    return PREDICTION_DATA[name]()
