"""The `chain` topology: layers in a row, each fed by the one before it and by any earlier ones (ENAS).

A cell of `L` layers with `k` operations has `L + 2` vertices. Every edge `(i, i + 1)` is there, so the order of the
vertices is forced: no two labelled cells are isomorphic, and there are `k ** L * 2 ** (L * (L - 1) / 2)` of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnas.cell import OUTPUT, Cell, CellArrays, stack_arrays
from graphnas.spaces.topology import Decision, FixedTopology


class ChainTopology(FixedTopology):
    """Cells are chains of a fixed number of layers with optional skips (Pham et al. 2018, arXiv 1802.03268, Sec. 2.3).

    Layer `i` is vertex `i`; a skip runs from the input or any layer before `i - 1` to layer `i`. Only the last layer
    feeds the output.

    Args:
        operations: Names of the operations of layers.
        layers: Number of layers.
    """

    kind = "chain"

    def __init__(self, operations: Sequence[str], *, layers: int) -> None:
        self.layers = layers
        self.vocabulary = ("input", OUTPUT, *operations)
        self.max_vertices, self.longest_path = layers + 2, layers
        names, codes = self.vocabulary[2:], tuple(range(2, len(self.vocabulary)))
        decisions = []
        for i in range(1, layers + 1):
            decisions.append(Decision(f"op{i}", names, i, "operation", codes))
            decisions += [Decision(f"skip{j}_{i}", ("no", "yes"), i, "edge", (j,)) for j in range(i - 1)]
        self.decisions = tuple(decisions)
        ops = np.array([[0, *[-1] * layers, 1]], dtype=np.int8)
        adjacency = np.eye(self.max_vertices, k=1, dtype=bool)[None]
        self.template = CellArrays(ops, adjacency, np.array([self.max_vertices], dtype=np.int8))

    @property
    def settings(self) -> dict[str, Any]:
        """The number of layers."""
        return {"layers": self.layers}

    @property
    def count(self) -> int:
        """Number of cells."""
        k, skips = len(self.vocabulary) - 2, self.layers * (self.layers - 1) // 2
        return int(k**self.layers * 2**skips)

    def classes(self) -> int:
        """The same number: every cell is a class of its own."""
        return self.count

    def simplify(self, arrays: CellArrays) -> CellArrays:
        """The cells as they are: nothing can be ignored and the order is forced."""
        return arrays

    def canonical(self, arrays: CellArrays, labels: Sequence[str] | None = None) -> CellArrays:
        """The cells as they are."""
        return arrays

    def check(self, cell: Cell) -> None:
        """Refuse a cell with another number of layers, a gap in the chain, or an early way out."""
        self.check_labels(cell, self.vocabulary[2:])
        if cell.size != self.max_vertices:
            raise ValueError(
                f"vertex {cell.size - 1}: expected {self.layers} layers between input and output, got {cell.size - 2}"
            )
        for i in range(self.layers + 1):
            if (i, i + 1) not in cell.edges:
                raise ValueError(f"edge {(i, i + 1)}: every vertex must feed the next one, but this edge is missing")
        for i in range(self.layers):
            if (i, self.layers + 1) in cell.edges:
                raise ValueError(f"edge {(i, self.layers + 1)}: only the last layer, {self.layers}, feeds the output")

    def edits(self, arrays: CellArrays) -> CellArrays:
        """Change one operation or toggle one skip."""
        skips = [decision for decision in self.decisions if decision.kind == "edge"]
        toggled = arrays.take(np.zeros(len(skips), dtype=np.int64))
        for row, decision in enumerate(skips):
            toggled.adjacency[row, decision.codes[0], decision.vertex] ^= True
        return stack_arrays([self.relabelled(arrays), toggled])

    def sample(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` cells drawn uniformly."""
        return self.sample_by_decision(n, rng)
