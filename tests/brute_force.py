"""All labelled cells of small spaces, straight from the papers' definitions: an oracle for derivations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from graphnas.cell import Cell


def dag(operations: tuple[str, ...], *, max_vertices: int, max_edges: int, prune: bool) -> Iterable[Cell]:
    """Every labelled graph in which all vertices lie on paths from input to output (Ying et al. 2019)."""
    assert prune
    for size in range(2, max_vertices + 1):
        pairs = [(i, j) for j in range(1, size) for i in range(j)]
        graphs = []
        for bits in itertools.product((False, True), repeat=len(pairs)):
            edges = frozenset(pair for pair, bit in zip(pairs, bits, strict=True) if bit)
            into, out_of = {j for _, j in edges}, {i for i, _ in edges}
            if len(edges) <= max_edges and into >= set(range(1, size)) and out_of >= set(range(size - 1)):
                graphs.append(edges)
        for ops in itertools.product(operations, repeat=size - 2):
            yield from (Cell(("input", *ops, "output"), edges) for edges in graphs)


def chain(operations: tuple[str, ...], *, layers: int) -> Iterable[Cell]:
    """Every choice of operations and skips (Pham et al. 2018)."""
    skips = [(i, j) for j in range(1, layers + 1) for i in range(j - 1)]
    backbone = {(i, i + 1) for i in range(layers + 1)}
    for ops in itertools.product(operations, repeat=layers):
        for taken in itertools.product((False, True), repeat=len(skips)):
            edges = backbone | {skip for skip, bit in zip(skips, taken, strict=True) if bit}
            yield Cell(("input", *ops, "output"), frozenset(edges))


def complete(operations: tuple[str, ...], *, nodes: int) -> Iterable[Cell]:
    """Every choice of operations on the edges of a complete graph, edges as vertices (Dong & Yang 2020)."""
    places = [(a, b) for b in range(nodes) for a in range(b)]
    edges = set()
    for vertex, (a, b) in enumerate(places, start=1):
        if a == 0:
            edges.add((0, vertex))
        if b == nodes - 1:
            edges.add((vertex, len(places) + 1))
        edges |= {(vertex, other) for other, (c, _) in enumerate(places, start=1) if c == b}
    for ops in itertools.product(operations, repeat=len(places)):
        yield Cell(("input", *ops, "output"), frozenset(edges))


def in_degree(
    operations: tuple[str, ...], *, nodes: int, in_degree: int, inputs: int, exclude: list[str]
) -> Iterable[Cell]:
    """Every choice of states and operations of each node (Liu et al. 2019)."""
    allowed = [op for op in operations if op not in exclude]
    wirings = [list(itertools.combinations(range(inputs + node), in_degree)) for node in range(nodes)]
    for wiring in itertools.product(*wirings):
        for ops in itertools.product(allowed, repeat=nodes * in_degree):
            labels: list[str] = [f"input{i}" for i in range(inputs)]
            states, edges, left = list(range(inputs)), set(), list(ops)
            for sources in wiring:
                total = len(labels) + in_degree
                for source in sources:
                    edges |= {(states[source], len(labels)), (len(labels), total)}
                    labels.append(left.pop(0))
                labels.append("sum")
                states.append(total)
            edges |= {(state, len(labels)) for state in states[inputs:]}
            yield Cell((*labels, "output"), frozenset(edges))


CELLS: dict[str, Any] = {"dag": dag, "chain": chain, "complete": complete, "in_degree": in_degree}
