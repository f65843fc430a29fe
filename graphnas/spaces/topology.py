"""What a topology offers: cells as sequences of categorical decisions with exact masks.

A choice is legal if and only if it can still be completed to a legal cell. One description serves random sampling,
enumeration, parsing, Optuna parameters and a decoder's masks, for a whole batch of cells at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphnas.canonical import canonical_hashes
from graphnas.cell import OUTPUT, BoolArray, Cell, CellArrays, stack_arrays, vocabulary_labels


class Decision(NamedTuple):
    """One categorical decision of a derivation."""

    name: str
    """Unique in its cell, such as `op3` or `edge1_3`."""
    choices: tuple[str, ...]
    """Names of the choices in the order of their codes."""
    vertex: int
    """The vertex that the decision belongs to."""
    kind: Literal["operation", "edge", "source"]
    """Which label the vertex has; whether one earlier vertex feeds it (choices no, yes); or which of some does."""
    codes: tuple[int, ...]
    """Vocabulary codes of an operation's choices, the earlier vertex of an edge, the vertices of a source's choices."""


class Derivation(ABC):
    """The state of `n` derivations that have made the same number of decisions.

    `legal` and `choose` alternate until all decisions are made; decisions after the end of a cell have the one legal
    choice 0.
    """

    step: int
    """Number of decisions made."""
    cells: CellArrays
    """The `n` cells; vertices before that of the next decision are complete, all are after the last one."""

    @abstractmethod
    def legal(self) -> BoolArray:
        """`n x k` mask of the legal choices of the next decision, which has `k` choices."""

    @abstractmethod
    def choose(self, choices: NDArray[Any]) -> None:
        """Make the next decision in every derivation; `choices` is `n` legal codes."""

    @abstractmethod
    def take(self, rows: NDArray[Any]) -> Derivation:
        """Copies of the derivations at the given rows."""


class Topology(ABC):
    """The rules of one kind of cell."""

    kind: str
    """What a space file calls it."""
    inputs: tuple[str, ...] = ("input",)
    """Labels of the input vertices, which come first."""
    vocabulary: tuple[str, ...]
    """Vertex labels in the order of their codes in `CellArrays`: inputs, the output, then all others."""
    decisions: tuple[Decision, ...]
    """All decisions of a cell in the order in which they are made."""
    max_vertices: int
    """Most vertices of a cell, inputs and output included."""
    longest_path: int
    """Most operations on a path from an input to the output."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The keys of a space file's `[topology]` table, but for `kind`."""

    @property
    @abstractmethod
    def count(self) -> int | None:
        """Number of derivations, that is of labelled legal cells; None where counting them takes too long."""

    def classes(self) -> int | None:
        """Number of classes up to `hashes`, where a formula gives it."""
        return None

    @abstractmethod
    def start(self, n: int) -> Derivation:
        """`n` derivations before their first decision."""

    @abstractmethod
    def encode(self, arrays: CellArrays) -> NDArray[np.int8]:
        """`n x t` decisions that derive the given legal, simplified cells."""

    @abstractmethod
    def simplify(self, arrays: CellArrays) -> CellArrays:
        """The cells as derivations write them, without what the topology ignores, such as dead vertices.

        Vertices keep their order where the topology leaves it open. Illegal cells stay illegal.
        """

    @abstractmethod
    def canonical(self, arrays: CellArrays, labels: Sequence[str] | None = None) -> CellArrays:
        """One simplified member for each class of isomorphic legal cells.

        Args:
            arrays: The cells.
            labels: Other names of the vocabulary's labels, by which vertices are put in order where that is open.
        """

    @abstractmethod
    def is_legal(self, arrays: CellArrays) -> BoolArray:
        """`n`: whether each simplified cell obeys the rules."""

    @abstractmethod
    def check(self, cell: Cell) -> None:
        """Refuse an illegal cell.

        Raises:
            ValueError: naming the vertex or edge and the rule.
        """

    @abstractmethod
    def edits(self, arrays: CellArrays) -> CellArrays:
        """All cells one edit away from the single cell given, legal or not, repeated or not."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` random legal cells, simplified."""

    def enumerate(self, *, raw: bool = False) -> CellArrays:
        """One legal cell of each class up to `hashes`; with `raw`, every published member of every class."""
        del raw
        return self.keep_canonical(self.all_derivations())

    def hashes(self, arrays: CellArrays) -> list[str]:
        """32 hex digits for each simplified cell, equal if and only if a search counts two cells as the same."""
        return canonical_hashes(vocabulary_labels(arrays, self.vocabulary), arrays.adjacency, arrays.size)

    def keep_canonical(self, arrays: CellArrays) -> CellArrays:
        """The cells that equal their own canonical form: of every class's labelled members, exactly one."""
        canonical = self.canonical(arrays)
        same = (canonical.adjacency == arrays.adjacency).all((1, 2)) & (canonical.ops == arrays.ops).all(1)
        return arrays.take(same)

    def sample_by_decision(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` cells by decisions drawn uniformly among the legal choices of each step."""
        derivation = self.start(n)
        for _ in self.decisions:
            legal = derivation.legal()
            score = np.where(legal, rng.random(legal.shape, dtype=np.float32), -1.0)
            derivation.choose(score.argmax(1))
        return derivation.cells

    def all_derivations(self) -> CellArrays:
        """The cells of all derivations: every labelled legal cell once."""
        derivation = self.start(1)
        for _ in self.decisions:
            rows, choices = np.nonzero(derivation.legal())
            derivation = derivation.take(rows)
            derivation.choose(choices)
        return derivation.cells

    def masks(self, decisions: NDArray[np.int8]) -> BoolArray:
        """`n x t x k`: legal choices at every step along complete derivations (`k` of the widest decision)."""
        width = max(len(decision.choices) for decision in self.decisions)
        masks = np.zeros((*decisions.shape, width), dtype=bool)
        derivation = self.start(decisions.shape[0])
        for step, decision in enumerate(self.decisions):
            masks[:, step, : len(decision.choices)] = derivation.legal()
            derivation.choose(decisions[:, step])
        return masks

    def check_labels(self, cell: Cell, allowed: Sequence[str]) -> None:
        """Refuse a cell whose inputs are not those of the topology or whose inner vertices are not `allowed`."""
        for vertex, op in enumerate(cell.ops):
            if vertex < len(self.inputs):
                expected: Sequence[str] = self.inputs[vertex : vertex + 1]
            else:
                expected = (OUTPUT,) if vertex == cell.size - 1 else allowed
            if op not in expected:
                raise ValueError(f"vertex {vertex}: expected one of {', '.join(expected)}, but got {op!r}")


class FixedTopology(Topology):
    """A topology whose cells share one template: a fixed number of vertices, some labels, some edges.

    Subclasses set `template` in their constructor, with label -1 where a decision gives it.
    """

    template: CellArrays
    """One cell with the labels and edges that all cells have."""

    def start(self, n: int) -> FixedDerivation:
        """`n` derivations that hold the template."""
        return FixedDerivation(self, 0, self.template.take(np.zeros(n, dtype=np.int64)))

    def encode(self, arrays: CellArrays) -> NDArray[np.int8]:
        """`n x t` decisions of simplified cells; -1 where a label is not offered."""
        decisions = np.zeros((arrays.n, len(self.decisions)), dtype=np.int8)
        for step, decision in enumerate(self.decisions):
            if decision.kind == "operation":
                choice = np.full(len(self.vocabulary), -1, dtype=np.int8)
                choice[list(decision.codes)] = np.arange(len(decision.codes))
                decisions[:, step] = choice[arrays.ops[:, decision.vertex]]
            else:
                fed = arrays.adjacency[:, list(decision.codes), decision.vertex]
                decisions[:, step] = fed[:, 0] if decision.kind == "edge" else fed.argmax(1)
        return decisions

    def is_legal(self, arrays: CellArrays) -> BoolArray:
        """Whether a cell's decisions are legal and derive it."""
        legal = np.zeros(arrays.n, dtype=bool)
        rows = np.flatnonzero(arrays.size == self.max_vertices)
        cells = arrays.take(rows).padded(self.max_vertices)
        decisions = self.encode(cells)
        derivation = self.start(rows.size)
        follows = np.ones(rows.size, dtype=bool)
        for choices in decisions.T:
            allowed = derivation.legal()
            follows &= (choices >= 0) & allowed[np.arange(rows.size), choices]
            # A cell that broke a rule is judged already; it goes on with any legal choice.
            derivation.choose(np.where(follows, choices, allowed.argmax(1)))
        follows &= (derivation.cells.ops == cells.ops).all(1)
        follows &= (derivation.cells.adjacency == cells.adjacency).all((1, 2))
        legal[rows] = follows
        return legal

    def relabelled(self, arrays: CellArrays) -> CellArrays:
        """All cells that differ from the single one given in the label of one vertex."""
        changed = []
        for decision in self.decisions:
            if decision.kind == "operation":
                codes = [code for code in decision.codes if code != arrays.ops[0, decision.vertex]]
                others = arrays.take(np.zeros(len(codes), dtype=np.int64))
                others.ops[:, decision.vertex] = codes
                changed.append(others)
        return stack_arrays(changed)


class FixedDerivation(Derivation):
    """Derivations that fill in a template; every choice is legal unless a subclass says otherwise."""

    def __init__(self, topology: FixedTopology, step: int, cells: CellArrays) -> None:
        self.topology, self.step, self.cells = topology, step, cells

    def legal(self) -> BoolArray:
        """All choices of the next decision."""
        return np.ones((self.cells.n, len(self.topology.decisions[self.step].choices)), dtype=bool)

    def choose(self, choices: NDArray[Any]) -> None:
        """Fill in the label or the edge."""
        decision = self.topology.decisions[self.step]
        chosen = np.asarray(choices)
        if decision.kind == "operation":
            self.cells.ops[:, decision.vertex] = np.array(decision.codes, dtype=np.int8)[chosen]
        elif decision.kind == "edge":
            self.cells.adjacency[:, decision.codes[0], decision.vertex] = chosen > 0
        else:
            self.cells.adjacency[np.arange(self.cells.n), np.array(decision.codes)[chosen], decision.vertex] = True
        self.step += 1

    def take(self, rows: NDArray[Any]) -> FixedDerivation:
        """Copies of the derivations at the given rows."""
        return type(self)(self.topology, self.step, self.cells.take(rows))
