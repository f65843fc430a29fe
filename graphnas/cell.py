"""Cells and architectures as immutable values, and many cells at once as arrays.

A cell is a directed acyclic graph whose vertices carry operation names, inputs first and the output last. Equality
is labelled equality; `Cell.hash` is equality up to isomorphism. Nothing here imports torch.

Shapes use one alphabet in the whole library: `n` architectures or observations, `v` vertices, `k` operations in the
vocabulary, `d` latent dimensions, `h` hidden width, `q` candidates judged jointly, `m` outcomes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphnas.canonical import FIRST_INNER, OUTPUT_LABEL, canonical_hashes, canonical_order

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

OUTPUT = "output"


def is_input(op: str) -> bool:
    """Whether an operation name marks an input vertex: `input`, `input0`, `input1`, ..."""
    return op == "input" or (op.startswith("input") and op[5:].isascii() and op[5:].isdigit())


@dataclass(frozen=True)
class Cell:
    """A neural cell: a directed acyclic graph whose vertices carry operations.

    Vertices are numbered in topological order: inputs first, the output last.

    Example:
        >>> cell = Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))
        >>> cell.size
        3

    Raises:
        ValueError: if an edge does not run forward or names no vertex, or if inputs do not come first or the output
            not last.
    """

    ops: tuple[str, ...]
    """Operation of each of the `v` vertices; input labels first and `"output"` last."""
    edges: frozenset[tuple[int, int]]
    """Pairs `(i, j)` with `i < j`: the output of vertex `i` feeds vertex `j`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", tuple(self.ops))
        object.__setattr__(self, "edges", frozenset((int(i), int(j)) for i, j in self.edges))
        if not all(isinstance(op, str) and op for op in self.ops):
            raise ValueError(f"Expected ops to be non-empty names, but got {self.ops!r}")
        if len(self.ops) < 2 or self.ops[-1] != OUTPUT or self.ops.count(OUTPUT) != 1:
            raise ValueError(f"Expected the last vertex alone to be {OUTPUT!r}, but got ops {self.ops!r}")
        inputs = [is_input(op) for op in self.ops]
        if not inputs[0] or sorted(inputs, reverse=True) != inputs:
            raise ValueError(f"Expected input vertices first and at least one, but got ops {self.ops!r}")
        for i, j in sorted(self.edges):
            if not 0 <= i < j < len(self.ops):
                raise ValueError(
                    f"Expected edges (i, j) with 0 <= i < j < {len(self.ops)} vertices, but got edge ({i}, {j})"
                )
            if inputs[j]:
                raise ValueError(f"Edge ({i}, {j}) leads into vertex {j}, which is an input ({self.ops[j]!r})")

    @property
    def size(self) -> int:
        """Number of vertices, inputs and output included."""
        return len(self.ops)

    @functools.cached_property
    def adjacency(self) -> BoolArray:
        """`v x v` matrix, true at `[i, j]` where vertex `i` feeds vertex `j`."""
        matrix = np.zeros((self.size, self.size), dtype=bool)
        for i, j in self.edges:
            matrix[i, j] = True
        matrix.setflags(write=False)
        return matrix

    def pruned(self) -> Cell:
        """This cell without the inner vertices that lie on no path from an input to the output."""
        keep = _live(self.adjacency[None], np.array([self.size]), sum(map(is_input, self.ops)))[0]
        if keep.all():
            return self
        number = np.cumsum(keep) - 1
        edges = {(int(number[i]), int(number[j])) for i, j in self.edges if keep[i] and keep[j]}
        return Cell(tuple(op for op, live in zip(self.ops, keep, strict=True) if live), frozenset(edges))

    def canonical(self) -> Cell:
        """The member of this cell's isomorphism class whose vertices stand in canonical order."""
        order = canonical_order(_labels(self.ops)[None], self.adjacency[None], np.array([self.size]))[0]
        place = np.argsort(order)
        edges = frozenset((int(place[i]), int(place[j])) for i, j in self.edges)
        return Cell(tuple(self.ops[i] for i in order), edges)

    @functools.cached_property
    def hash(self) -> str:
        """32 hex digits, equal for two cells if and only if they are isomorphic as labelled graphs."""
        return canonical_hashes(_labels(self.ops)[None], self.adjacency[None], np.array([self.size]))[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists for JSON: `{"ops": [...], "edges": [[i, j], ...]}`."""
        return {"ops": list(self.ops), "edges": [list(edge) for edge in sorted(self.edges)]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cell:
        """Inverse of `to_dict`.

        Raises:
            ValueError: naming the key or the edge that is wrong.
        """
        if not isinstance(data, Mapping) or set(data) != {"ops", "edges"}:
            raise ValueError(f"Expected a cell with the keys 'ops' and 'edges', but got {data!r:.200}")
        ops, edges = data["ops"], data["edges"]
        if not isinstance(ops, list) or not all(isinstance(op, str) for op in ops):
            raise ValueError(f"Expected 'ops' to be a list of names, but got {ops!r:.200}")
        if not isinstance(edges, list):
            raise ValueError(f"Expected 'edges' to be a list of pairs, but got {edges!r:.200}")
        for place, edge in enumerate(edges):
            if not (isinstance(edge, list) and len(edge) == 2 and all(type(end) is int for end in edge)):
                raise ValueError(f"Expected edges[{place}] to be a pair of vertex numbers, but got {edge!r:.200}")
        pairs = [(int(i), int(j)) for i, j in edges]
        repeated = {pair for pair in pairs if pairs.count(pair) > 1} if len(set(pairs)) < len(pairs) else set()
        if repeated:
            raise ValueError(f"Expected each edge once, but edge {min(repeated)} stands twice in 'edges'")
        return cls(tuple(ops), frozenset(pairs))


@dataclass(frozen=True)
class Architecture:
    """A point of a search space: the space's name and one cell for each of its cell names."""

    space: str
    """Name of the space that says what is legal and how a network is built."""
    cells: tuple[Cell, ...]
    """Cells in the order of `Space.cell_names`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", tuple(self.cells))
        if not self.cells or not all(isinstance(cell, Cell) for cell in self.cells):
            raise ValueError(f"Expected cells to be one or more Cell values, but got {self.cells!r:.200}")

    def to_json(self) -> str:
        """One line of JSON; equal architectures give equal text."""
        return json.dumps({"space": self.space, "cells": [cell.to_dict() for cell in self.cells]}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Inverse of `to_json`.

        Raises:
            ValueError: naming what is wrong, with its place.
        """
        try:
            data = json.loads(text)
        except RecursionError:
            raise ValueError("Expected an architecture as JSON, but the text is nested too deeply") from None
        except ValueError as error:  # not JSON, or a number of thousands of digits
            raise ValueError(f"Expected an architecture as JSON, but {error}") from None
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Any) -> Architecture:
        """An architecture from parsed JSON.

        Raises:
            ValueError: naming what is wrong, with its place.
        """
        if not isinstance(data, dict) or not {"space", "cells"} <= set(data):
            raise ValueError(f"Expected an architecture with the keys 'space' and 'cells', but got {data!r:.200}")
        if not isinstance(data["space"], str) or not isinstance(data["cells"], list):
            raise ValueError(
                f"Expected 'space' to be a name and 'cells' a list, but got {data['space']!r:.80} and "
                f"{data['cells']!r:.80}"
            )
        cells = []
        for place, cell in enumerate(data["cells"]):
            try:
                cells.append(Cell.from_dict(cell))
            except ValueError as error:
                raise ValueError(f"cells[{place}]: {error}") from None
        return cls(data["space"], tuple(cells))


