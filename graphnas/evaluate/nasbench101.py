"""NAS-Bench-101's measured accuracies (Ying et al. 2019)."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Architecture, CellArrays, from_arrays
from graphnas.content import content_folder
from graphnas.evaluate.npz import npz_names, read_npz
from graphnas.evaluate.table import Table, expect
from graphnas.formats.nasbench101 import OPERATIONS, module_hash
from graphnas.formats.nasbench101_records import EPOCHS

_STRUCTURE = {"hash": (16,), "n_vertices": (), "adj_bits": (), "ops": (5,)}  # what describes the cell; shapes of rows
_BY_VERTICES = {2: 1, 3: 6, 4: 84, 5: 2441, 6: 62010, 7: 359082}  # cells, as published
_PARAMETERS = (227_274, 49_979_274)  # least and most of all networks
_SAMPLE = 1000  # rows whose hashes `verify` computes again
_STEPS = 65_535  # of one in a shipped prediction

DENOISED = "test_acc_run0_denoised"
"""Column of a whole table that comes with the library: `test_acc_run0`, raised to 0.8 where it is below, as predicted
by trees that were not fitted to the cell."""


class NASBench101Table(Table):
    """Cells of NAS-Bench-101, all 423,624 of them in a whole table, with what was measured on them.

    Rows are sorted by the cells' module hashes. Accuracies are fractions, of CIFAR-10 images, after 108 epochs unless
    a suffix `_e4`, `_e12` or `_e36` says otherwise. `run0`, `run1`, `run2` are the three trainings of a cell, `mean`
    is their mean, `max3` their maximum, `1run` one of them that is not told. A table made by `graphnas data import`
    from the official file has all runs and is queried for `val_acc_mean`; a table without validation accuracies of
    all cells is queried for `test_acc_run0`.

    A whole table with `test_acc_run0` has the column `test_acc_run0_denoised` too (`runs/denoised_nasbench101.py`):
    what boosted trees fitted to other cells predict of a cell, apart from the luck of its one training.

    `train_time_s` holds seconds of a training over 108 epochs. A shorter training costs its own recorded seconds, or
    its share of the 108 epochs, all of which took equally long: half-way through, the published times of a run are
    half of the final ones within 0.1 %.
    """

    space = "nasbench101"
    file = "nasbench101.npz"
    title = "NAS-Bench-101, 423,624 cells (Ying et al. 2019, arXiv 1902.09635)"
    source = (
        "`graphnas data import` makes it from the official nasbench_only108.tfrecord or nasbench_full.tfrecord "
        "(https://github.com/google-research/nasbench)"
    )

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._names = npz_names(self.path)
        if "hash" not in self._names:
            raise ValueError(f"Expected a column 'hash' in {self.path}, but got {self._names}")
        hashes = self._read("hash")
        words = np.ascontiguousarray(hashes).view(">u8").astype(np.uint64)
        # Sorted by the whole hash, hence by its first half too.
        self._high, self._low = words[:, 0].copy(), words[:, 1].copy()
        falls = np.flatnonzero(self._high[1:] < self._high[:-1])
        if falls.size:
            raise ValueError(f"{self.path}: expected rows sorted by hash, but row {falls[0] + 1} is out of order")

    def _read(self, name: str) -> NDArray[Any]:
        if name == DENOISED:
            return read_npz(denoised_file(), "denoised").astype(np.float32) / _STEPS
        values, row = read_npz(self.path, name), _STRUCTURE.get(name, ())
        if name == "hash":
            what, legal = "bytes", values.dtype == np.uint8
        elif name in _STRUCTURE:
            what, legal = "whole numbers", values.dtype.kind in "iu"
        else:
            what, legal = "numbers", values.dtype.kind in "fiu"
        if not legal or values.ndim != len(row) + 1 or values.shape[1:] != row:
            form = " x ".join(["n", *map(str, row)])
            raise ValueError(f"{self.path}: expected {name} to be {form} {what}, but got {values.dtype} {values.shape}")
        return values

    def __len__(self) -> int:
        return int(self._high.size)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        whole = len(self) == sum(_BY_VERTICES.values()) and "test_acc_run0" in self._names
        return (*self._names, DENOISED) if whole and denoised_file().is_file() else self._names

    @property
    def metrics(self) -> tuple[str, ...]:
        """Accuracies, costs and times."""
        return tuple(name for name in self.columns if name not in _STRUCTURE)

    @property
    def query(self) -> str:
        """`val_acc_mean` if the table has it, else `test_acc_run0`, else its first accuracy.

        Raises:
            ValueError: if it has no accuracy.
        """
        accuracies = [name for name in self.metrics if _is_accuracy(name)]
        if not accuracies:
            raise ValueError(f"{self.path}: expected an accuracy among the columns, but got {self._names}")
        return next((name for name in ("val_acc_mean", "test_acc_run0") if name in accuracies), accuracies[0])

    @property
    def report(self) -> tuple[str, ...]:
        """Test accuracy and the network's costs."""
        return tuple(name for name in ("test_acc_mean", "test_acc_run0", "params", "macs") if name in self._names)

    def is_minimized(self, name: str) -> bool:
        """Whether the metric is a cost of the network or a time."""
        return name in ("params", "macs", "flops_thop") or name.startswith("train_time_s")

    def budgets(self, query: str) -> Mapping[int, str]:
        """For an accuracy, the same after fewer epochs, or else one run's validation accuracy, where there is one."""
        if not _is_accuracy(query):
            return {}
        stem, own = _split(query)
        found = {}
        for epochs in EPOCHS:
            names = (f"{stem}_e{epochs}", f"val_acc_mean_e{epochs}", f"val_acc_1run_e{epochs}")
            known = next((name for name in names if name in self._names), None)
            if epochs < own and known is not None:
                found[epochs] = known
        return {**found, own: query}

    def cost(self, row: int, epochs: int) -> float | None:
        """Recorded seconds of training, or their share of the 108 epochs' seconds."""
        for name, share in ((f"train_time_s_e{epochs}", 1.0), ("train_time_s", epochs / EPOCHS[-1])):
            if name in self._names:
                seconds = float(self.column(name)[row])
                if not math.isnan(seconds):
                    return seconds * share
        return None

    def cells(self) -> CellArrays:
        """All cells; codes 0 input, 1 output, 2 conv3x3, 3 conv1x1, 4 maxpool3x3."""
        return cell_arrays(self.column("n_vertices"), self.column("adj_bits"), self.column("ops"))

    def architectures(self, rows: Sequence[int]) -> list[Architecture]:
        """The architectures of the given rows, as the table writes them."""
        cells = from_arrays(self.cells().take(np.asarray(rows, dtype=np.int64)), ("input", "output", *OPERATIONS))
        return [Architecture(self.space, (cell,)) for cell in cells]

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

    def verify(self) -> str:
        """Check the parts of the file, the published numbers of cells, a sample of hashes, and the ranges."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                broken = archive.testzip()
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            broken = str(error)
        expect(broken is None, "every part of the file to match its checksum", broken)
        missing = [name for name in _STRUCTURE if name not in self._names]
        expect(not missing, f"the columns {', '.join(_STRUCTURE)}", f"no {', '.join(missing)}")
        distinct = np.unique(np.column_stack([self._high, self._low]), axis=0).shape[0]
        total = sum(_BY_VERTICES.values())
        expect(len(self) == total == distinct, f"{total:,} different cells", f"{len(self):,} rows with {distinct:,}")
        size, count = np.unique(self.column("n_vertices"), return_counts=True)
        sizes = dict(zip(size.tolist(), count.tolist(), strict=True))
        expect(sizes == _BY_VERTICES, f"{_BY_VERTICES} cells by vertices", sizes)
        arrays = self.cells()
        rows = np.linspace(0, len(self) - 1, _SAMPLE).astype(np.int64)
        cells = from_arrays(arrays.take(rows), ("input", "output", *OPERATIONS))
        for row, cell in zip(rows.tolist(), cells, strict=True):
            found = f"{self._high[row]:016x}{self._low[row]:016x}"
            expect(module_hash(cell) == found, f"the hash {module_hash(cell)} in row {row:,}", found)
        accuracies = [name for name in self.metrics if _is_accuracy(name)]
        expect(bool(accuracies), "an accuracy among the columns", ", ".join(self._names))
        for name in accuracies:
            values = self.column(name)
            outside = values[(values < 0) | (values > 1)]
            expect(not outside.size, f"{name} to be fractions", outside[:1])
        if "params" in self._names:
            least, most = int(self.column("params").min()), int(self.column("params").max())
            expect((least, most) == _PARAMETERS, f"params from {_PARAMETERS[0]:,} to {_PARAMETERS[1]:,}", (least, most))
        return f"{len(self):,} cells, {len(self._names)} columns"


def denoised_file() -> Path:
    """Where the shipped predictions are, one a row of the whole table."""
    return content_folder("spaces") / "benchmarks" / "nasbench101_denoised" / "denoised.npz"


def write_denoised(predicted: NDArray[Any]) -> Path:
    """Write predictions where `NASBench101Table` finds them, as whole numbers of steps of 1/65,535.

    Args:
        predicted: Accuracies as fractions, one a row of the whole table.
    """
    path = denoised_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, denoised=np.rint(np.clip(predicted, 0, 1) * _STEPS).astype(np.uint16))
    return path


def cell_arrays(size: NDArray[Any], bits: NDArray[Any], inner: NDArray[Any]) -> CellArrays:
    """Cells from the columns of a table.

    Args:
        size: `n` numbers of vertices.
        bits: `n` words whose bit `x + y (y - 1) / 2` says whether vertex x feeds vertex y.
        inner: `n x 5` operations of vertices 1 to 5, 255 where there is no such vertex.

    Returns:
        The cells; codes 0 input, 1 output, 2 conv3x3, 3 conv1x1, 4 maxpool3x3.
    """
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


def _is_accuracy(name: str) -> bool:
    """Whether a column was measured after a training."""
    return name.startswith(("val_acc", "test_acc", "train_acc")) and name != DENOISED


def _split(name: str) -> tuple[str, int]:
    """`val_acc_mean_e12` as `val_acc_mean` and 12; 108 epochs without a suffix."""
    match = re.fullmatch(r"(.+)_e(\d+)", name)
    return (name, EPOCHS[-1]) if match is None else (match[1], int(match[2]))
