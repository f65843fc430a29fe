"""The `complete` topology: an operation on every edge of a complete directed graph (NAS-Bench-201).

With `N` nodes there are `N * (N - 1) / 2` edges. Each becomes a vertex of the cell that carries the edge's operation,
in the order of the published string: edges into node 1, into node 2, and so on, sources in order. The vertex of
edge `(a, b)` feeds those of all edges out of `b`, or the output if `b` is the last node; the input feeds the edges out
of node 0. Nothing is ever dropped: an operation `none` stays a label.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphnas.canonical import vertex_depth
from graphnas.cell import OUTPUT, Cell, CellArrays, reorder_arrays, to_arrays
from graphnas.spaces.topology import Decision, FixedTopology

# Up to so many labelled cells, all are listed to know their classes; NAS-Bench-201's 15,625 take 0.1 s.
_LISTED = 1_000_000


class CompleteTopology(FixedTopology):
    """Cells are complete graphs of a fixed number of nodes (Dong & Yang 2020, arXiv 2001.00326, Sec. 2.1).

    Two cells count as the same if their unique strings are equal, as in the published benchmark: a node is the sorted
    sum of its terms `(node)@operation`, where an operation with module `identity` stands for the node itself and one
    with module `zero`, like any operation on a node that is zero, for `#`. A class is represented by the member with
    the least kernel area, hence the fewest parameters, and of several by the first.

    Args:
        operations: Names of the operations with their tables, of which `module` and `kernel` are read.
        nodes: Number of nodes; the first is the input, the last the output.
    """

    kind = "complete"

    def __init__(self, operations: Mapping[str, Mapping[str, Any]], *, nodes: int) -> None:
        self.nodes = nodes
        self.vocabulary = ("input", OUTPUT, *operations)
        self.places = [(a, b) for b in range(1, nodes) for a in range(b)]
        self.max_vertices, self.longest_path = len(self.places) + 2, nodes - 1
        names, codes = self.vocabulary[2:], tuple(range(2, len(self.vocabulary)))
        self.decisions = tuple(
            Decision(f"op{a}_{b}", names, vertex, "operation", codes)
            for vertex, (a, b) in enumerate(self.places, start=1)
        )
        ends = [(-1, 0), *self.places, (nodes - 1, nodes)]
        adjacency = np.array([[[one[1] == other[0] for other in ends] for one in ends]])
        ops = np.array([[0, *[-1] * len(self.places), 1]], dtype=np.int8)
        self.template = CellArrays(ops, adjacency, np.array([self.max_vertices], dtype=np.int8))
        self._modules = {name: table.get("module") for name, table in operations.items()}
        areas = [
            table.get("kernel", 1) ** 2 if "conv" in str(table.get("module")) else 0 for table in operations.values()
        ]
        self._area = np.array([0, 0, *areas], dtype=np.int64)

    @property
    def settings(self) -> dict[str, Any]:
        """The number of nodes."""
        return {"nodes": self.nodes}

    @property
    def count(self) -> int:
        """Number of labelled cells."""
        return int((len(self.vocabulary) - 2) ** len(self.places))

    def classes(self) -> int | None:
        """Number of unique strings, where the cells can be listed."""
        return self._representatives.n if self.count <= _LISTED else None

    def simplify(self, arrays: CellArrays) -> CellArrays:
        """Put the vertices into the order of the edges that they stand for.

        The longest path from the input to the vertex of edge `(a, b)` has `a + 1` steps and the longest from there to
        the output `N - b`, so the two lengths name the edge.
        """
        v = self.max_vertices
        rows = np.flatnonzero(arrays.size == v)
        full = arrays.take(rows).padded(v)
        if (full.adjacency == self.template.adjacency).all():
            return arrays
        depth = vertex_depth(full.adjacency)
        height = vertex_depth(full.adjacency[:, ::-1, ::-1].swapaxes(1, 2))[:, ::-1]
        ordered = reorder_arrays(full, np.argsort((self.nodes - height) * self.nodes + depth, axis=1, kind="stable"))
        result = CellArrays(arrays.ops.copy(), arrays.adjacency.copy(), arrays.size)
        result.ops[rows, :v], result.adjacency[rows, :v, :v] = ordered.ops, ordered.adjacency
        return result

    def canonical(self, arrays: CellArrays, labels: Sequence[str] | None = None) -> CellArrays:
        """The simplified cells: the order of the edges leaves no choice."""
        return self.simplify(arrays)

    def check(self, cell: Cell) -> None:
        """Refuse a cell with another number of vertices or other edges than the template."""
        self.check_labels(cell, self.vocabulary[2:])
        if cell.size != self.max_vertices:
            raise ValueError(
                f"vertex {cell.size - 1}: expected {self.max_vertices} vertices, one for each edge between "
                f"{self.nodes} nodes beside input and output, but got {cell.size}"
            )
        if not self.is_legal(self.simplify(to_arrays([cell], self.vocabulary)))[0]:
            i, j = np.argwhere(cell.adjacency != self.template.adjacency[0])[0].tolist()
            state = "is missing" if self.template.adjacency[0, i, j] else "is not part of a complete graph"
            raise ValueError(f"edge {(i, j)}: {state}, if vertices stand in the published order")

    def edits(self, arrays: CellArrays) -> CellArrays:
        """Change one operation."""
        return self.relabelled(self.simplify(arrays))

    def sample(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` random representatives, uniform over classes; of a space too large to list, uniform over cells."""
        if self.count > _LISTED:
            return self.sample_by_decision(n, rng)
        return self._representatives.take(rng.integers(self._representatives.n, size=n))

    def enumerate(self, *, raw: bool = False) -> CellArrays:
        """The representative of every class; with `raw`, every labelled cell."""
        return self.all_derivations() if raw else self._representatives

    @functools.cached_property
    def _representatives(self) -> CellArrays:
        cells = self.all_derivations()
        order = np.argsort(self._area[cells.ops].sum(1), kind="stable")
        _, first = np.unique(np.array(self.hashes(cells.take(order))), return_index=True)
        return cells.take(np.sort(order[first]))

    def hashes(self, arrays: CellArrays) -> list[str]:
        """32 hex digits of each simplified cell's unique string.

        Raises:
            ValueError: if a cell is not one of the topology.
        """
        cells = arrays.padded(self.max_vertices)
        if (arrays.size != self.max_vertices).any() or (cells.adjacency != self.template.adjacency).any():
            raise ValueError(f"Expected cells that are complete graphs of {self.nodes} nodes, but got another")
        rows, inverse = np.unique(cells.ops[:, 1:-1], axis=0, return_inverse=True)
        digests = [
            hashlib.blake2b(self._unique_string(row).encode(), digest_size=16).hexdigest() for row in rows.tolist()
        ]
        return [digests[number] for number in inverse.reshape(-1).tolist()]

    def _unique_string(self, codes: Sequence[int]) -> str:
        terms: list[list[str]] = [[] for _ in range(self.nodes)]
        strings = ["input"]
        for (a, b), code in zip(self.places, codes, strict=True):
            name = self.vocabulary[code]
            if self._modules[name] == "zero" or strings[a] == "#":
                term = "#"
            elif self._modules[name] == "identity":
                term = strings[a]
            else:
                term = f"({strings[a]})@{name}"
            terms[b].append(term)
            if a == b - 1:
                strings.append("+".join(sorted(terms[b])))
        return strings[-1]
