"""One vocabulary for the cells of all spaces, and for networks from elsewhere.

Labels say what a vertex computes, and every cell has two inputs, the second of which may feed nothing. Spaces still
write the same computation differently: a skip connection is a vertex in NAS-Bench-201 and an edge in NAS-Bench-101, and
a sum is a vertex in DARTS and goes without saying elsewhere. `computed` leaves out what says nothing, so that cells
which compute the same look the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import OUTPUT, CellArrays, canonical_arrays, is_input, prune_arrays, reorder_arrays
from graphnas.content import content_folder
from graphnas.spaces.dag import DagTopology
from graphnas.spaces.file import SpaceFile
from graphnas.spaces.in_degree import SUM
from graphnas.spaces.space import Space

_OPERATIONS = (
    *("conv1x1", "conv3x3", "conv5x5", "conv7x7", "conv1x7", "conv7x1", "conv1x3", "conv3x1", "dilconv3x3"),
    *("dilconv5x5", "sepconv3x3", "sepconv5x5", "sepconv7x7", "dilsepconv3x3", "dilsepconv5x5", "dwconv3x3"),
    *("dwconv5x5", "dwconv7x7", "groupconv1x1", "groupconv3x3", "upconv", "maxpool2x2", "maxpool3x3", "avgpool2x2"),
    *("avgpool3x3", "globalpool", "upsample", "linear", "matmul", "attention", "recurrent", "embedding", "norm"),
    *("activation", "softmax", "reduce", "mul", "add", "concat", "identity", "zero", "other"),
)

UNIVERSAL = ("input0", "input1", OUTPUT, *_OPERATIONS)
"""Vertex labels of the universal form, in the order of their codes."""

ANY = "universal"
"""Name of the space of any graph over these labels."""
MOST_VERTICES = 24
"""Of a graph of that space, input and output included."""

_INPUTS = 2
_CODE = {name: code for code, name in enumerate(UNIVERSAL)}
_SILENT = tuple(_CODE[name] for name in ("identity", "add", "concat"))
# How the modules of space files are called, and the other words for kinds of vertices of imported networks.
_MODULES = {
    "conv": "conv",
    "relu_conv": "conv",
    "separable_conv": "sepconv",
    "sep_conv": "sepconv",
    "dil_conv": "dilsepconv",
    "max_pool": "maxpool",
    "avg_pool": "avgpool",
    "identity": "identity",
    "zero": "zero",
}
_KINDS = {"global_pool": "globalpool", SUM: "add", "sub": "add", "zeros": "zero", "view": "identity"}
# Families of sized vertices: the sizes that have a label of their own.
_SIZES: dict[str, list[tuple[int, int]]] = {}
for _name in _OPERATIONS:
    if _match := re.fullmatch(r"([a-z]+?)(\d+)x(\d+)", _name):
        _SIZES.setdefault(_match[1], []).append((int(_match[2]), int(_match[3])))


def universal_label(label: str) -> str | None:
    """The universal label of a vertex of an imported network; None if its kind has none.

    A stride, as in `conv3x3/2`, is the macro structure's business. Of sizes that have no label, the nearest one stands
    for them (`conv11x11` becomes `conv7x7`).
    """
    name = label.split("/")[0]
    name = _KINDS.get(name, name)
    if name in _CODE or is_input(name):
        return name
    sized = re.fullmatch(r"([a-z_]+?)(\d+(?:x\d+)*)?", name)
    if sized is None:
        return None
    family = sized[1]
    if family.startswith(("transposed_", "diltransposed_")):
        return "upconv"
    family = {"dilgroupconv": "groupconv", "dildwconv": "dwconv"}.get(family, family)
    if family not in _SIZES:
        return None
    kernel = [int(part) for part in (sized[2] or "3").split("x")]
    # One number is the kernel of a sequence; of a volume the last two count.
    height, width = (kernel * 2)[-2:] if len(kernel) == 1 else kernel[-2:]
    nearest = min(_SIZES[family], key=lambda size: abs(size[0] - height) + abs(size[1] - width))
    return f"{family}{nearest[0]}x{nearest[1]}"


def universal_codes(space: Space) -> NDArray[np.int8]:
    """The universal code of each label of a space's vocabulary; several labels may share one.

    Raises:
        ValueError: if the space's cells have more than two inputs.
    """
    if len(space.topology.inputs) > _INPUTS:
        raise ValueError(
            f"Expected a space whose cells have at most {_INPUTS} inputs, but those of {space.name} have "
            f"{len(space.topology.inputs)}"
        )
    return np.array([_CODE[_name_of(label, space.operations)] for label in space.vocabulary], dtype=np.int8)


def _name_of(label: str, operations: Mapping[str, Mapping[str, Any]]) -> str:
    if label == "input":
        return "input0"
    if label not in operations:
        return _KINDS.get(label, label)
    table = operations[label]
    kind = _MODULES[table["module"]]
    if "kernel" not in table:
        return kind
    return universal_label(f"{kind}{table['kernel']}x{table['kernel']}") or "other"


def universal_arrays(space: Space, arrays: CellArrays) -> CellArrays:
    """Cells of a space over `UNIVERSAL`, in canonical order, but that what a sum alone reads stands right before it.

    So the cells of a space which writes sums as vertices are in the order in which it derives them.

    Args:
        space: Theirs; its cells have at most two inputs.
        arrays: `n` cells.

    Raises:
        ValueError: if the space's cells have more inputs.
    """
    codes = np.append(universal_codes(space), -1)[arrays.ops].astype(np.int8)
    relabelled = CellArrays(codes, arrays.adjacency, arrays.size)
    if len(space.topology.inputs) < _INPUTS:
        relabelled = _with_second_input(relabelled)
    return grouped(canonical_arrays(relabelled, UNIVERSAL))


def computed(arrays: CellArrays) -> CellArrays:
    """Cells over `UNIVERSAL` without what says nothing about what they compute, in canonical order.

    Zeros and what only they feed are dropped. An identity becomes edges from what feeds it to what reads it, and so
    does a sum, unless one of these edges is there already: then something is added twice. A join that the output reads
    beside something else stays too, since which of its inputs belong together would be lost.

    Args:
        arrays: `n` cells with two inputs in canonical order, on which it depends what stays where an edge is there
            already.
    """
    ops, edges = arrays.ops, arrays.adjacency.copy()
    dead = ops == _CODE["zero"]
    edges &= ~dead[:, :, None] & ~dead[:, None, :]
    last = arrays.size.astype(np.int64) - 1
    for vertex in range(_INPUTS, ops.shape[1]):
        here = np.flatnonzero(np.isin(ops[:, vertex], _SILENT))
        if not here.size:
            continue
        part, rows = edges[here], np.arange(here.size)
        through = part[:, :, vertex, None] & part[:, vertex, None, :]
        output = part[rows, :, last[here]]
        grouped = output[:, vertex] & (output.sum(1) > 1) & (part[:, :, vertex].sum(1) > 1)
        gone = ~(through & part).any((1, 2)) & ~grouped
        part |= through & gone[:, None, None]
        part[gone, :, vertex] = False
        part[gone, vertex, :] = False
        edges[here] = part
    return canonical_arrays(prune_arrays(CellArrays(ops, edges, arrays.size), inputs=_INPUTS), UNIVERSAL)


def grouped(arrays: CellArrays) -> CellArrays:
    """Cells in canonical order with each vertex that a sum alone reads right before this sum, by what feeds it.

    The order stays topological: whatever feeds such a vertex is read by it, and so stands before the sum and is not
    moved behind it.
    """
    v = arrays.ops.shape[1]
    place = np.arange(v)
    sums = arrays.ops == _CODE["add"]
    reader = arrays.adjacency.argmax(2)
    moved = (arrays.adjacency.sum(2) == 1) & np.take_along_axis(sums, reader, 1) & ~sums & (place >= _INPUTS)
    last_source = v - 1 - arrays.adjacency[:, ::-1].argmax(1)
    key = np.where(moved, reader, place) * (v + 1) + np.where(moved, last_source, v)
    return reorder_arrays(arrays, np.argsort(key, axis=1, kind="stable"))


def _with_second_input(arrays: CellArrays) -> CellArrays:
    """Cells whose one input is followed by a second that feeds nothing."""
    n, v = arrays.ops.shape
    ops = np.insert(arrays.ops, 1, 1, axis=1)
    adjacency = np.zeros((n, v + 1, v + 1), dtype=bool)
    kept = np.delete(np.arange(v + 1), 1)
    adjacency[:, kept[:, None], kept] = arrays.adjacency
    return CellArrays(ops, adjacency, (arrays.size + 1).astype(np.int8))


def any_space(max_vertices: int = MOST_VERTICES, **limits: Any) -> Space:
    """The space of all graphs of one input over `UNIVERSAL`; its cells can be encoded but not built.

    Args:
        max_vertices: Most vertices of a cell.
        limits: Further settings of `DagTopology`.
    """
    topology = DagTopology(_OPERATIONS, max_vertices=max_vertices, **limits)
    file = SpaceFile(ANY, "Any graph", "", ("cell",), None, topology, {})
    # It comes with the library, though without a file.
    return Space(file, content_folder("spaces") / ANY)


def random_graphs(space: Space, n: int, rng: np.random.Generator) -> CellArrays:
    """`n` random cells of `any_space`, of all sizes and of few kinds of vertices each, as networks are.

    Every vertex reads one or two earlier ones, mostly the last, and seldom more; what nothing reads feeds the output.

    Args:
        space: `any_space`, whose limit of vertices holds.
        n: Number of cells.
        rng: Source of the draws.
    """
    v, first = space.topology.max_vertices, 2
    size = rng.integers(3, v + 1, size=n)
    kinds = rng.integers(1, 9, size=n)
    palette = rng.integers(first, len(space.vocabulary), size=(n, 8))
    labels = np.take_along_axis(palette, (rng.random((n, v)) * kinds[:, None]).astype(np.int64), axis=1)
    place = np.arange(v)
    ops = np.where(place == 0, 0, np.where(place == size[:, None] - 1, 1, np.where(place < size[:, None], labels, -1)))
    edges = np.zeros((n, v, v), dtype=bool)
    bias = rng.uniform(0.2, 0.9, size=n)  # of a cell towards a chain
    for j in range(1, v):
        last = rng.random(n) < bias
        edges[np.arange(n), np.where(last, j - 1, rng.integers(j, size=n)), j] = True
        for chance in (0.4, 0.1, 0.05):
            rows = np.flatnonzero(rng.random(n) < chance)
            edges[rows, rng.integers(j, size=rows.size), j] = True
    inner = (place > 0) & (place < size[:, None] - 1)
    edges &= (place < size[:, None])[:, None, :]
    rows, open_ends = np.nonzero(inner & ~edges.any(2))
    edges[rows, open_ends, size[rows] - 1] = True
    return space.topology.canonical(CellArrays(ops.astype(np.int8), edges, size.astype(np.int8)))
