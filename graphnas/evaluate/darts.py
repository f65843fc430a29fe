"""Architectures of the DARTS space that were trained from scratch (OnceNAS-Bench)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.canonical import canonical_hashes
from graphnas.cell import Architecture, Cell, to_arrays, vocabulary_labels
from graphnas.evaluate.parquet_table import ParquetTable, distinct
from graphnas.evaluate.table import expect
from graphnas.formats.darts import from_genotype

_TRAININGS = (10, 50)  # epochs


class DARTSTable(ParquetTable):
    """545 architectures of the DARTS space with what was measured on them.

    An architecture that is a row's genotype, vertex by vertex, has that row's value; any other is looked up by the
    isomorphism classes of its two cells. The rows hold 526 of these: some genotypes differ in the order of nodes alone
    and were trained as if they were different. Such a class has the value of its first row. The space is far larger
    than the table, and other architectures have no value.
    359 rows contain the operation `none`, which the genotypes that DARTS derives, and the space that comes with the
    library, leave out.

    `valid_acc50` and `valid_acc10` are CIFAR-10 accuracies after trainings over 50 and 10 epochs, in percent in the
    file and fractions here; the source has no other test accuracy than these. `train_acc50` and `train_acc10` are
    those of the training images, `train_time50_s` and `train_time10_s` the recorded seconds. `params` counts trainable
    parameters, `flop` is in millions, `gpu_latency` in milliseconds.
    """

    space = "darts"
    file = "darts_bench545.parquet"
    title = "DARTS space, 545 architectures trained for 10 and 50 epochs (OnceNAS-Bench)"
    source = "`graphnas data import` copies it there"
    needs = ("architecture", "valid_acc50")
    texts = ("architecture",)
    query = "valid_acc50"

    @property
    def report(self) -> tuple[str, ...]:
        """The query and the network's costs."""
        return tuple(name for name in ("valid_acc50", "params", "flop", "gpu_latency") if name in self.metrics)

    def is_minimized(self, name: str) -> bool:
        """Whether the metric is a cost of the network, a latency or a time."""
        return "acc" not in name

    def budgets(self, query: str) -> Mapping[int, str]:
        """For an accuracy, the same after fewer epochs, where there is one."""
        match = re.fullmatch(r"((?:train|valid)_acc)(\d+)", query)
        if match is None:
            return {}
        shorter = {epochs: f"{match[1]}{epochs}" for epochs in _TRAININGS if epochs < int(match[2])}
        return {epochs: name for epochs, name in shorter.items() if name in self.metrics} | {int(match[2]): query}

    def cost(self, row: int, epochs: int) -> float | None:
        """Recorded seconds of the training."""
        name = f"train_time{epochs}_s"
        return float(self.column(name)[row]) if name in self.metrics else None

    def architectures(self, rows: Sequence[int]) -> list[Architecture]:
        """The architectures of the given rows."""
        texts = self.column("architecture")
        return [from_genotype(str(texts[row])) for row in rows]

    def row(self, architecture: Architecture) -> int | None:
        """The row of an architecture up to isomorphism of its cells; None if the table does not hold it."""
        exact = self._genotypes.get(architecture.cells)
        return self._places.get(tuple(cell.hash for cell in architecture.cells)) if exact is None else exact

    @functools.cached_property
    def _genotypes(self) -> dict[tuple[Cell, ...], int]:
        found = {}
        for row, text in enumerate(self.column("architecture").tolist()):
            try:
                found[from_genotype(text).cells] = row
            except ValueError as error:
                raise ValueError(f"{self.path}: row {row}: {error}") from None
        return found

    @functools.cached_property
    def _places(self) -> dict[tuple[str, ...], int]:
        cells = [cell for genotype in self._genotypes for cell in genotype]
        vocabulary = sorted({op for cell in cells for op in cell.ops})
        arrays = to_arrays(cells, vocabulary)
        # Equal to Cell.hash, for all cells at once.
        hashes = canonical_hashes(vocabulary_labels(arrays, vocabulary), arrays.adjacency, arrays.size)
        pairs = list(zip(hashes[::2], hashes[1::2], strict=True))
        # Backwards, so that the first of equal rows stays.
        return {pair: row for row, pair in reversed(list(enumerate(pairs)))}

    def _read(self, name: str) -> NDArray[Any]:
        values = super()._read(name)
        if "_acc" in name:
            return values / 100  # published in percent
        return np.rint(values * 1e6) if name == "params" else values  # published in millions

    def verify(self) -> str:
        """Check the number of rows and of classes, and the ranges of the accuracies."""
        names = distinct(self.column("architecture"))
        expect(len(self) == names == 545, "545 different genotypes", f"{len(self):,} rows with {names:,}")
        count = len(self._places)
        expect(count == 526, "526 different architectures", f"{count:,}")
        accuracy = self.column("valid_acc50")
        least, most = float(accuracy.min()), float(accuracy.max())
        expect(
            abs(least - 0.5467) < 1e-4 and abs(most - 0.9437) < 1e-4,
            "valid_acc50 from 54.67 % to 94.37 %",
            f"{least:.2%} to {most:.2%}",
        )
        for name in self.metrics:
            values = self.column(name)
            expect(not np.isnan(values).any() and values.min() > 0, f"positive figures in {name}", values.min())
        return f"{len(self):,} rows, {count:,} different architectures, {len(self.metrics)} metrics"
