"""NAS-Bench-101's cell specifications, (matrix, ops), and its module hash."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from graphnas.cell import Cell

try:
    # CPython's own; on texts this short it takes half the time of hashlib's, which goes through OpenSSL.
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    from hashlib import md5

OPERATIONS = ("conv3x3", "conv1x1", "maxpool3x3")
"""Our names of the operations, in the order of NAS-Bench-101's labels 0, 1, 2."""
OFFICIAL = {
    "input": "input",
    "output": "output",
    "conv3x3": "conv3x3-bn-relu",
    "conv1x1": "conv1x1-bn-relu",
    "maxpool3x3": "maxpool3x3",
}
"""Our operation names and those of the official specifications."""

_OURS = {official: ours for ours, official in OFFICIAL.items()}
_LABELS = {"input": -1, "output": -2} | {op: label for label, op in enumerate(OPERATIONS)}


def from_matrix(matrix: Sequence[Sequence[Any]], ops: Sequence[str]) -> Cell:
    """The cell of an official specification, vertices in the same order.

    Args:
        matrix: `v x v` adjacency of zeros and ones (or booleans), upper triangular.
        ops: `v` official operation names, `"input"` first and `"output"` last.

    Raises:
        ValueError: naming the entry of `matrix` or `ops` that is wrong.
    """
    names = []
    for place, op in enumerate(ops):
        if op not in _OURS:
            raise ValueError(f"Expected ops[{place}] to be one of {sorted(_OURS)}, but got {op!r}")
        if (op == "input") != (place == 0) or (op == "output") != (place == len(ops) - 1):
            raise ValueError(f"Expected 'input' first and 'output' last, but got ops[{place}] = {op!r}")
        names.append(_OURS[op])
    if len(matrix) != len(names):
        raise ValueError(f"Expected matrix to have {len(names)} rows, one for each of ops, but got {len(matrix)}")
    edges = set()
    for i, row in enumerate(matrix):
        if len(row) != len(names):
            raise ValueError(f"Expected matrix[{i}] to have {len(names)} entries, but got {len(row)}")
        for j, entry in enumerate(row):
            if entry not in (0, 1):
                raise ValueError(f"Expected matrix[{i}][{j}] to be 0 or 1, but got {entry!r}")
            if entry and j <= i:
                raise ValueError(f"Expected an upper triangular matrix, but matrix[{i}][{j}] is {entry!r}")
            if entry:
                edges.add((i, j))
    return Cell(tuple(names), frozenset(edges))


def to_matrix(cell: Cell) -> tuple[list[list[int]], list[str]]:
    """Inverse of `from_matrix`: the official (matrix, ops) of a cell, unpruned.

    Raises:
        ValueError: naming the vertex whose operation NAS-Bench-101 does not have.
    """
    for vertex, op in enumerate(cell.ops):
        if op not in OFFICIAL:
            raise ValueError(f"Expected vertex {vertex} to be one of {sorted(OFFICIAL)}, but got {op!r}")
    return cell.adjacency.astype(int).tolist(), [OFFICIAL[op] for op in cell.ops]


def module_hash(cell: Cell) -> str:
    """NAS-Bench-101's own hash of a cell: 32 hex digits, the key of its published tables.

    Dead vertices are dropped first. The hash is invariant to isomorphism; that it is different for all classes
    is a fact checked on the 423,624 cells, not a theorem.

    Raises:
        ValueError: if the cell has an operation that NAS-Bench-101 does not have.
    """
    return _module_hash(cell.ops, cell.edges)


@functools.lru_cache(maxsize=65536)
def _module_hash(ops: tuple[str, ...], edges: frozenset[tuple[int, int]]) -> str:
    into: list[list[int]] = [[] for _ in ops]
    out: list[list[int]] = [[] for _ in ops]
    for i, j in edges:
        into[j].append(i)
        out[i].append(j)
    # In plain integers: for one small cell, arrays would cost more than the hash itself.
    last = len(ops) - 1
    reached, useful = {0}, {last}
    for j in range(1, last + 1):
        if not reached.isdisjoint(into[j]):
            reached.add(j)
    for i in range(last - 1, -1, -1):
        if not useful.isdisjoint(out[i]):
            useful.add(i)
    live = (reached & useful) | {0, last}
    number = {vertex: place for place, vertex in enumerate(sorted(live))}
    try:
        labels = [_LABELS[ops[vertex]] for vertex in number]
    except KeyError as error:
        raise ValueError(f"Operation {error} is not one of NAS-Bench-101's, {OPERATIONS}") from None
    return hash_graph(
        labels,
        [[number[i] for i in into[vertex] if i in live] for vertex in number],
        [[number[j] for j in out[vertex] if j in live] for vertex in number],
    )


def _digest(text: str) -> str:
    digits: str = md5(text.encode()).hexdigest()
    return digits


def hash_graph(labels: Sequence[int], into: Sequence[Sequence[int]], out: Sequence[Sequence[int]]) -> str:
    """The iterative hash of NAS-Bench-101's published code, on a pruned graph.

    Args:
        labels: `v` labels: -1 input, -2 output, 0, 1, 2 the operations.
        into: For each vertex, the vertices that feed it.
        out: For each vertex, the vertices that it feeds.
    """
    hashes = [_digest(str((len(o), len(i), label))) for label, i, o in zip(labels, into, out, strict=True)]
    for _ in labels:
        hashes = [
            _digest(f"{_joined(hashes, i)}|{_joined(hashes, o)}|{own}")
            for own, i, o in zip(hashes, into, out, strict=True)
        ]
    return _digest(str(sorted(hashes)))


def _joined(hashes: list[str], vertices: Sequence[int]) -> str:
    if len(vertices) == 1:
        return hashes[vertices[0]]
    return "".join(sorted([hashes[vertex] for vertex in vertices]))