class CellArrays(NamedTuple):
    """Many cells of one vocabulary as arrays; rows beyond a cell's size are padding.

    Codes of `ops`: 0 input (further inputs follow), then the output, then the operations in the order of the space
    file; -1 is padding. `Space.vocabulary` lists them.
    """

    ops: NDArray[np.int8]
    """`n x v` vocabulary codes, -1 beyond a cell's size."""
    adjacency: BoolArray
    """`n x v x v`, true at `[a, i, j]` where vertex `i` feeds vertex `j` of cell `a`."""
    size: NDArray[np.int8]
    """`n` numbers of vertices."""

    def take(self, rows: Any) -> CellArrays:
        """The cells at the given row numbers, mask or slice."""
        return CellArrays(self.ops[rows], self.adjacency[rows], self.size[rows])

    def padded(self, width: int) -> CellArrays:
        """The cells with room for `width` vertices; padding beyond that is cut off."""
        v = min(width, self.ops.shape[1])
        ops = np.full((self.n, width), -1, dtype=np.int8)
        adjacency = np.zeros((self.n, width, width), dtype=bool)
        ops[:, :v], adjacency[:, :v, :v] = self.ops[:, :v], self.adjacency[:, :v, :v]
        return CellArrays(ops, adjacency, self.size)

    @property
    def n(self) -> int:
        """Number of cells."""
        return int(self.size.shape[0])


