"""digits101: all cells of NAS-Bench-101's space with at most five vertices, trained on digits; the library has it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.budgets import geometric_budgets
from graphnas.cell import Architecture, CellArrays
from graphnas.evaluate.npz import npz_names, read_npz
from graphnas.evaluate.table import Table, expect
from graphnas.spaces import Space

CURVES = ("validation_loss", "validation_accuracy", "train_loss", "train_accuracy")
"""What is known after every epoch."""

_FINAL = ("test_loss", "test_accuracy")
_COSTS = ("parameters", "macs", "cpu_seconds")
_RUNS = 3
_CELLS = 2_532


class Digits101Table(Table):
    """2,532 cells, each trained three times on 300 digits, with the curves of all trainings.

    A metric is the mean over the three trainings after the last epoch: losses in nats and accuracies as fractions of
    training, validation and test images. With the suffix `_run0`, `_run1` or `_run2` it is that of one training; curves
    have means after fewer epochs of the same trainings, `_e4` after four. `cpu_seconds` are those of a training,
    `parameters` and `macs` counts.
    """

    space = "digits101"
    file = "digits101.npz"
    title = "digits101, 2,532 cells trained on digits, three seeds (made by runs/digits101.py)"
    source = "`python runs/digits101.py train` and then `merge` make it in spaces/benchmarks/digits101"
    needs = ("hash", "ops", "adjacency", "size", "epochs", *CURVES, *_FINAL, *_COSTS)
    """Names of the arrays without which nothing works, by which a file is recognised."""
    query = "validation_accuracy"
    shipped = True
    continued = True

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        known = npz_names(self.path)
        missing = [name for name in self.needs if name not in known]
        if missing:
            raise ValueError(f"{self.path}: expected a table of digits101, but {missing[0]} is missing")
        self.epochs = int(read_npz(self.path, "epochs"))
        """Epochs of every training."""
        runs = tuple(f"{name}_run{run}" for name in (*CURVES, *_FINAL) for run in range(_RUNS))
        early = tuple(f"{name}_e{epoch}" for name in CURVES for epoch in range(1, self.epochs))
        self._metrics = (*CURVES, *_FINAL, *_COSTS, *runs, *early)
        self._loaded: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._cells.size)

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics, and for each curve all epochs of all trainings."""
        return (*self._metrics, *(f"{name}_curves" for name in CURVES))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Losses, accuracies and costs."""
        return self._metrics

    @property
    def report(self) -> tuple[str, ...]:
        """Test accuracy and the network's costs."""
        return ("test_accuracy", "parameters", "macs")

    def is_minimized(self, name: str) -> bool:
        """Whether the metric is a loss or a cost."""
        return "_loss" in name or name in _COSTS

    def budgets(self, query: str) -> Mapping[int, str]:
        """For the mean of a curve, what it is at the last epoch and at what division by three leaves of it."""
        if query not in CURVES:
            return {}
        budgets = geometric_budgets(self.epochs)
        return {epochs: query if epochs == self.epochs else f"{query}_e{epochs}" for epochs in budgets}

    def cost(self, row: int, epochs: int) -> float | None:
        """CPU seconds of so many epochs, all of which took equally long."""
        return float(self.column("cpu_seconds")[row]) * epochs / self.epochs

    def curve(self, query: str, row: int) -> Sequence[float]:
        """Of a mean, means of three trainings."""
        base, kind, number = _parts(query)
        if base not in CURVES:
            return ()
        values = self._figures(base)[row]
        found: list[float] = (values[number] if kind == "run" else values.mean(0)).tolist()
        return found[:number] if kind == "e" else found

    def row(self, architecture: Architecture) -> int | None:
        """The row of an architecture's class; None if the table does not hold it."""
        if len(architecture.cells) != 1 or not set(architecture.cells[0].ops) <= set(self._space.vocabulary):
            return None
        return self._places.get(self._space.hash(architecture))

    def architectures(self, rows: Sequence[int]) -> list[Architecture]:
        """The architectures of the given rows."""
        return self._space.from_arrays(self._cells.take(np.asarray(rows, dtype=np.int64)))

    def cells(self) -> CellArrays:
        """The cells of all rows."""
        return self._cells

    def verify(self) -> str:
        """Check that every class of the space is there once, under its hash, with figures of the right kind."""
        found = self._space.hashes(self._cells)
        expect(found == sorted(set(found)), "rows of different classes, sorted by hash", "others")
        expect(found == list(self._places), "the hashes of the cells", "others")
        expect(len(found) == _CELLS, f"{_CELLS:,} classes", f"{len(found):,}")
        expect(self._space.topology.is_legal(self._cells).all(), "legal cells", "others")
        for name in CURVES:
            values = self.column(f"{name}_curves")
            shape = (_CELLS, _RUNS, self.epochs)
            expect(values.shape == shape, f"{name} of {shape}", values.shape)
            legal = np.isfinite(values).all() and values.min() >= 0 and (name.endswith("loss") or values.max() <= 1)
            expect(legal, f"a {name} of every epoch", f"{values.min()} to {values.max()}")
        best = float(self.column("test_accuracy").max())
        return f"{len(found):,} cells, three trainings of {self.epochs} epochs, best mean test accuracy {best:.4f}"

    def _read(self, name: str) -> NDArray[Any]:
        if name.endswith("_curves"):
            return self._figures(name.removesuffix("_curves"))
        base, kind, number = _parts(name)
        values = self._figures(base)  # n x runs x epochs, n x runs, or n
        if kind == "run":
            return values[:, number, -1] if base in CURVES else values[:, number]
        if base in CURVES:
            values = values[..., number - 1 if kind == "e" else -1]
        mean: NDArray[Any] = values.mean(1) if values.ndim == 2 else values
        return mean

    def _figures(self, name: str) -> NDArray[Any]:
        if name not in self._loaded:
            self._loaded[name] = read_npz(self.path, name).astype(np.float64)
        return self._loaded[name]

    @functools.cached_property
    def _space(self) -> Space:
        return Space.load(self.space)

    @functools.cached_property
    def _cells(self) -> CellArrays:
        return CellArrays(*(read_npz(self.path, name) for name in ("ops", "adjacency", "size")))

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {bytes(one).hex(): row for row, one in enumerate(read_npz(self.path, "hash"))}


def _parts(metric: str) -> tuple[str, str, int]:
    """What a metric is of, and the kind and the number of its suffix, if it has one."""
    match = re.fullmatch(r"(\w+?)_(run|e)(\d+)", metric)
    return (metric, "", 0) if match is None else (match[1], match[2], int(match[3]))
