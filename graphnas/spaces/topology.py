"""What a topology offers: cells as sequences of categorical decisions with exact masks.

A choice is legal if and only if it can still be completed to a legal cell. One description serves random sampling,
enumeration, parsing, Optuna parameters and a decoder's masks, for a whole batch of cells at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import BoolArray, Cell, CellArrays


class Decision(NamedTuple):
    """One categorical decision of a derivation."""

    name: str
    """Unique in its cell, such as `op3` or `edge1_3`."""
    choices: tuple[str, ...]
    """Names of the choices in the order of their codes."""
    vertex: int
    """The vertex that the decision belongs to."""
    source: int | None
    """The earlier vertex for an edge decision, None for an operation decision."""


class Derivation(ABC):
    """The state of `n` derivations that have made the same number of decisions.

    `legal` and `choose` alternate until all decisions are made; decisions after the end of a cell have the one legal
    choice 0.
    """

    step: int
    """Number of decisions made."""

    @abstractmethod
    def legal(self) -> BoolArray:
        """`n x k` mask of the legal choices of the next decision, which has `k` choices."""

    @abstractmethod
    def choose(self, choices: NDArray[Any]) -> None:
        """Make the next decision in every derivation; `choices` is `n` legal codes."""

    @abstractmethod
    def take(self, rows: NDArray[Any]) -> Derivation:
        """Copies of the derivations at the given rows."""

    @abstractmethod
    def arrays(self) -> CellArrays:
        """The `n` cells, once all decisions are made."""


class Topology(ABC):
    """The rules of one kind of cell."""

    vocabulary: tuple[str, ...]
    """Vertex labels in the order of their codes in `CellArrays`."""
    decisions: tuple[Decision, ...]
    """All decisions of a cell in the order in which they are made."""
    max_vertices: int
    """Most vertices of a cell, inputs and output included."""

    @abstractmethod
    def start(self, n: int) -> Derivation:
        """`n` derivations before their first decision."""

    @abstractmethod
    def encode(self, arrays: CellArrays) -> NDArray[np.int8]:
        """`n x t` decisions that derive the given legal cells with their vertex numbers."""

    @abstractmethod
    def simplify(self, arrays: CellArrays) -> CellArrays:
        """The cells without what the topology ignores, such as dead vertices."""

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

    @abstractmethod
    def enumerate(self) -> CellArrays:
        """One legal cell of each isomorphism class, in canonical order."""

    def sample_by_decision(self, n: int, rng: np.random.Generator) -> CellArrays:
        """`n` cells by decisions drawn uniformly among the legal choices of each step."""
        derivation = self.start(n)
        for _ in self.decisions:
            legal = derivation.legal()
            score = np.where(legal, rng.random(legal.shape, dtype=np.float32), -1.0)
            derivation.choose(score.argmax(1))
        return derivation.arrays()

    def all_derivations(self) -> CellArrays:
        """The cells of all derivations: every labelled legal cell once."""
        derivation = self.start(1)
        for _ in self.decisions:
            rows, choices = np.nonzero(derivation.legal())
            derivation = derivation.take(rows)
            derivation.choose(choices)
        return derivation.arrays()

    def masks(self, decisions: NDArray[np.int8]) -> BoolArray:
        """`n x t x k`: legal choices at every step along complete derivations (`k` of the widest decision)."""
        width = max(len(decision.choices) for decision in self.decisions)
        masks = np.zeros((*decisions.shape, width), dtype=bool)
        derivation = self.start(decisions.shape[0])
        for step, decision in enumerate(self.decisions):
            masks[:, step, : len(decision.choices)] = derivation.legal()
            derivation.choose(decisions[:, step])
        return masks
