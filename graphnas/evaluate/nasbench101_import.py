"""NAS-Bench-101's official file as the compact table that is read here."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Cell, CellArrays
from graphnas.evaluate.nasbench101 import cell_arrays
from graphnas.formats.nasbench101 import OPERATIONS
from graphnas.formats.nasbench101_records import EPOCHS, TrainingRun, read_training_run
from graphnas.formats.tfrecord import read_records
from graphnas.networks import count_costs
from graphnas.spaces import Space

_RUNS = 3  # trainings of a cell at each length
_BLOCK = 2**16  # cells whose costs are counted together


def convert_tfrecord(path: str | Path, target: str | Path, *, progress: Callable[[int], None] | None = None) -> int:
    """Write the table of an official tfrecord file, record by record, in memory that grows with the cells alone.

    Columns are `hash`, `n_vertices`, `adj_bits`, `ops`, `params`, `macs`, and for the 108 epochs
    `val_acc_run0`, `val_acc_run1`, `val_acc_run2` in the order of the file, their mean `val_acc_mean`, the same for
    `test_acc`, and the mean `train_time_s` over the runs; for each shorter training in the file the same with a suffix
    such as `_e12`. What a cell lacks is NaN. Rows are sorted by hash.

    Args:
        path: `nasbench_only108.tfrecord` or `nasbench_full.tfrecord`.
        target: The npz file to write; it appears when it is whole.
        progress: Called with the number of bytes read since the last call.

    Returns:
        Number of cells.

    Raises:
        ValueError: naming the file, the record, from 1, and what is wrong with it.
    """
    path, runs, pending = Path(path), _Runs(), 0
    for number, data in enumerate(read_records(path), start=1):
        try:
            runs.add(read_training_run(data))
        except ValueError as error:
            raise ValueError(f"{path}: record {number}: {error}") from None
        pending += len(data) + 16  # with lengths and checksums
        if progress is not None and pending >= 2**20:
            progress(pending)
            pending = 0
    if progress is not None:
        progress(pending)
    if not len(runs):
        raise ValueError(f"{path}: expected records, but the file is empty")
    with whole_file(Path(target)) as part, part.open("wb") as file:
        np.savez_compressed(file, **runs.columns())
    return len(runs)


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` once all is written, and is removed after an error."""
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


class _Runs:
    """Cells by hash, and a log of their runs in the order of the file."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._size, self._bits, self._params = array("B"), array("I"), array("i")
        self._ops = bytearray()
        self._count = {epochs: bytearray() for epochs in EPOCHS}
        self._row, self._epochs, self._run = array("I"), array("B"), array("B")
        self._figures = {name: array("f") for name in ("val_acc", "test_acc", "train_time_s")}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, run: TrainingRun) -> None:
        key = bytes.fromhex(run.module_hash)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self._rows)
            self._size.append(run.cell.size)
            self._bits.append(sum(1 << (x + y * (y - 1) // 2) for x, y in run.cell.edges))
            self._ops += bytes(_codes(run.cell))
            self._params.append(run.parameters)
            for count in self._count.values():
                count.append(0)
        elif self._params[row] != run.parameters:
            raise ValueError(
                f"expected {self._params[row]:,} parameters, as in an earlier record of {run.module_hash}, but got "
                f"{run.parameters:,}"
            )
        count = self._count[run.epochs]
        if count[row] == _RUNS:
            raise ValueError(
                f"expected at most {_RUNS} runs of {run.epochs} epochs of {run.module_hash}, but got another"
            )
        self._row.append(row)
        self._epochs.append(run.epochs)
        self._run.append(count[row])
        count[row] += 1
        for name, figure in zip(self._figures, (run.validation_accuracy, run.test_accuracy, run.seconds), strict=True):
            self._figures[name].append(figure)

    def columns(self) -> dict[str, Any]:
        n = len(self)
        keys = np.frombuffer(b"".join(self._rows), dtype=np.uint8).reshape(n, 16)
        order = np.lexsort(keys.T[::-1])
        columns: dict[str, Any] = {
            "hash": keys[order],
            "n_vertices": np.array(self._size)[order],
            "adj_bits": np.array(self._bits).astype(np.uint32)[order],
            "ops": np.frombuffer(bytes(self._ops), dtype=np.uint8).reshape(n, 5)[order],
            "params": np.array(self._params)[order],
        }
        columns["macs"] = _macs(cell_arrays(columns["n_vertices"], columns["adj_bits"], columns["ops"]))
        row, epochs, repeat = np.array(self._row), np.array(self._epochs), np.array(self._run)
        for length in reversed(EPOCHS):
            here = np.flatnonzero(epochs == length)
            if not here.size:
                continue
            suffix = "" if length == EPOCHS[-1] else f"_e{length}"
            for name, figures in self._figures.items():
                table = np.full((n, _RUNS), np.nan, dtype=np.float32)
                table[row[here], repeat[here]] = np.array(figures)[here]
                table = table[order]
                if name != "train_time_s":
                    columns |= {f"{name}_run{run}{suffix}": table[:, run] for run in range(_RUNS)}
                mean = f"{name}{suffix}" if name == "train_time_s" else f"{name}_mean{suffix}"
                columns[mean] = _mean(table)
        return columns


def _codes(cell: Cell) -> list[int]:
    """Operations of vertices 1 to 5, 255 where there is no such inner vertex."""
    inner = [OPERATIONS.index(op) for op in cell.ops[1:-1]]
    return inner + [255] * (5 - len(inner))


def _macs(cells: CellArrays) -> NDArray[np.int64]:
    """Multiply-adds of the published networks."""
    space = Space.load("nasbench101")
    blocks = [cells.take(slice(start, start + _BLOCK)) for start in range(0, cells.n, _BLOCK)]
    return np.concatenate([count_costs(block, space.operations, space.network)[1] for block in blocks])


def _mean(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the runs that there are, NaN where there is none."""
    known = ~np.isnan(table)
    count = known.sum(1)
    total = np.where(known, table, 0).sum(1, dtype=np.float64)
    mean = np.full(len(table), np.nan, dtype=np.float32)
    mean[count > 0] = total[count > 0] / count[count > 0]
    return mean
