"""ENAS macro architectures as nested lists (Pham et al. 2018, arXiv 1802.03268).

An architecture is a chain of layers. The list of layer i, counted from 1, is `[op, bit_0, ..., bit_{i-2}]`: the code of
its operation, and for each vertex j whether it is a skip connection into the layer. Vertex 0 is the input, vertex j
the layer j. The layer before is always connected and has no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnas.cell import OUTPUT, Cell

OPERATIONS = ("conv3x3", "sepconv3x3", "conv5x5", "sepconv5x5", "avgpool3x3", "maxpool3x3")
"""Our names of the operations, in the order of the codes 0 to 5."""


def from_lists(lists: Sequence[Sequence[int]]) -> Cell:
    """The cell of an official nested list with any number of layers.

    Example:
        >>> from_lists([[0], [5, 1]]).ops
        ('input', 'conv3x3', 'maxpool3x3', 'output')

    Raises:
        ValueError: naming the layer and the entry that are wrong.
    """
    if not _is_sequence(lists) or not len(lists):
        raise ValueError(f"Expected one list for each of one or more layers, but got {lists!r:.100}")
    ops, edges = ["input"], {(len(lists), len(lists) + 1)}
    for layer, entries in enumerate(lists, start=1):
        if not _is_sequence(entries) or len(entries) != layer:
            raise ValueError(
                f"Expected layer {layer} to be a list of {layer} numbers, an operation and a bit for each vertex "
                f"before {layer - 1}, but got {entries!r:.100}"
            )
        code, *bits = entries
        if not _is_whole(code) or not 0 <= code < len(OPERATIONS):
            raise ValueError(
                f"Expected the operation of layer {layer} to be a code from 0 to {len(OPERATIONS) - 1}, "
                f"but got {code!r:.100}"
            )
        ops.append(OPERATIONS[code])
        edges.add((layer - 1, layer))
        for vertex, bit in enumerate(bits):
            if not _is_whole(bit) or bit not in (0, 1):
                raise ValueError(f"Expected bit {vertex} of layer {layer} to be 0 or 1, but got {bit!r:.100}")
            if bit:
                edges.add((vertex, layer))
    return Cell((*ops, OUTPUT), frozenset(edges))


def to_lists(cell: Cell) -> list[list[int]]:
    """Inverse of `from_lists`.

    Raises:
        ValueError: naming the vertex or edge that a chain with skip connections does not have.
    """
    layers = cell.size - 2
    if cell.ops[0] != "input" or layers < 1:
        raise ValueError(f"Expected 'input', one or more layers and 'output', but got {cell.ops!r:.200}")
    for layer, op in enumerate(cell.ops[1:-1], start=1):
        if op not in OPERATIONS:
            raise ValueError(f"Expected vertex {layer} to be one of {', '.join(OPERATIONS)}, but got {op!r:.100}")
        if (layer - 1, layer) not in cell.edges:
            raise ValueError(
                f"Expected each layer to be fed by the one before, but edge {(layer - 1, layer)} is missing"
            )
    into_output = sorted(i for i, j in cell.edges if j == layers + 1)
    if into_output != [layers]:
        raise ValueError(f"Expected vertex {layers} alone to feed the output, but got vertices {into_output}")
    return [
        [OPERATIONS.index(cell.ops[layer]), *(int((vertex, layer) in cell.edges) for vertex in range(layer - 1))]
        for layer in range(1, layers + 1)
    ]


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
