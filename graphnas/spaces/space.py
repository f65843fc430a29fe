"""A search space: what is legal, how it is derived, and which architectures count as the same."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import (
    Architecture,
    BoolArray,
    CellArrays,
    from_arrays,
    stack_arrays,
    to_arrays,
)
from graphnas.content import content_folder
from graphnas.spaces.file import SpaceFile, SpaceFileError, read_space_file

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

ARCHITECTURE_KEY = "graphnas:architecture"
HASH_KEY = "graphnas:hash"

_LISTED = 10_000_000  # labelled cells that are looked through at most, which takes a minute and a few GB


class Space:
    """A search space of architectures, read from a TOML file.

    Example:
        >>> space = Space.load("nasbench101")
        >>> architecture, = space.sample(1, np.random.default_rng(0))
        >>> space.build(space.decisions(architecture)) == architecture
        True
    """

    def __init__(self, file: SpaceFile, path: Path) -> None:
        self.path = path
        """The file that the space was read from."""
        self.name = file.name
        self.title = file.title
        self.paper = file.paper
        self.cell_names = file.cells
        """Names of the cells of an architecture, such as `("normal", "reduce")`."""
        self.operations = file.operations
        """Operation names with the module and settings that build them."""
        self.network = file.network
        """The macro skeleton and its published settings."""
        self.encoder = file.encoder
        """What differs from the defaults of the encoder and its training: `latent_dim`, `edits` and `places`; and
        `pretrained`, the encoder of searches, where it is that of a larger space."""
        self.topology = file.topology
        self.size = file.size
        """Number of architectures up to `hash`, where it is known."""

    @classmethod
    def load(cls, name_or_path: str | Path, **limits: Any) -> Space:
        """Read a space that comes with the library, by name, or a space file of one's own, by path.

        Args:
            name_or_path: A name from `Space.names()` or a path that ends in `.toml`.
            limits: Topology settings to replace, such as `max_vertices=8`.

        Raises:
            SpaceFileError: if the file is missing or wrong, naming file, key and reason.
        """
        text = str(name_or_path)
        if text.endswith(".toml"):
            path = Path(text)
        elif text in cls.names():
            path = content_folder("spaces") / f"{text}.toml"
        else:
            raise SpaceFileError(Path(text), "", f"no such space; known: {', '.join(cls.names())}, or a .toml file")
        return cls(read_space_file(path, limits), path)

    @staticmethod
    def names() -> list[str]:
        """Names of the spaces that come with the library."""
        return sorted(path.stem for path in content_folder("spaces").glob("*.toml"))

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.topology.settings.items())
        return f"Space({self.name!r}, {settings})"

    @property
    def pretrained(self) -> str:
        """Name of the encoder of its searches: its own, or that of a larger space."""
        return str(self.encoder.get("pretrained", self.name))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Vertex labels in the order of their codes in `CellArrays`."""
        return self.topology.vocabulary

    # Drawing and listing

    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """`n` random architectures, independent, in canonical order; see the topology for their distribution."""
        if n < 0:
            raise ValueError(f"Expected n to be at least 0, but got {n}")
        return self.from_arrays(self.sample_arrays(n, rng))

    def sample_arrays(self, n: int, rng: np.random.Generator) -> CellArrays:
        """Cells of `n` random architectures as arrays, those of one architecture in consecutive rows."""
        return self.topology.sample(n * len(self.cell_names), rng)

    def enumerate(self, *, raw: bool = False) -> Iterator[Architecture]:
        """Every architecture once, up to `hash`; with `raw`, every published member of every class.

        Raises:
            ValueError: if the space has too many labelled cells to list.
        """
        arrays = self.enumerate_arrays(raw=raw)
        if len(self.cell_names) == 1:
            for start in range(0, arrays.n, 4096):
                yield from self.from_arrays(arrays.take(slice(start, start + 4096)))
            return
        cells = from_arrays(arrays, self.vocabulary)
        for combination in itertools.product(cells, repeat=len(self.cell_names)):
            yield Architecture(self.name, combination)

    def enumerate_arrays(self, *, raw: bool = False) -> CellArrays:
        """Every cell once, up to its hash, as arrays in canonical order; with `raw`, every published member.

        Raises:
            ValueError: if there are too many to list.
        """
        count = self.topology.count
        if count is None or count > _LISTED:
            number = "far more" if count is None else f"{count:,}, more"
            raise ValueError(f"Cannot enumerate {self.name}: its labelled cells are {number} than {_LISTED:,}")
        return self.topology.enumerate(raw=raw)

    # Conversion

    def to_arrays(self, architectures: Sequence[Architecture]) -> CellArrays:
        """Cells as arrays, vertices in their own order; the cells of one architecture are consecutive rows.

        Raises:
            ValueError: if an architecture has another number of cells, or an operation is not in the vocabulary.
        """
        for row, architecture in enumerate(architectures):
            if len(architecture.cells) != len(self.cell_names):
                raise ValueError(
                    f"Expected the cells {', '.join(self.cell_names)}, but architecture {row} has "
                    f"{len(architecture.cells)}"
                )
        cells = [cell for architecture in architectures for cell in architecture.cells]
        return to_arrays(cells, self.vocabulary)

    def from_arrays(self, arrays: CellArrays) -> list[Architecture]:
        """Inverse of `to_arrays`."""
        cells, parts = from_arrays(arrays, self.vocabulary), len(self.cell_names)
        return [Architecture(self.name, tuple(cells[at : at + parts])) for at in range(0, len(cells), parts)]

    def take(self, arrays: CellArrays, rows: NDArray[np.int64]) -> CellArrays:
        """The cells of the architectures with the given numbers, out of those of all."""
        parts = len(self.cell_names)
        return arrays.take((rows[:, None] * parts + np.arange(parts)).reshape(-1))

    # Legality and identity

    def validate(self, architecture: Architecture) -> None:
        """Refuse what is not in this space.

        Raises:
            ValueError: naming the cell, the vertex or edge, and the rule.
        """
        if architecture.space != self.name:
            raise ValueError(f"Expected an architecture of {self.name!r}, but got one of {architecture.space!r}")
        if len(architecture.cells) != len(self.cell_names):
            raise ValueError(
                f"Expected the cells {', '.join(self.cell_names)}, but got {len(architecture.cells)} cells"
            )
        for name, cell in zip(self.cell_names, architecture.cells, strict=True):
            try:
                self.topology.check(cell)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def hash(self, architecture: Architecture) -> str:
        """32 hex digits, equal if and only if a search counts two architectures as the same."""
        return self.hashes([architecture])[0]

    def hashes(self, architectures: Sequence[Architecture] | CellArrays) -> list[str]:
        """`hash` of many architectures at once; arrays hold one row for each cell."""
        arrays = architectures if isinstance(architectures, CellArrays) else self.to_arrays(architectures)
        cells = self.topology.hashes(self.topology.simplify(arrays))
        parts = len(self.cell_names)
        if parts == 1:
            return cells
        joined = ["".join(cells[start : start + parts]) for start in range(0, len(cells), parts)]
        return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in joined]

    # Edits

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All legal architectures one edit away, each once and none equal to the given one."""
        return self.from_arrays(self.neighbour_arrays(self.to_arrays([architecture])))

    def neighbour_arrays(self, cells: CellArrays) -> CellArrays:
        """`neighbours` of the architecture with the given cells, as cells in consecutive rows."""
        width, found = self.topology.max_vertices, []
        cells = cells.padded(width)
        for place in range(len(self.cell_names)):
            given = cells.take(slice(place, place + 1))
            edits = self.topology.simplify(self.topology.edits(given))
            edits = edits.take(self.topology.is_legal(edits))
            unique = {key: row for row, key in reversed(list(enumerate(self.topology.hashes(edits))))}
            unique.pop(self.topology.hashes(self.topology.simplify(given))[0], None)
            others = edits.take(np.array(sorted(unique.values()), dtype=np.int64))
            # The other cells stay: the given ones stand at the end, and are repeated around every edit.
            rows = np.broadcast_to(others.n + np.arange(cells.n), (others.n, cells.n)).copy()
            rows[:, place] = np.arange(others.n)
            found.append(stack_arrays([others.padded(width), cells]).take(rows.reshape(-1)))
        return stack_arrays(found)

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A neighbour drawn uniformly.

        Raises:
            ValueError: if the architecture has no neighbour.
        """
        neighbours = self.neighbours(architecture)
        if not neighbours:
            raise ValueError(f"{self.name} has no architecture one edit away from {architecture.to_json()}")
        return neighbours[int(rng.integers(len(neighbours)))]

    # Derivation

    @functools.cached_property
    def decision_names(self) -> tuple[str, ...]:
        """Names of all decisions, cell by cell: `cell.op1`, `cell.edge0_1`, ..."""
        return tuple(f"{cell}.{decision.name}" for cell in self.cell_names for decision in self.topology.decisions)

    def decisions(self, architecture: Architecture) -> NDArray[np.int8]:
        """`t` decisions that derive the (simplified) architecture with its vertex numbers.

        Raises:
            ValueError: if the architecture is not legal.
        """
        self.validate(architecture)
        arrays = self.topology.simplify(self.to_arrays([architecture]))
        return self.topology.encode(arrays).reshape(-1)

    def build(self, decisions: NDArray[Any] | Sequence[int]) -> Architecture:
        """The architecture that the decisions derive.

        Raises:
            ValueError: if a decision is missing or illegal, by its name.
        """
        choices = np.asarray(decisions)
        if choices.shape != (len(self.decision_names),):
            raise ValueError(f"Expected {len(self.decision_names)} decisions, but got shape {choices.shape}")
        cells = []
        for name, part in zip(self.cell_names, np.split(choices, len(self.cell_names)), strict=True):
            derivation = self.topology.start(1)
            for decision, choice in zip(self.topology.decisions, part.tolist(), strict=True):
                legal = np.flatnonzero(derivation.legal()[0]).tolist()
                if choice not in legal:
                    raise ValueError(
                        f"{name}.{decision.name}: expected one of {', '.join(decision.choices[c] for c in legal)} "
                        f"(codes {legal}) after the earlier decisions, but got {choice}"
                    )
                derivation.choose(np.array([choice]))
            cells += from_arrays(derivation.cells, self.vocabulary)
        return Architecture(self.name, tuple(cells))

    def nearest(self, decisions: NDArray[Any]) -> CellArrays:
        """The cells of `n x t` decisions of which any may be illegal.

        Each that is not legal after the earlier ones is replaced by the legal one nearest in the alphabet, the lower
        of two.
        """
        parts = len(self.cell_names)
        wanted = np.asarray(decisions).reshape(len(decisions) * parts, -1)
        derivation = self.topology.start(len(wanted))
        for column in wanted.T:
            legal = derivation.legal()
            apart = np.abs(np.arange(legal.shape[1]) - column[:, None])
            derivation.choose(np.where(legal, apart, legal.shape[1]).argmin(1))
        return derivation.cells

    def masks(self, prefix: NDArray[Any]) -> BoolArray:
        """`n x k` legal next choices after `n x t` decisions that were legal.

        Raises:
            ValueError: if the prefix is complete.
        """
        prefix = np.asarray(prefix)
        steps = len(self.topology.decisions)
        if prefix.ndim != 2 or prefix.shape[1] >= len(self.decision_names):
            raise ValueError(
                f"Expected prefix to be n x t with t < {len(self.decision_names)}, but got shape {prefix.shape}"
            )
        derivation = self.topology.start(prefix.shape[0])
        for choices in prefix[:, prefix.shape[1] // steps * steps :].T:
            derivation.choose(choices)
        return derivation.legal()

    # Optuna

    def distributions(self) -> dict[str, BaseDistribution]:
        """One categorical Optuna distribution for each decision, always with its full alphabet."""
        from optuna.distributions import CategoricalDistribution

        choices = [decision.choices for decision in self.topology.decisions] * len(self.cell_names)
        return {
            name: CategoricalDistribution(alphabet) for name, alphabet in zip(self.decision_names, choices, strict=True)
        }

    def parameters(self, architecture: Architecture) -> dict[str, str]:
        """The Optuna parameters that make `suggest` return the (simplified) architecture."""
        alphabets = [decision.choices for decision in self.topology.decisions] * len(self.cell_names)
        codes = self.decisions(architecture).tolist()
        return {
            name: alphabet[code] for name, alphabet, code in zip(self.decision_names, alphabets, codes, strict=True)
        }

    def suggest(self, trial: BaseTrial) -> Architecture:
        """Ask a trial for an architecture.

        Every decision is a categorical parameter; those that are not legal after the earlier ones are replaced as
        `nearest` does. The architecture is stored on the trial as JSON, with its hash; that record is authoritative.
        """
        wanted = [
            decision.choices.index(str(trial.suggest_categorical(f"{cell}.{decision.name}", decision.choices)))
            for cell in self.cell_names
            for decision in self.topology.decisions
        ]
        (architecture,) = self.from_arrays(self.nearest(np.array([wanted])))
        trial.set_user_attr(ARCHITECTURE_KEY, architecture.to_json())
        trial.set_user_attr(HASH_KEY, self.hash(architecture))
        return architecture
