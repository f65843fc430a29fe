"""Drawings of cells as SVG: layers from input to output, coloured boxes for operations, curves for edges.

The layout follows Sugiyama, Tagawa and Toda (1981): vertices in layers by longest path, a bend in every layer that a
long edge passes, an order in each layer that crosses few edges, and places that pull edges straight.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from graphnas.cell import OUTPUT, Architecture, Cell, is_input

_PALETTE = (
    "#2f6fb7", "#d1722a", "#3b8f5a", "#8b5bb5", "#c2475b", "#2b8c96", "#a3812a", "#6b7684", "#b8578f", "#5d7f2e",
)  # fmt: skip
# Operations of the common spaces keep one colour in all drawings; others take theirs by name.
_COLOURS = {
    "conv3x3": "#2f6fb7", "conv1x1": "#d1722a", "maxpool3x3": "#3b8f5a",
    "nor_conv_3x3": "#2f6fb7", "nor_conv_1x1": "#d1722a", "max_pool_3x3": "#3b8f5a",
    "conv5x5": "#8b5bb5", "sepconv3x3": "#2b8c96", "sepconv5x5": "#b8578f", "avgpool3x3": "#5d7f2e",
    "sep_conv_3x3": "#2b8c96", "sep_conv_5x5": "#b8578f", "avg_pool_3x3": "#5d7f2e",
    "dil_conv_3x3": "#a3812a", "dil_conv_5x5": "#c2475b", "skip_connect": "#6b7684", "none": "#a8b0bb",
    "sum": "#47505c",
}  # fmt: skip
_HEIGHT, _LAYER, _GAP, _MARGIN = 30.0, 62.0, 22.0, 14.0
_BEND = 10.0  # width that a passing edge takes in a layer


@dataclass
class _Node:
    """A vertex, or a bend of a long edge."""

    layer: int
    width: float
    vertex: int | None
    x: float = 0.0
    place: int = 0


def operation_colour(operation: str) -> str:
    """The fill colour of an operation's box, as a hexadecimal RGB triple."""
    if is_input(operation) or operation == OUTPUT:
        return "#47505c"
    return _COLOURS.get(operation) or _PALETTE[sum(map(ord, operation)) % len(_PALETTE)]


def cell_svg(cell: Cell, *, title: str = "") -> str:
    """Draw a cell.

    Args:
        cell: Any cell; vertices that reach no output are drawn too.
        title: Shown above the cell and given to screen readers.

    Returns:
        A complete SVG document without references to anything outside it.
    """
    body, width, height = _draw(cell)
    return _document([(title, body, width, height)], title or "A cell")


def architecture_svg(architecture: Architecture, cell_names: Sequence[str] = (), *, title: str = "") -> str:
    """Draw the cells of an architecture side by side, each under its name if there are several.

    Args:
        architecture: One or more cells.
        cell_names: `Space.cell_names`.
        title: Given to screen readers.
    """
    names = list(cell_names) if len(architecture.cells) > 1 else [""]
    drawings = [
        (name, *_draw(cell)) for name, cell in itertools.zip_longest(names, architecture.cells, fillvalue="")
        if isinstance(cell, Cell)
    ]  # fmt: skip
    return _document(drawings, title or f"An architecture of {architecture.space}")


def _document(drawings: Sequence[tuple[str, str, float, float]], label: str) -> str:
    header = 22.0 if any(name for name, *_ in drawings) else 0.0
    width = sum(width for *_, width, _ in drawings) + 2 * _MARGIN + 3 * _GAP * (len(drawings) - 1)
    height = max(height for *_, height in drawings) + 2 * _MARGIN + header
    parts, x = [], _MARGIN
    for name, body, own_width, _ in drawings:
        if name:
            parts.append(f'<text class="cell-name" x="{x + own_width / 2:.1f}" y="18">{escape(name)}</text>')
        parts.append(f'<g transform="translate({x:.1f} {_MARGIN + header:.1f})">{body}</g>')
        x += own_width + 3 * _GAP
    # Edges in mid grey are legible on light and dark ground alike; boxes bring their own.
    style = (
        ".edge{fill:none;stroke:#8a94a3;stroke-width:1.6}.tip{fill:#8a94a3}"
        ".op{fill:#fff;font:600 12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;"
        "text-anchor:middle}"
        ".cell-name{fill:#7d8793;font:600 12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;"
        "text-anchor:middle}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cell" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(label)}">'
        f"<style>{style}</style>{''.join(parts)}</svg>"
    )


def _draw(cell: Cell) -> tuple[str, float, float]:
    """The drawing of a cell as SVG elements, with its width and height."""
    nodes, chains = _layers(cell)
    layers = _order(nodes, chains)
    _place(layers, chains)
    left = min(node.x - node.width / 2 for node in nodes)
    right = max(node.x + node.width / 2 for node in nodes)
    for node in nodes:
        node.x -= left
    edges = "".join(_edge(chain) for chain in chains)
    boxes = "".join(_box(node, cell.ops[node.vertex]) for node in nodes if node.vertex is not None)
    height = max(node.layer for node in nodes) * _LAYER + _HEIGHT
    return edges + boxes, right - left, height