def stack_arrays(parts: Sequence[CellArrays]) -> CellArrays:
    """The cells of all parts, which have equal width, in order."""
    return CellArrays(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def to_arrays(cells: Sequence[Cell], vocabulary: Sequence[str], *, width: int | None = None) -> CellArrays:
    """Write cells as arrays of vocabulary codes, vertices in their own order.

    Args:
        cells: `n` cells.
        vocabulary: Names in the order of their codes.
        width: Number of vertices to pad to; the largest cell's if None.

    Raises:
        ValueError: if a cell has an operation outside the vocabulary or more vertices than `width`.
    """
    code = {name: number for number, name in enumerate(vocabulary)}
    largest = max((cell.size for cell in cells), default=2)
    width = largest if width is None else width
    if largest > width:
        raise ValueError(f"Expected cells of at most {width} vertices, but got one of {largest}")
    ops = np.full((len(cells), width), -1, dtype=np.int8)
    adjacency = np.zeros((len(cells), width, width), dtype=bool)
    size = np.array([cell.size for cell in cells], dtype=np.int8)
    for row, cell in enumerate(cells):
        try:
            ops[row, : cell.size] = [code[op] for op in cell.ops]
        except KeyError as error:
            raise ValueError(f"Operation {error} is not in the vocabulary {tuple(vocabulary)}") from None
        adjacency[row, : cell.size, : cell.size] = cell.adjacency
    return CellArrays(ops, adjacency, size)


def from_arrays(arrays: CellArrays, vocabulary: Sequence[str]) -> list[Cell]:
    """Inverse of `to_arrays`.

    Raises:
        ValueError: if a row is no cell.
    """
    n, v = arrays.ops.shape
    pair = [(i, j) for i in range(v) for j in range(v)]
    rows, codes = np.nonzero(arrays.adjacency.reshape(n, v * v))
    ends = np.cumsum(np.bincount(rows, minlength=n)).tolist()
    places = codes.tolist()
    # Many cells have the same operations, and share one tuple.
    kinds, kind = np.unique(arrays.ops, axis=0, return_inverse=True)
    names = [tuple(vocabulary[code] for code in row if code >= 0) for row in kinds.tolist()]
    cells = []
    start = 0
    checked = _well_formed(arrays, vocabulary).tolist()
    for right, which, end in zip(checked, kind.reshape(-1).tolist(), ends, strict=True):
        edges = frozenset([pair[place] for place in places[start:end]])
        cells.append(_trusted_cell(names[which], edges) if right else Cell(names[which], edges))
        start = end
    return cells


def _well_formed(arrays: CellArrays, vocabulary: Sequence[str]) -> BoolArray:
    """`n`: what `Cell` asks of its vertices and edges, for all rows at once."""
    v = arrays.ops.shape[1]
    inputs, vertex = sum(map(is_input, vocabulary)), np.arange(v)
    last = (arrays.ops >= 0).sum(1)[:, None] - 1
    inner = (arrays.ops > inputs) & (arrays.ops < len(vocabulary)) & (vertex >= inputs)
    # Inputs in their order, then inner vertices, then the output, then padding.
    expected = np.where(vertex < inputs, arrays.ops == vertex, inner)
    expected = np.where(vertex == last, arrays.ops == inputs, expected)
    expected = np.where(vertex > last, arrays.ops == -1, expected)
    forward = np.triu(np.ones((v, v), dtype=bool), 1)
    forward[:, :inputs] = False
    allowed = forward & (vertex <= last)[:, None, :]
    result: BoolArray = expected.all(1) & (last[:, 0] >= inputs) & ~(arrays.adjacency & ~allowed).any((1, 2))
    return result


def _trusted_cell(ops: tuple[str, ...], edges: frozenset[tuple[int, int]]) -> Cell:
    """A cell whose vertices and edges have been checked already."""
    cell = object.__new__(Cell)
    object.__setattr__(cell, "ops", ops)
    object.__setattr__(cell, "edges", edges)
    return cell


@functools.lru_cache(maxsize=4096)
def _label(op: str) -> int:
    """A number for an operation name that is the same in every process and on every machine."""
    # Inputs sort first and the output last, so that canonical order is a topological order of the same form.
    if op == OUTPUT:
        return OUTPUT_LABEL
    if is_input(op):
        return int(op[5:] or 0)
    return FIRST_INNER + int.from_bytes(hashlib.blake2b(op.encode(), digest_size=7).digest(), "big") % 2**61


def _labels(ops: Iterable[str]) -> IntArray:
    return np.array([_label(op) for op in ops], dtype=np.int64)


def vocabulary_labels(arrays: CellArrays, vocabulary: Sequence[str]) -> IntArray:
    """`n x v` vertex labels for `canonical_order`, independent of the vocabulary's order; -1 for padding."""
    return np.append(_labels(vocabulary), -1)[arrays.ops]


def _live(adjacency: BoolArray, size: NDArray[Any], inputs: int) -> BoolArray:
    """`n x v`: inputs, the output, and the vertices on a path between them."""
    n, v, _ = adjacency.shape
    vertex = np.arange(v)
    from_input = np.broadcast_to(vertex < inputs, (n, v)).copy()
    to_output = vertex == (size[:, None] - 1)
    ends = from_input | to_output
    for j in range(inputs, v):
        from_input[:, j] |= (adjacency[:, :, j] & from_input).any(1)
    for i in range(v - 2, -1, -1):
        to_output[:, i] |= (adjacency[:, i] & to_output).any(1)
    live: BoolArray = ends | (from_input & to_output)
    return live


def prune_arrays(arrays: CellArrays, *, inputs: int = 1) -> CellArrays:
    """Drop the inner vertices on no path from an input to the output, in all cells at once."""
    keep = _live(arrays.adjacency, arrays.size, inputs)
    keep &= arrays.ops >= 0
    # A stable sort moves the vertices that stay to the front, in their order.
    order = np.argsort(~keep, axis=1, kind="stable")
    size = keep.sum(1).astype(np.int8)
    valid = np.arange(keep.shape[1]) < size[:, None]
    pruned = reorder_arrays(arrays, order)
    adjacency = pruned.adjacency & valid[:, :, None] & valid[:, None, :]
    return CellArrays(np.where(valid, pruned.ops, np.int8(-1)), adjacency, size)


def reorder_arrays(arrays: CellArrays, order: IntArray) -> CellArrays:
    """Renumber vertices: new vertex `a` is old vertex `order[:, a]`."""
    rows = np.arange(arrays.n)[:, None]
    adjacency = arrays.adjacency[rows[:, :, None], order[:, :, None], order[:, None, :]]
    return CellArrays(arrays.ops[rows, order], adjacency, arrays.size)


def canonical_arrays(arrays: CellArrays, vocabulary: Sequence[str]) -> CellArrays:
    """Renumber the vertices of all cells into canonical order."""
    return reorder_arrays(arrays, canonical_order(vocabulary_labels(arrays, vocabulary), arrays.adjacency, arrays.size))
