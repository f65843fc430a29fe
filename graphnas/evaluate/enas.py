"""Weight-sharing accuracies of ENAS architectures of six layers (Pham et al. 2018; Zhang et al. 2019)."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import numpy as np

from graphnas.cell import Architecture
from graphnas.evaluate.parquet_table import ParquetTable, distinct
from graphnas.evaluate.table import expect
from graphnas.formats.enas import from_lists, to_lists

_LAYERS = 6


class ENASTable(ParquetTable):
    """18,118 of the ENAS architectures of six layers on which D-VAE (Zhang et al. 2019) was trained and tested.

    `acc` is the validation accuracy on CIFAR-10, a fraction, of an architecture that inherits the shared weights of
    ENAS (Pham et al. 2018): nothing was trained from scratch, so there are no epochs and no cost. The space is far
    larger than the table; any other architecture has no value. Of architectures that occur twice the first row is
    taken; their accuracies are the same.
    """

    space = "enas"
    file = "enas6_weightsharing.parquet"
    title = "ENAS, 18,118 architectures of six layers, shared weights (Zhang et al. 2019, arXiv 1904.11088)"
    source = "`graphnas data import` copies it there"
    needs = ("ops", "skips", "acc")
    texts = ("arch",)
    codes = ("ops", "skips")
    query = "acc"

    def architectures(self, rows: Sequence[int]) -> list[Architecture]:
        """The architectures of the given rows."""
        found = []
        for row in rows:
            bits = iter(self.column("skips")[row].tolist())
            ops = self.column("ops")[row].tolist()
            lists = [[op, *(next(bits) for _ in range(layer))] for layer, op in enumerate(ops)]
            found.append(Architecture(self.space, (from_lists(lists),)))
        return found

    def row(self, architecture: Architecture) -> int | None:
        """The first row of an architecture; None if the table does not hold it."""
        if len(architecture.cells) != 1:
            return None
        try:
            lists = to_lists(architecture.cells[0])
        except ValueError:
            return None
        return self._places.get(_key(lists))

    @functools.cached_property
    def _places(self) -> dict[bytes, int]:
        codes = np.column_stack([self.column("ops"), self.column("skips")]).astype(np.uint8)
        # Backwards, so that the first of two equal rows stays.
        return {codes[row].tobytes(): row for row in range(len(codes) - 1, -1, -1)}

    def verify(self) -> str:
        """Check the number of rows, their form, and the range of the accuracies."""
        expect(len(self) == 18_118, "18,118 rows", f"{len(self):,}")
        ops, skips, accuracy = self.column("ops"), self.column("skips"), self.column("acc")
        shape = (ops.shape[1], skips.shape[1])
        expect(shape == (_LAYERS, 15), "6 operations and 15 bits in each row", shape)
        expect(bool(((ops >= 0) & (ops <= 5)).all()), "operations from 0 to 5", (ops.min(), ops.max()))
        expect(bool(((skips == 0) | (skips == 1)).all()), "bits of 0 and 1", (skips.min(), skips.max()))
        count = distinct(np.column_stack([ops, skips]))
        expect(count == 18_115, "18,115 different architectures", f"{count:,}")
        least, most = float(accuracy.min()), float(accuracy.max())
        expect(0.7019 < least < most < 0.7503, "accuracies from 0.7020 to 0.7502", f"{least:.4f} to {most:.4f}")
        if "arch" in self.columns:
            for row, text in enumerate(self.column("arch").tolist()):
                same = _key(json.loads(text)) == np.concatenate([ops[row], skips[row]]).astype(np.uint8).tobytes()
                expect(same, f"arch to agree with ops and skips in row {row:,}", text)
        if "burn_in" in self.columns:
            late = int((~self.column("burn_in").astype(bool)).sum())
            expect(late == 17_118, "17,118 rows after the burn-in", f"{late:,}")
        return f"{len(self):,} rows, {count:,} different architectures"


def _key(lists: list[list[int]]) -> bytes:
    """All operations, then all bits, of the official nested list."""
    return bytes([layer[0] for layer in lists] + [bit for layer in lists for bit in layer[1:]])
