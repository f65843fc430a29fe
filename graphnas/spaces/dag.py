"""The `dag` topology: any directed acyclic graph within limits of vertices and edges (NAS-Bench-101, 1Shot1).

A cell is derived vertex by vertex: first the vertex's operation (`output` ends the cell), then one decision for each
earlier vertex, whether it feeds the new one. With `E` edges used so far, `D` the set of vertices that feed nothing
yet, `m` the predecessors of the new vertex chosen so far and `M` the limit of edges, the exact look-ahead is:

- every vertex needs a predecessor, and every vertex of `D` must come to feed something;
- after an inner vertex the output must still take in all that is open, so `E + |m | D| + 1 <= M`;
- the output takes all of `D`, so `E + |m | D| <= M`.

The vertex before the new one always belongs to `D`, so a vertex without predecessors can always still take that one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from graphnas.canonical import vertex_depth
from graphnas.cell import (
    OUTPUT,
    BoolArray,
    Cell,
    CellArrays,
    IntArray,
    canonical_arrays,
    prune_arrays,
    stack_arrays,
    vocabulary_labels,
)
from graphnas.spaces.topology import Decision, Derivation, Topology

# Counting all completions visits every set of open vertices: up to this many vertices that takes about a second.
_COUNTABLE_VERTICES = 9


class DagTopology(Topology):
    """Cells are graphs with one input, at most `max_vertices` vertices and at most `max_edges` edges.

    Args:
        operations: Names of the operations of inner vertices.
        max_vertices: Most vertices of a (pruned) cell, input and output included.
        max_edges: Most edges of a (pruned) cell.
        prune: Whether dead vertices are dropped before a cell is judged; otherwise they are illegal.
    """

    kind = "dag"

    def __init__(
        self,
        operations: Sequence[str],
        *,
        max_vertices: int,
        max_edges: int | None = None,
        prune: bool = True,
    ) -> None:
        most = max_vertices * (max_vertices - 1) // 2
        self.max_vertices, self.longest_path = max_vertices, max_vertices - 2
        self.max_edges = most if max_edges is None else min(max_edges, most)
        self.prune = prune
        self.vocabulary = ("input", OUTPUT, *operations)
        decisions = []
        for j in range(1, max_vertices):
            codes = tuple(range(1, len(self.vocabulary)))
            decisions.append(Decision(f"op{j}", self.vocabulary[1:], j, "operation", codes))
            decisions += [Decision(f"edge{i}_{j}", ("no", "yes"), j, "edge", (i,)) for i in range(j)]
        self.decisions = tuple(decisions)

    @property
    def settings(self) -> dict[str, Any]:
        """Limits and whether dead vertices are dropped."""
        return {"max_vertices": self.max_vertices, "max_edges": self.max_edges, "prune": self.prune}

    @functools.cached_property
    def count(self) -> int | None:
        """Number of derivations, by counting the completions of every open set; of at most nine vertices."""
        return self._completions[1] if self.max_vertices <= _COUNTABLE_VERTICES else None

    def start(self, n: int) -> DagDerivation:
        """`n` derivations that hold the input vertex alone."""
        return DagDerivation.empty(self, n)

    def encode(self, arrays: CellArrays) -> NDArray[np.int8]:
        """`n x t` decisions of simplified cells."""
        width = min(arrays.ops.shape[1], self.max_vertices)
        decisions = np.zeros((arrays.n, len(self.decisions)), dtype=np.int8)
        for step, decision in enumerate(self.decisions):
            if decision.vertex >= width:
                break
            if decision.kind == "operation":
                decisions[:, step] = np.maximum(arrays.ops[:, decision.vertex] - 1, 0)
            else:
                decisions[:, step] = arrays.adjacency[:, decision.codes[0], decision.vertex]
        return decisions

    def simplify(self, arrays: CellArrays) -> CellArrays:
        """Prune the cells if the space does."""
        return prune_arrays(arrays) if self.prune else arrays

    def canonical(self, arrays: CellArrays, labels: Sequence[str] | None = None) -> CellArrays:
        """Simplified cells in canonical order, which is topological and hence that of a derivation."""
        return canonical_arrays(self.simplify(arrays), labels or self.vocabulary)

    def is_legal(self, arrays: CellArrays) -> BoolArray:
        """Whether each simplified cell is connected and within the limits."""
        edges = arrays.adjacency.sum((1, 2))
        fed = arrays.adjacency.any(1).sum(1) == arrays.size - 1
        feeding = arrays.adjacency.any(2).sum(1) == arrays.size - 1
        legal: BoolArray = fed & feeding & (edges <= self.max_edges) & (arrays.size <= self.max_vertices)
        return legal

    def check(self, cell: Cell) -> None:
        """Refuse a cell with an unknown operation, dead vertices, or more than the limits."""
        self.check_labels(cell, self.vocabulary[2:])
        live = cell.pruned()
        if not live.edges:
            raise ValueError("vertex 0: there is no path from the input to the output")
        if not self.prune and live.size < cell.size:
            dead = next(
                v
                for v in range(1, cell.size - 1)
                if Cell(cell.ops, frozenset(e for e in cell.edges if v not in e)).pruned() == live
            )
            raise ValueError(f"vertex {dead} ({cell.ops[dead]!r}) lies on no path from the input to the output")
        after = " after pruning" if live.size < cell.size else ""
        if live.size > self.max_vertices:
            raise ValueError(
                f"vertex {self.max_vertices}: expected at most {self.max_vertices} vertices{after}, got {live.size}"
            )
        if len(live.edges) > self.max_edges:
            surplus = sorted(live.edges)[self.max_edges]
            raise ValueError(
                f"edge {surplus}: expected at most {self.max_edges} edges{after}, but got {len(live.edges)}"
            )

    def edits(self, arrays: CellArrays) -> CellArrays:
        """Change one operation, toggle one edge, put a vertex on an edge, or take a vertex off a path."""
        cell = self.simplify(arrays)
        size = int(cell.size[0])
        ops, adjacency = cell.ops[0, :size], cell.adjacency[0, :size, :size]
        codes = range(2, len(self.vocabulary))
        found: list[tuple[NDArray[np.int8], BoolArray]] = []
        for vertex in range(1, size - 1):
            for code in codes:
                if code != ops[vertex]:
                    changed = ops.copy()
                    changed[vertex] = code
                    found.append((changed, adjacency))
        for j in range(1, size):
            for i in range(j):
                toggled = adjacency.copy()
                toggled[i, j] ^= True
                found.append((ops, toggled))
        for i, j in np.argwhere(adjacency).tolist():
            wider = np.insert(np.insert(adjacency, j, False, axis=0), j, False, axis=1)
            wider[i, j + 1], wider[i, j], wider[j, j + 1] = False, True, True
            found += [(np.insert(ops, j, np.int8(code)), wider) for code in codes]
        for vertex in range(1, size - 1):
            before, behind = np.flatnonzero(adjacency[:, vertex]), np.flatnonzero(adjacency[vertex])
            if before.size == 1 and behind.size == 1 and not adjacency[before[0], behind[0]]:
                shorter = adjacency.copy()
                shorter[before[0], behind[0]] = True
                shorter = np.delete(np.delete(shorter, vertex, axis=0), vertex, axis=1)
                found.append((np.delete(ops, vertex), shorter))
        width = size + 1
        result = CellArrays(
            np.full((len(found), width), -1, dtype=np.int8),
            np.zeros((len(found), width, width), dtype=bool),
            np.array([edited.size for edited, _ in found], dtype=np.int8),
        )
        for row, (edited, graph) in enumerate(found):
            result.ops[row, : edited.size] = edited
            result.adjacency[row, : edited.size, : edited.size] = graph
        return result

    def sample(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` random cells in canonical order.

        Uniform over isomorphism classes: a labelled cell drawn uniformly among all derivations is kept if it is the
        canonical one of its class, and every class has exactly one. Spaces of more than nine vertices are too large
        to count; there every decision is drawn uniformly among its legal choices instead, which is not uniform.
        """
        if self.max_vertices > _COUNTABLE_VERTICES:
            return canonical_arrays(self.sample_by_decision(n, rng), self.vocabulary)
        kept: list[CellArrays] = []
        missing, rate = n, 0.3
        while missing > 0:
            drawn = self.keep_canonical(self._sample_labelled(int(missing / rate) + 64, rng))
            kept.append(drawn.take(slice(missing)))
            missing -= kept[-1].n
        if not kept:
            return self._sample_labelled(0, rng)
        return stack_arrays(kept)

    def keep_canonical(self, arrays: CellArrays) -> CellArrays:
        """The cells that equal their own canonical form: of every class's labelled members, exactly one."""
        # Canonical order sorts by depth and label first, which is cheap and rules out most.
        labels = vocabulary_labels(arrays, self.vocabulary)
        depth = vertex_depth(arrays.adjacency)
        inner = np.arange(2, labels.shape[1]) < arrays.size[:, None] - 1
        falls = (depth[:, 2:] < depth[:, 1:-1]) | ((depth[:, 2:] == depth[:, 1:-1]) & (labels[:, 2:] < labels[:, 1:-1]))
        return super().keep_canonical(arrays.take(~(falls & inner).any(1)))

    @functools.cached_property
    def _completions(self) -> tuple[dict[tuple[int, int, int], tuple[IntArray, NDArray[np.float64]]], int]:
        """For a vertex, edges used and open set: the options `2 * m + is_output` and their cumulative shares.

        And the number of all derivations.
        """
        table: dict[tuple[int, int, int], tuple[IntArray, NDArray[np.float64]]] = {}
        kinds = len(self.vocabulary) - 2

        @functools.cache
        def count(vertex: int, used: int, opened: int) -> int:
            options, weights = [], []
            for m in range(1, 1 << vertex):
                cost = used + (m | opened).bit_count()
                if m & opened == opened and cost <= self.max_edges:
                    options.append(2 * m + 1)
                    weights.append(1)
                if kinds and vertex < self.max_vertices - 1 and cost + 1 <= self.max_edges:
                    rest = count(vertex + 1, used + m.bit_count(), (opened & ~m) | (1 << vertex))
                    options.append(2 * m)
                    weights.append(kinds * rest)
            total = sum(weights)
            shares = np.cumsum(np.array(weights, dtype=np.float64) / max(total, 1))
            table[vertex, used, opened] = (np.array(options, dtype=np.int64), shares)
            return total

        return table, count(1, 0, 1)

    def _sample_labelled(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` cells drawn uniformly among all derivations."""
        v = self.max_vertices
        completions, _ = self._completions
        arrays = _empty_arrays(n, v)
        used, opened = np.zeros(n, dtype=np.int64), np.ones(n, dtype=np.int64)
        active = np.arange(n)
        for vertex in range(1, v):
            if not active.size:
                break
            state = used[active] << v | opened[active]
            states, inverse = np.unique(state, return_inverse=True)
            draw = rng.random(active.size)
            option = np.empty(active.size, dtype=np.int64)
            groups = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
            for key, rows in zip(states.tolist(), groups, strict=True):
                options, shares = completions[vertex, key >> v, key & ((1 << v) - 1)]
                at = np.searchsorted(shares, draw[rows], side="right")
                option[rows] = options[np.minimum(at, options.size - 1)]
            m, ends = option >> 1, (option & 1).astype(bool)
            arrays.adjacency[active, :vertex, vertex] = (m[:, None] >> np.arange(vertex)) & 1
            kind = rng.integers(2, max(len(self.vocabulary), 3), active.size)
            arrays.ops[active, vertex] = np.where(ends, 1, kind)
            arrays.size[active[ends]] = vertex + 1
            used[active] += np.bitwise_count(m)
            opened[active] = (opened[active] & ~m) | (1 << vertex)
            active = active[~ends]
        return arrays


def _empty_arrays(n: int, v: int) -> CellArrays:
    ops = np.full((n, v), -1, dtype=np.int8)
    ops[:, 0] = 0
    return CellArrays(ops, np.zeros((n, v, v), dtype=bool), np.ones(n, dtype=np.int8))


@dataclass
class DagDerivation(Derivation):
    """Derivations of `dag` cells, see the module's rules."""

    topology: DagTopology
    step: int
    cells: CellArrays
    """Cells derived so far; `size` stays 1 until the output is chosen."""
    used: IntArray
    """`n` edges of the finished vertices (`E`)."""
    opened: BoolArray
    """`n x v` vertices that feed nothing yet (`D`)."""
    chosen: BoolArray
    """`n x v` predecessors of the vertex under construction (`m`)."""

    @classmethod
    def empty(cls, topology: DagTopology, n: int) -> Self:
        """`n` derivations before their first decision."""
        v = topology.max_vertices
        opened = np.zeros((n, v), dtype=bool)
        opened[:, 0] = True
        return cls(topology, 0, _empty_arrays(n, v), np.zeros(n, dtype=np.int64), opened, np.zeros_like(opened))

    def legal(self) -> BoolArray:
        """Legal choices of the next decision."""
        decision = self.topology.decisions[self.step]
        vertex, n = decision.vertex, self.used.shape[0]
        limit = self.topology.max_edges
        legal = np.zeros((n, len(decision.choices)), dtype=bool)
        # The size is set when the output is chosen: cells that ended at an earlier vertex only have choice 0.
        ended = (self.cells.size > 1) & (self.cells.size <= vertex)
        if decision.kind == "operation":
            legal[:, 0] = True
            if vertex < self.topology.max_vertices - 1:
                legal[:, 1:] = (~ended & (self.used + self.opened.sum(1) + 1 <= limit))[:, None]
            return legal
        source = decision.codes[0]
        is_output = self.cells.size == vertex + 1
        union = self.chosen | self.opened
        cost = self.used + union.sum(1) + ~union[:, source] + ~is_output
        last_chance = ~self.chosen.any(1) & (source == vertex - 1)
        legal[:, 0] = ended | np.where(is_output, ~self.opened[:, source], ~last_chance)
        legal[:, 1] = ~ended & (cost <= limit)
        return legal

    def choose(self, choices: NDArray[Any]) -> None:
        """Make the next decision in every derivation."""
        decision = self.topology.decisions[self.step]
        vertex = decision.vertex
        ended = (self.cells.size > 1) & (self.cells.size <= vertex)
        if decision.kind == "operation":
            self.cells.ops[:, vertex] = np.where(ended, -1, np.asarray(choices) + 1)
            self.cells.size[~ended & (np.asarray(choices) == 0)] = vertex + 1
        else:
            (source,) = decision.codes
            self.chosen[:, source] = np.asarray(choices) > 0
            if source == vertex - 1:
                self.cells.adjacency[:, :, vertex] = self.chosen
                self.used += self.chosen.sum(1)
                self.opened &= ~self.chosen
                self.opened[:, vertex] = ~ended
                self.chosen[:] = False
        self.step += 1

    def take(self, rows: NDArray[Any]) -> DagDerivation:
        """Copies of the derivations at the given rows."""
        return DagDerivation(
            self.topology,
            self.step,
            self.cells.take(rows),
            self.used[rows],
            self.opened[rows],
            self.chosen[rows],
        )
