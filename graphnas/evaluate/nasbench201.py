"""NAS-Bench-201's measured accuracies, latencies and costs (Dong & Yang 2020)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Architecture
from graphnas.evaluate.parquet_table import ParquetTable, distinct, read_column, read_layout
from graphnas.evaluate.table import expect
from graphnas.formats.nasbench201 import OPERATIONS, from_string, to_string

_TIMES = "nasbench201_runs1000.parquet"
_TRAININGS = (12, 200)  # epochs


class NASBench201Table(ParquetTable):
    """All 15,625 cells of NAS-Bench-201 with what was measured on them.

    A cell is looked up as it is, by its string: cells of one topology class differ in parameters and, by up to 42
    points, in accuracy.

    `c10_val_200`, `c10_test_200` and `c10_train_200` are CIFAR-10 accuracies after a training over 200 epochs,
    `c10_val_12` and `c10_test_12` after one over 12; the file has them in percent, here they are fractions. Test
    accuracies are means over seeds, the validation accuracy after 200 epochs is one run's. `params_m_c100` and
    `flops_m_c100` are in millions, of the network with 100 classes; `lat_ms_DEVICE` are milliseconds, with the batch
    size behind the name of a GPU; `zen_c10` is a zero-cost score.

    Training seconds are known where the file `nasbench201_runs1000.parquet` lies beside the table, and then for 1,000
    of the cells (one run of CIFAR-10 each); other cells have no cost.
    """

    space = "nasbench201"
    file = "nasbench201.parquet"
    title = "NAS-Bench-201, 15,625 cells (Dong & Yang 2020, arXiv 2001.00326)"
    source = "the official archives are pickles and are not read; `graphnas data import` copies the Parquet form"
    needs = ("index", "arch_str", "ops", "c10_val_200")
    texts = ("arch_str",)
    codes = ("ops",)
    query = "c10_val_200"

    @property
    def report(self) -> tuple[str, ...]:
        """Test accuracy and the network's costs."""
        return tuple(name for name in ("c10_test_200", "params_m_c100", "flops_m_c100") if name in self.metrics)

    def is_minimized(self, name: str) -> bool:
        """Whether the metric is a cost of the network or a latency."""
        return name.startswith(("flops_", "params_", "lat_"))

    def budgets(self, query: str) -> Mapping[int, str]:
        """For an accuracy, the same after fewer epochs, where there is one."""
        match = re.fullmatch(r"(c10_(?:val|test|train))_(\d+)", query)
        if match is None:
            return {}
        shorter = {epochs: f"{match[1]}_{epochs}" for epochs in _TRAININGS if epochs < int(match[2])}
        return {epochs: name for epochs, name in shorter.items() if name in self.metrics} | {int(match[2]): query}

    def cost(self, row: int, epochs: int) -> float | None:
        """Recorded seconds of a training on CIFAR-10; None for all but 1,000 cells."""
        return self._times.get((int(self.column("index")[row]), epochs))

    def architectures(self, rows: Sequence[int]) -> list[Architecture]:
        """The architectures of the given rows."""
        texts = self.column("arch_str")
        return [Architecture(self.space, (from_string(str(texts[row])),)) for row in rows]

    def row(self, architecture: Architecture) -> int | None:
        """The row of an architecture's cell, vertices in the order of its string; None for any other cell."""
        if len(architecture.cells) != 1:
            return None
        try:
            text = to_string(architecture.cells[0])
        except ValueError:
            return None
        return self._places.get(text)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {text: row for row, text in enumerate(self._read("arch_str").tolist())}

    @functools.cached_property
    def _times(self) -> dict[tuple[int, int], float]:
        path = self.path.with_name(_TIMES)
        return NASBench201Times(path).seconds() if path.is_file() else {}

    def _read(self, name: str) -> NDArray[Any]:
        values = super()._read(name)
        # Published in percent.
        return values / 100 if name.startswith("c10_") else values

    def verify(self) -> str:
        """Check that every cell is there once, under its index, and the ranges and optima of the accuracies."""
        total = len(OPERATIONS) ** 6
        names = self.column("arch_str")
        count = distinct(names)
        expect(len(self) == total == count, f"{total:,} different cells", f"{len(self):,} rows with {count:,}")
        expect((self.column("index") == np.arange(total)).all(), "rows in the order of the index", "another order")
        codes = self.column("ops").tolist()
        for row, (text, ops) in enumerate(zip(names.tolist(), codes, strict=True)):
            found = tuple(OPERATIONS.index(op) for op in from_string(text).ops[1:-1])
            expect(found == tuple(ops), f"the operations {found} in row {row:,}", tuple(ops))
        if "iso_str" in self.columns:
            classes = distinct(self.column("iso_str"))
            expect(classes == 6466, "6,466 topologies", f"{classes:,}")
        for name in self.metrics:
            values = self.column(name)
            expect(not np.isnan(values).any(), f"a figure of every cell in {name}", "gaps")
            if name.startswith("c10_"):
                least, most = values.min(), values.max()
                expect(0.09 < least < most <= 1, f"{name} to be an accuracy above 9 %", f"{least:.4f} to {most:.4f}")
            elif self.is_minimized(name):
                expect(values.min() > 0, f"{name} to be positive", values.min())
        if "c10_test_200" in self.metrics:
            tests = self.column("c10_test_200")
            best = int(tests.argmax())
            expect(best == 6111, "cell 6111 to have the best test accuracy, 94.37 %", f"{best} with {tests[best]:.4f}")
        return f"{len(self):,} cells, {len(self.metrics)} metrics"


class NASBench201Times:
    """Seconds of training of 1,000 cells of NAS-Bench-201, kept beside its table.

    Args:
        path: The file `nasbench201_runs1000.parquet`.
    """

    file = _TIMES
    needs = ("index", "dataset", "epochs", "train_time_s")

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        names, _, self._rows = read_layout(self.path)
        missing = [name for name in self.needs if name not in names]
        if missing:
            raise ValueError(f"{self.path}: expected the columns {', '.join(self.needs)}, but {missing[0]} is missing")

    def __len__(self) -> int:
        return self._rows

    def seconds(self) -> dict[tuple[int, int], float]:
        """Seconds of a training on CIFAR-10 by official index and epochs."""
        index, dataset, epochs, seconds = (read_column(self.path, name).tolist() for name in self.needs)
        rows = zip(index, dataset, epochs, seconds, strict=True)
        return {(i, e): s for i, name, e, s in rows if name == "cifar10"}

    def verify(self) -> str:
        """Check that there are 1,000 cells with two trainings each."""
        found = self.seconds()
        cells = {index for index, _ in found}
        wanted = {(index, epochs) for index in cells for epochs in _TRAININGS}
        expect(
            len(cells) == 1000 and set(found) == wanted, "1,000 cells with 12 and 200 epochs", f"{len(cells):,} cells"
        )
        expect(all(0 <= index < 15_625 for index in cells), "indices from 0 to 15,624", max(cells))
        expect(min(found.values()) > 0, "positive seconds", min(found.values()))
        return f"{len(cells):,} cells, {len(found):,} training times"
