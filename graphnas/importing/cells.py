"""Cells of any labels, from GraphML, networkx or PyTorch Geometric, as imported networks."""

from __future__ import annotations

import functools
from collections import Counter

from graphnas.cell import OUTPUT, Cell, is_input
from graphnas.importing.coarsening import Account, CoarseGraph, Vertex
from graphnas.importing.operators import ImportFailed, Operator, OperatorGraph, kind_of
from graphnas.spaces import Space
from graphnas.spaces.universal import UNIVERSAL, universal_codes, universal_label

_MOST_INPUTS = 2  # of cells that universal labels are known for


def known_label(op: str) -> str | None:
    """The universal label of an operation of any space, of a layer of PyTorch or ONNX, or of an imported vertex.

    None if it has none.
    """
    if label := universal_label(op):
        return label
    if label := _labels_of_spaces().get(op):
        return label
    kind = kind_of(op)
    return universal_label(op.lower()) or universal_label("identity" if kind == "view" else kind.replace("_", ""))


@functools.cache
def _labels_of_spaces() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in Space.names():
        space = Space.load(name)
        if len(space.topology.inputs) <= _MOST_INPUTS:
            codes = universal_codes(space)
            found |= {op: UNIVERSAL[code] for op, code in zip(space.vocabulary, codes, strict=True)}
    return found


def graph_of_cell(cell: Cell) -> CoarseGraph:
    """A cell as a network whose vertices are as they are: nothing is put together.

    Vertices that have a universal label have it; others keep their own and count as unmapped.

    Raises:
        ImportFailed: if no path joins an input and the output, or the cell is too large.
    """
    labels = [op if is_input(op) or op == OUTPUT else known_label(op) or op for op in cell.ops]
    sources: list[list[int]] = [[] for _ in labels]
    for source, number in sorted(cell.edges):
        sources[number].append(source)
    kinds = ["input" if is_input(label) else label for label in labels]
    graph = OperatorGraph(tuple(Operator(kind, tuple(read)) for kind, read in zip(kinds, sources, strict=True)))
    fed = graph.fed()
    live = [number for number, both in enumerate(zip(fed, graph.read(), strict=True)) if all(both)]
    if cell.size - 1 not in live:
        raise ImportFailed("Expected a graph whose output depends on its input, but no path joins them")
    entering = [number for number in live if kinds[number] == "input"]
    inner = live[len(entering) : -1]
    place = {number: vertex for vertex, number in enumerate(live)}
    for number in entering:
        labels[number] = "input" if len(entering) == 1 else f"input{place[number]}"
    vertices = tuple(
        Vertex(labels[number], tuple(place[one] for one in sources[number] if one in place), names=(cell.ops[number],))
        for number in live
    )
    account = Account(
        operators=len(inner),
        vertices=Counter(labels[number] for number in inner),
        fused={},
        passed_over={},
        unmapped=Counter(labels[number] for number in inner if universal_label(labels[number]) is None),
        unread=Counter(labels[number] for number in set(range(cell.size)) - set(live) if fed[number]),
        constants=fed.count(False),
    )
    return CoarseGraph(vertices, account)
