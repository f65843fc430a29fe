"""NAS-Bench-201's architecture strings and indices (Dong & Yang 2020, arXiv 2001.00326).

A cell has nodes 0, 1, ..., of which node 0 is the input and the last one the output, and an operation on every edge
from an earlier to a later node. The string lists the edges node by node, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` for
four nodes: `op~a` in the group of node b is the operation on the edge from a to b.

Here operations sit on vertices. `Cell.ops` is `"input"`, then the operations in the string's order, then `"output"`;
an operation into node b feeds all operations out of node b, and those into the last node feed the output.
"""

from __future__ import annotations

import functools
import itertools
import random

from graphnas.cell import OUTPUT, Cell

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""Official names in the order in which the official index counts; `none` is an operation like the others."""

_NODES = 4  # of the cells that have an official index
_LONGEST = 2**16  # characters


def from_string(text: str) -> Cell:
    """The cell of an official string with any number of nodes.

    Example:
        >>> from_string("|nor_conv_3x3~0|").ops
        ('input', 'nor_conv_3x3', 'output')

    Raises:
        ValueError: naming the node and the edge that are wrong.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"Expected a string of at most {_LONGEST:,} characters, but got {len(text):,}")
    ops = []
    groups = text.split("+")
    for node, group in enumerate(groups, start=1):
        if len(group) < 2 or group[0] != "|" or group[-1] != "|":
            raise ValueError(f"Expected node {node} as '|op~0|...|', but got {group!r:.200}")
        entries = group[1:-1].split("|")
        if len(entries) != node:
            raise ValueError(
                f"Expected node {node} to have {node} operations, but got {len(entries)} in {group!r:.200}"
            )
        for source, entry in enumerate(entries):
            op, _, end = entry.partition("~")
            if end != str(source):
                raise ValueError(
                    f"Expected operation {source} of node {node} to end in '~{source}', but got {entry!r:.200}"
                )
            if op not in OPERATIONS:
                raise ValueError(
                    f"Expected the operation from node {source} to node {node} to be one of {', '.join(OPERATIONS)}, "
                    f"but got {op!r:.200}"
                )
            ops.append(op)
    return Cell(("input", *ops, OUTPUT), _edges(len(groups) + 1))


def to_string(cell: Cell) -> str:
    """Inverse of `from_string`.

    Args:
        cell: A cell whose vertices stand in the string's order. A relabelled one is refused: its string would give
            another cell back.

    Raises:
        ValueError: naming the vertex or edge that departs from the string's order.
    """
    if cell.ops[0] != "input":
        raise ValueError(f"Expected vertex 0 to be 'input', but got {cell.ops[0]!r}")
    for vertex, op in enumerate(cell.ops[1:-1], start=1):
        if op not in OPERATIONS:
            raise ValueError(f"Expected vertex {vertex} to be one of {', '.join(OPERATIONS)}, but got {op!r:.200}")
    nodes, place = 1, 0  # place counts the edges of the complete graph on `nodes` nodes
    while place < cell.size - 2:
        place += nodes
        nodes += 1
    if place != cell.size - 2 or nodes < 2:
        raise ValueError(f"Expected 1, 3, 6, 10, ... operations, one for each pair of nodes, but got {cell.size - 2}")
    expected = _edges(nodes)
    if cell.edges != expected:
        edge = min(cell.edges ^ expected)
        raise ValueError(
            f"Expected the vertex order of a string with {nodes} nodes, but edge {edge} is "
            f"{'missing' if edge in expected else 'not part of it'}"
        )
    ops = iter(cell.ops[1:-1])
    groups = ("".join(f"{next(ops)}~{source}|" for source in range(node)) for node in range(1, nodes))
    return "+".join(f"|{group}" for group in groups)


def from_index(index: int) -> Cell:
    """The cell with an official index, 0 to 15,624.

    Raises:
        ValueError: if there is no such index.
    """
    if not 0 <= index < len(_by_index()):
        raise ValueError(f"Expected an index from 0 to {len(_by_index()) - 1:,}, but got {index}")
    return Cell(("input", *_by_index()[index], OUTPUT), _edges(_NODES))


def to_index(cell: Cell) -> int:
    """The official index of a cell of four nodes.

    Raises:
        ValueError: if the vertices do not stand in the order of `to_string`, or if the number of nodes is not four.
    """
    text = to_string(cell)
    if cell.size != _NODES * (_NODES - 1) // 2 + 2:
        raise ValueError(f"Expected a cell of {_NODES} nodes, which alone have an index, but got {text!r:.200}")
    return _index_of()[cell.ops[1:-1]]


@functools.lru_cache(maxsize=16)
def _edges(nodes: int) -> frozenset[tuple[int, int]]:
    """Edges between vertices: the operation a -> b is vertex 1 + b (b - 1) / 2 + a."""
    vertex = {pair: place for place, pair in enumerate(((a, b) for b in range(1, nodes) for a in range(b)), start=1)}
    first = {(0, vertex[0, b]) for b in range(1, nodes)}
    inner = {(vertex[a, b], vertex[b, c]) for a, b in vertex for c in range(b + 1, nodes)}
    last = {(vertex[a, nodes - 1], len(vertex) + 1) for a in range(nodes - 1)}
    return frozenset(first | inner | last)


@functools.cache
def _by_index() -> tuple[tuple[str, ...], ...]:
    """Operations of all cells in the official order: counted up with the last edge fastest, then shuffled, seed 88."""
    # A generator of its own; the published lists were shuffled by the global one with this seed.
    cells = list(itertools.product(OPERATIONS, repeat=_NODES * (_NODES - 1) // 2))
    random.Random(88).shuffle(cells)
    return tuple(cells)


@functools.cache
def _index_of() -> dict[tuple[str, ...], int]:
    return {ops: index for index, ops in enumerate(_by_index())}
