"""NAS-Bench-101's measured accuracies as an evaluator."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Architecture, CellArrays
from graphnas.evaluate.protocol import EvaluationFailed, Report, Result
from graphnas.formats.nasbench101 import module_hash

_FILE = "nasbench101.npz"


def data_folder() -> Path:
    """The folder named by the environment variable GRAPHNAS_DATA, or `~/.cache/graphnas`."""
    return Path(os.environ.get("GRAPHNAS_DATA") or Path.home() / ".cache" / "graphnas")


class NASBench101Table:
    """All 423,624 cells of NAS-Bench-101 with what was measured on them (Ying et al. 2019).

    Columns are read when first asked for and kept; rows are sorted by the cells' module hashes.

    Args:
        path: The file `nasbench101.npz`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with np.load(self.path, allow_pickle=False) as file:
            self._names = tuple(file.files)
            if "hash" not in self._names:
                raise ValueError(f"Expected a column 'hash' in {self.path}, but got {self._names}")
            words = np.ascontiguousarray(file["hash"]).view(">u8").astype(np.uint64)
        # Sorted by the whole hash, hence by its first half too.
        self._high, self._low = words[:, 0].copy(), words[:, 1].copy()
        self._loaded: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, path: str | Path | None = None) -> NASBench101Table:
        """The table in a file or a folder; in the folder of GRAPHNAS_DATA, or `~/.cache/graphnas`, if None.

        Raises:
            FileNotFoundError: if the file is missing.
        """
        place = data_folder() if path is None else Path(path)
        if place.is_dir() or place.suffix != ".npz":
            place = place / _FILE
        if not place.is_file():
            raise FileNotFoundError(
                f"{place} is missing: set GRAPHNAS_DATA to the folder that holds {_FILE}, or give its path"
            )
        return cls(place)

    def __reduce__(self) -> tuple[type[NASBench101Table], tuple[Path]]:
        # Worker processes read the file themselves instead of receiving its columns.
        return type(self), (self.path,)

    def __len__(self) -> int:
        return int(self._high.size)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self._names

    def column(self, name: str) -> NDArray[Any]:
        """One column, rows in the order of the table.

        Raises:
            KeyError: if there is no such column.
        """
        if name not in self._loaded:
            if name not in self._names:
                raise KeyError(f"Expected a column of {self._names}, but got {name!r}")
            with np.load(self.path, allow_pickle=False) as file:
                values = file[name]
            values.setflags(write=False)
            self._loaded[name] = values
        return self._loaded[name]

    def cells(self) -> CellArrays:
        """All cells; codes 0 input, 1 output, 2 conv3x3, 3 conv1x1, 4 maxpool3x3."""
        size, bits, inner = self.column("n_vertices"), self.column("adj_bits"), self.column("ops")
        n, v = size.size, 7
        ops = np.full((n, v), -1, dtype=np.int8)
        ops[:, 1:-1] = np.where(inner == 255, -1, inner.astype(np.int8) + 2)
        ops[:, 0] = 0
        ops[np.arange(n), size.astype(np.int64) - 1] = 1
        adjacency = np.zeros((n, v, v), dtype=bool)
        for y in range(1, v):
            for x in range(y):
                adjacency[:, x, y] = (bits >> np.uint32(x + y * (y - 1) // 2)) & np.uint32(1)
        return CellArrays(ops, adjacency, size.astype(np.int8))

    def row(self, architecture: Architecture) -> int | None:
        """The row of an architecture's cell, dead vertices dropped; None if the table does not hold it."""
        if len(architecture.cells) != 1:
            return None
        try:
            digits = module_hash(architecture.cells[0])
        except ValueError:
            return None
        high, low = np.uint64(int(digits[:16], 16)), np.uint64(int(digits[16:], 16))
        row = int(self._high.searchsorted(high))
        while row < self._high.size and self._high[row] == high:
            if self._low[row] == low:
                return row
            row += 1
        return None


class TableEvaluator:
    """Looks up a measured accuracy instead of training.

    Which noise a column carries matters: `test_acc_run0` is one training run, and a search that maximises it and is
    scored on it reads the same noise twice. The table of this project has validation accuracies for 30,001 cells;
    other cells fail under those columns.

    Args:
        table: The table.
        query: Column that a search maximises, a fraction.
        report: Further columns that go into `Result.metrics`; they are left out where a row has none.
    """

    budgets: ClassVar[Mapping[int, str]] = {4: "val_acc_1run_e4", 12: "val_acc_1run_e12", 36: "val_acc_1run_e36"}
    """Columns that answer a smaller budget than 108 epochs."""

    def __init__(
        self,
        table: NASBench101Table,
        query: str = "test_acc_run0",
        *,
        report: Sequence[str] = ("test_acc_run0", "params", "macs"),
    ) -> None:
        self.table = table
        self.query = query
        self.report = tuple(report)
        for name in (query, *self.report):
            if name not in table.columns or name in ("hash", "ops"):
                raise ValueError(f"Expected columns of {table.columns}, but got {name!r}")

    @functools.cached_property
    def name(self) -> str:
        """Names the table and the column."""
        return f"table:{self.table.path.stem}:{self.query}"

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        report: Report | None = None,
        folder: str | Path | None = None,
    ) -> Result:
        """The measured value of an architecture.

        Args:
            architecture: A NAS-Bench-101 architecture.
            budget: 108 epochs or None for the query, or a key of `budgets`.
            seed: Recorded only: the table holds what it holds.
            hyperparameters: Must be None or empty, since nothing is trained.
            report: Called once, with the budget and the value.
            folder: Not used.

        Raises:
            EvaluationFailed: if the table does not hold the cell or the cell has no value in the column.
            ValueError: if the table knows no such budget or hyperparameters are given.
        """
        start = time.perf_counter()
        if hyperparameters:
            raise ValueError(f"A table takes no hyperparameters, but got {sorted(hyperparameters)}")
        epochs = 108 if budget is None else budget
        if epochs != 108 and epochs not in self.budgets:
            raise ValueError(f"Expected a budget of {[*self.budgets, 108]} epochs, but got {budget}")
        query = self.query if epochs == 108 else self.budgets[epochs]
        row = self.table.row(architecture)
        if row is None:
            raise EvaluationFailed(f"{self.table.path.name} does not hold this cell")
        value = float(self.table.column(query)[row])
        if math.isnan(value):
            raise EvaluationFailed(f"{self.table.path.name} has no {query} for this cell")
        metrics = {name: float(self.table.column(name)[row]) for name in self.report}
        metrics = {name: figure for name, figure in metrics.items() if not math.isnan(figure)}
        cost = float(self.table.column("train_time_s")[row]) if "train_time_s" in self.table.columns else math.nan
        if report is not None:
            report(epochs, {"value": value})
        return Result(
            value=value,
            metrics=metrics,
            seconds=time.perf_counter() - start,
            cost=None if math.isnan(cost) else cost * epochs / 108,
            budget=epochs,
            seed=seed,
            evaluator=self.name,
        )