def _layers(cell: Cell) -> tuple[list[_Node], list[list[_Node]]]:
    """Nodes with their layers, and each edge as the chain of nodes it passes."""
    depth = [0] * cell.size
    for i, j in sorted(cell.edges, key=lambda edge: edge[1]):
        depth[j] = max(depth[j], depth[i] + 1)
    depth[-1] = max(*depth[:-1], 0) + 1
    vertices = [_Node(depth[v], 26 + 7.4 * len(op), v) for v, op in enumerate(cell.ops)]
    nodes, chains = list(vertices), []
    for i, j in sorted(cell.edges):
        bends = [_Node(layer, _BEND, None) for layer in range(depth[i] + 1, depth[j])]
        nodes += bends
        chains.append([vertices[i], *bends, vertices[j]])
    return nodes, chains


def _order(nodes: Sequence[_Node], chains: Sequence[Sequence[_Node]]) -> list[list[_Node]]:
    """Nodes of each layer from left to right, ordered by the mean place of their neighbours, sweep after sweep."""
    layers = [[n for n in nodes if n.layer == layer] for layer in range(max(n.layer for n in nodes) + 1)]
    segments = [pair for chain in chains for pair in itertools.pairwise(chain)]

    def number() -> None:
        for layer in layers:
            for place, node in enumerate(layer):
                node.place = place

    def crossings() -> int:
        return sum(
            (a.place - c.place) * (b.place - d.place) < 0
            for (a, b), (c, d) in itertools.combinations(segments, 2)
            if a.layer == c.layer
        )

    number()
    fewest, kept = crossings(), [list(layer) for layer in layers]
    for sweep in range(12):
        down = sweep % 2 == 0
        for layer in layers if down else layers[::-1]:

            def mean(node: _Node, down: bool = down) -> float:
                near = (
                    [a.place for a, b in segments if b is node] if down else [b.place for a, b in segments if a is node]
                )
                return sum(near) / len(near) if near else node.place

            layer.sort(key=mean)
            number()
        if (count := crossings()) < fewest:
            fewest, kept = count, [list(layer) for layer in layers]
    layers = kept
    number()
    return layers


def _place(layers: Sequence[Sequence[_Node]], chains: Sequence[Sequence[_Node]]) -> None:
    """Give nodes their horizontal centres: neighbours pull, bends hold together, and no two boxes overlap."""
    pulls: dict[int, list[tuple[_Node, float]]] = {}
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            weight = (2.0, 0.5, 16.0)[(a.vertex is None) + (b.vertex is None)]
            pulls.setdefault(id(a), []).append((b, weight))
            pulls.setdefault(id(b), []).append((a, weight))
    weights = [[sum(weight for _, weight in pulls.get(id(node), ())) or 1.0 for node in layer] for layer in layers]
    for layer in layers:
        _separate(layer, [0.0] * len(layer), [1.0] * len(layer))
    for sweep in range(200):
        for row in range(len(layers)) if sweep % 2 == 0 else reversed(range(len(layers))):
            wanted = []
            for node, total in zip(layers[row], weights[row], strict=True):
                near = pulls.get(id(node), [])
                wanted.append(sum(other.x * weight for other, weight in near) / total if near else node.x)
            _separate(layers[row], wanted, weights[row])
    for chain in chains:
        bends = [node for node in chain if node.vertex is None]
        # A chain that passes on the outside of every layer can be straight without meeting a box.
        for side, outermost in ((0, min), (-1, max)):
            if bends and all(layers[node.layer][side] is node for node in bends):
                x = outermost(node.x for node in bends)
                for node in bends:
                    node.x = x


def _separate(layer: Sequence[_Node], wanted: Sequence[float], weights: Sequence[float]) -> None:
    """The places closest to those wanted, in weighted squares, that keep order and gaps (pool adjacent violators)."""
    offsets = [0.0]
    for left, right in itertools.pairwise(layer):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + _GAP)
    blocks: list[tuple[float, float, int]] = []  # mean start, weight, nodes
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        blocks.append((want - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, u, m), (b, w, n) = blocks[-2:]
            blocks[-2:] = [((a * u + b * w) / (u + w), u + w, m + n)]
    starts = [mean for mean, _, count in blocks for _ in range(count)]
    for node, start, offset in zip(layer, starts, offsets, strict=True):
        node.x = start + offset


def _edge(chain: Sequence[_Node]) -> str:
    """A smooth curve from the bottom of the first node to the top of the last, vertical at every layer it meets."""
    first, last = chain[0], chain[-1]
    x, y = first.x, first.layer * _LAYER + _HEIGHT
    path = [f"M{x:.1f} {y:.1f}"]
    for node in chain[1:]:
        top = node.layer * _LAYER - (6.0 if node is last else 0.0)
        middle = (y + top) / 2
        path.append(f"C{x:.1f} {middle:.1f} {node.x:.1f} {middle:.1f} {node.x:.1f} {top:.1f}")
        x, y = node.x, top
        if node is not last:
            y += _HEIGHT
            path.append(f"V{y:.1f}")
    tip = last.layer * _LAYER
    arrow = f"M{x:.1f} {tip:.1f}l-4.2 -8h8.4z"
    return f'<path class="edge" d="{"".join(path)}"/><path class="tip" d="{arrow}"/>'


def _box(node: _Node, operation: str) -> str:
    left, top = node.x - node.width / 2, node.layer * _LAYER
    radius = _HEIGHT / 2 if is_input(operation) or operation == OUTPUT else 7
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{node.width:.1f}" height="{_HEIGHT:g}" rx="{radius:g}" '
        f'fill="{operation_colour(operation)}"/>'
        f'<text class="op" x="{node.x:.1f}" y="{top + _HEIGHT / 2:.1f}" dy=".35em">{escape(operation)}</text>'
    )
