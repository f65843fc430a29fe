"""The `in_degree` topology: nodes that each sum a fixed number of operations on earlier states (DARTS).

States are the inputs and the nodes. A node is `in_degree` operations on different earlier states, added up. Each
operation becomes a vertex with one predecessor, followed by a vertex `sum` for the node; the output takes in all
nodes. Without the vertices `sum`, cells in which two nodes share their readers could not be told apart.

The published count, `product over nodes n of C(inputs + n, in_degree) * k ** in_degree`, is of labelled cells: 1.04e9
for DARTS. Nodes that do not feed one another can be exchanged, so there are fewer classes; `classes` counts them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.canonical import canonical_order
from graphnas.cell import (
    OUTPUT,
    BoolArray,
    Cell,
    CellArrays,
    reorder_arrays,
    stack_arrays,
    to_arrays,
    vocabulary_labels,
)
from graphnas.spaces.topology import Decision, FixedDerivation, FixedTopology

SUM = "sum"
"""Label of the vertex that adds up a node's operations."""

_COUNTABLE_NODES = 5  # counting classes tries every order of the nodes on every wiring


class InDegreeTopology(FixedTopology):
    """Cells have a fixed number of nodes, each of a fixed in-degree (Liu et al. 2019, arXiv 1806.09055, Sec. 2.1).

    Args:
        operations: Names of the operations.
        nodes: Number of nodes.
        in_degree: Operations that each node adds up, on different states.
        inputs: Number of input states, labelled `input0`, `input1`, ...
        exclude: Operations that keep their place in the vocabulary but are illegal.
    """

    kind = "in_degree"

    def __init__(
        self,
        operations: Sequence[str],
        *,
        nodes: int,
        in_degree: int = 2,
        inputs: int = 2,
        exclude: Sequence[str] = (),
    ) -> None:
        self.nodes, self.in_degree, self.exclude = nodes, in_degree, tuple(exclude)
        self.inputs = tuple(f"input{i}" for i in range(inputs))
        self.vocabulary = (*self.inputs, OUTPUT, SUM, *operations)
        self.max_vertices, self.longest_path = inputs + nodes * (in_degree + 1) + 1, nodes
        allowed = [(op, code) for code, op in enumerate(self.vocabulary) if code > inputs + 1 and op not in exclude]
        names, codes = tuple(op for op, _ in allowed), tuple(code for _, code in allowed)
        self.states = [*range(inputs), *(inputs + n * (in_degree + 1) + in_degree for n in range(nodes))]
        """Vertices of the inputs and of the nodes' sums."""
        state_names = [*self.inputs, *(f"node{n}" for n in range(nodes))]
        ops = np.full((1, self.max_vertices), -1, dtype=np.int8)
        ops[0, :inputs], ops[0, -1] = range(inputs), inputs
        adjacency = np.zeros((1, self.max_vertices, self.max_vertices), dtype=bool)
        decisions = []
        for n in range(nodes):
            earlier, total = self.states[: inputs + n], self.states[inputs + n]
            for slot in range(in_degree):
                vertex = total - in_degree + slot
                decisions.append(Decision(f"node{n}_op{slot}", names, vertex, "operation", codes))
                sources = tuple(state_names[: inputs + n])
                decisions.append(Decision(f"node{n}_input{slot}", sources, vertex, "source", tuple(earlier)))
                adjacency[0, vertex, total] = True
            ops[0, total] = inputs + 1
            adjacency[0, total, -1] = True
        self.decisions = tuple(decisions)
        self.template = CellArrays(ops, adjacency, np.array([self.max_vertices], dtype=np.int8))

    @property
    def settings(self) -> dict[str, Any]:
        """Numbers of nodes, operations a node, and inputs, and what is excluded."""
        return {
            "nodes": self.nodes,
            "in_degree": self.in_degree,
            "inputs": len(self.inputs),
            "exclude": list(self.exclude),
        }

    @property
    def _kinds(self) -> int:
        return len(self.decisions[0].choices)

    @property
    def count(self) -> int:
        """Number of labelled cells, by the published formula."""
        inputs = len(self.inputs)
        wirings = math.prod(math.comb(inputs + n, self.in_degree) for n in range(self.nodes))
        return int(wirings * self._kinds ** (self.in_degree * self.nodes))

    def start(self, n: int) -> InDegreeDerivation:
        """`n` derivations that hold inputs, sums and output."""
        return InDegreeDerivation(self, 0, self.template.take(np.zeros(n, dtype=np.int64)))

    def simplify(self, arrays: CellArrays) -> CellArrays:
        """Put the vertices into node order, operations before their sum and sorted by their states."""
        return self._laid_out(arrays, np.broadcast_to(np.arange(arrays.ops.shape[1]), arrays.ops.shape))

    def canonical(self, arrays: CellArrays, labels: Sequence[str] | None = None) -> CellArrays:
        """The same with nodes in the canonical order of their sums."""
        order = canonical_order(vocabulary_labels(arrays, labels or self.vocabulary), arrays.adjacency, arrays.size)
        return self._laid_out(arrays, np.argsort(order, axis=1))

    def _laid_out(self, arrays: CellArrays, place: NDArray[np.int64]) -> CellArrays:
        """Renumber vertices so that sums stand in the order of `place` (`n x v`); other sizes stay as they are."""
        v, inputs = self.max_vertices, len(self.inputs)
        rows = np.flatnonzero(arrays.size == v)
        if not rows.size:
            return arrays
        full, place = arrays.take(rows).padded(v), place[rows, :v]
        is_sum = full.ops == inputs + 1
        # Number of each state: inputs as they are, sums in the order of their places.
        state = np.where(is_sum, place, 4 * v).argsort(1, kind="stable").argsort(1) + inputs
        state[:, :inputs] = np.arange(inputs)
        state = np.where(is_sum | (np.arange(v) < inputs), state, 0)
        # An operation belongs to the node of the sum that it feeds, and there stands by the state that feeds it.
        reader = (full.adjacency & is_sum[:, None, :]).argmax(2)
        source = np.take_along_axis(state, full.adjacency.argmax(1), 1)
        node = np.where(is_sum, state, np.take_along_axis(state, reader, 1))
        key = node * 4 * v + np.where(is_sum, 2 * v, source)
        key[:, :inputs] = np.arange(inputs) - inputs
        key[:, -1] = 64 * v * v
        ordered = reorder_arrays(full, np.argsort(key, axis=1, kind="stable"))
        result = CellArrays(arrays.ops.copy(), arrays.adjacency.copy(), arrays.size)
        result.ops[rows, :v], result.adjacency[rows, :v, :v] = ordered.ops, ordered.adjacency
        return result

    def check(self, cell: Cell) -> None:
        """Refuse a cell with another layout, in-degree or operation, or with two operations on one state."""
        inputs = len(self.inputs)
        for vertex, op in enumerate(cell.ops):
            if op in self.exclude:
                raise ValueError(f"vertex {vertex}: {op!r} is excluded here (a space with exclude = [] allows it)")
        self.check_labels(cell, (SUM, *self.decisions[0].choices))
        sums = [vertex for vertex, op in enumerate(cell.ops) if op == SUM]
        if len(sums) != self.nodes:
            raise ValueError(f"vertex {cell.size - 1}: expected {self.nodes} vertices {SUM!r}, but got {len(sums)}")
        into: list[list[int]] = [[i for i in range(j) if (i, j) in cell.edges] for j in range(cell.size)]
        out: list[list[int]] = [[j for j in range(i, cell.size) if (i, j) in cell.edges] for i in range(cell.size)]
        states = {*range(inputs), *sums}
        for vertex in range(inputs, cell.size - 1):
            if vertex in sums:
                operations = [i for i in into[vertex] if i not in states]
                if len(operations) != self.in_degree or len(into[vertex]) != self.in_degree:
                    raise ValueError(
                        f"vertex {vertex} ({SUM!r}): expected {self.in_degree} operations, but {into[vertex]} feed it"
                    )
                sources = [into[i][0] for i in operations if into[i]]
                if len(set(sources)) < len(sources):
                    raise ValueError(
                        f"vertex {vertex} ({SUM!r}): expected operations on different states, but they read {sources}"
                    )
                if (vertex, cell.size - 1) not in cell.edges:
                    raise ValueError(
                        f"edge {(vertex, cell.size - 1)}: every node feeds the output, but this one does not"
                    )
            elif len(into[vertex]) != 1 or into[vertex][0] not in states:
                raise ValueError(
                    f"vertex {vertex} ({cell.ops[vertex]!r}): expected an input or a sum to feed it, not {into[vertex]}"
                )
            elif len(out[vertex]) != 1 or out[vertex][0] not in sums:
                raise ValueError(
                    f"vertex {vertex} ({cell.ops[vertex]!r}): expected it to feed one sum, not {out[vertex]}"
                )
        for i in into[cell.size - 1]:
            if i not in sums:
                raise ValueError(f"edge {(i, cell.size - 1)}: only sums feed the output, vertex {i} is {cell.ops[i]!r}")
        assert self.is_legal(self.simplify(to_arrays([cell], self.vocabulary)))[0]

    def edits(self, arrays: CellArrays) -> CellArrays:
        """Change one operation, or let it read another state that its node does not read yet."""
        cell = self.simplify(arrays)
        changed = [self.relabelled(cell)]
        for decision in self.decisions:
            if decision.kind == "source":
                read = cell.adjacency[0, list(decision.codes), decision.vertex]
                others = [code for code, is_read in zip(decision.codes, read, strict=True) if not is_read]
                moved = cell.take(np.zeros(len(others), dtype=np.int64))
                moved.adjacency[:, list(decision.codes), decision.vertex] = False
                moved.adjacency[np.arange(len(others)), others, decision.vertex] = True
                changed.append(moved)
        return stack_arrays(changed)

    def sample(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` random cells, uniform over classes: of labelled cells drawn uniformly the canonical ones are kept."""
        kept: list[CellArrays] = []
        missing, rate = n, 0.5
        while missing > 0 or not kept:
            drawn = self._sample_labelled(int(missing / rate) + 16, rng)
            canonical = self.keep_canonical(drawn)
            rate = max(canonical.n / drawn.n, 0.01)
            kept.append(canonical.take(slice(missing)))
            missing -= kept[-1].n
        return stack_arrays(kept)

    def _sample_labelled(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` cells drawn uniformly among all derivations."""
        cells = self.template.take(np.zeros(n, dtype=np.int64))
        codes, inputs = np.array(self.decisions[0].codes, dtype=np.int8), len(self.inputs)
        for node in range(self.nodes):
            # The places of the smallest random numbers are a uniform subset of the earlier states.
            drawn = np.sort(rng.random((n, inputs + node)).argsort(1)[:, : self.in_degree], axis=1)
            for slot in range(self.in_degree):
                vertex = self.states[inputs + node] - self.in_degree + slot
                cells.ops[:, vertex] = codes[rng.integers(codes.size, size=n)]
                cells.adjacency[np.arange(n), np.array(self.states)[drawn[:, slot]], vertex] = True
        return cells

    def classes(self) -> int | None:
        """Number of classes up to isomorphism, of at most five nodes.

        A class has as many labelled members as its wiring has orders of the nodes, divided by the cell's
        automorphisms; these are counted over all operations at once by the renamings that keep a wiring.
        """
        if self.nodes > _COUNTABLE_NODES:
            return None
        inputs, kinds = len(self.inputs), self._kinds
        choices = [list(itertools.combinations(range(inputs + n), self.in_degree)) for n in range(self.nodes)]
        orders = list(itertools.permutations(range(self.nodes)))
        shares: dict[int, int] = {}
        for wiring in itertools.product(*choices):
            symmetric, legal = 0, 0
            for order in orders:  # node n is renamed order[n]
                renamed = [
                    state if state < inputs else inputs + order[state - inputs] for state in range(inputs + self.nodes)
                ]
                reads = {order[n]: {renamed[state] for state in wiring[n]} for n in range(self.nodes)}
                legal += all(max(read) < inputs + n for n, read in reads.items())
                if all(reads[n] == set(wiring[n]) for n in range(self.nodes)):
                    symmetric += kinds ** _cycles(wiring, order, renamed)
            shares[legal] = shares.get(legal, 0) + symmetric
        return sum(symmetric // legal for legal, symmetric in shares.items())


def _cycles(wiring: Sequence[Sequence[int]], order: Sequence[int], renamed: Sequence[int]) -> int:
    """Cycles of a renaming of nodes among the operations, each of which is a node with a state that it reads."""
    move = {(n, state): (order[n], renamed[state]) for n, reads in enumerate(wiring) for state in reads}
    count, left = 0, set(move)
    while left:
        start = at = left.pop()
        count += 1
        while (at := move[at]) != start:
            left.discard(at)
    return count


class InDegreeDerivation(FixedDerivation):
    """Derivations in which the operations of a node read different states, in order."""

    topology: InDegreeTopology

    def legal(self) -> BoolArray:
        """All operations; of the states, those after the last one read that leave enough for the other slots."""
        decision = self.topology.decisions[self.step]
        if decision.kind == "operation":
            return super().legal()
        slots = self.topology.in_degree
        slot = self.step // 2 % slots
        choice = np.arange(len(decision.choices))
        legal = np.broadcast_to(choice < len(choice) - (slots - 1 - slot), (self.cells.n, len(choice))).copy()
        if slot:
            last = self.cells.adjacency[:, list(decision.codes), decision.vertex - 1].argmax(1)
            legal &= choice > last[:, None]
        return legal
