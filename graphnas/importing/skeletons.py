"""Networks of known spaces come back as the architectures that they were built from.

For each skeleton the cells are read off the coarse graph, as many ways as they may have been cut; a reading counts only
if the network that it builds has the same coarse graph, channels and strides included.
"""

from __future__ import annotations

import hashlib
import itertools
from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from graphnas.cell import Architecture, Cell
from graphnas.formats.darts import from_genotype
from graphnas.formats.nasbench201 import from_string
from graphnas.importing.coarsening import CoarseGraph, Vertex, coarsen
from graphnas.importing.operators import ImportFailed
from graphnas.importing.segments import cuts, wired
from graphnas.importing.tracing import trace_symbolically
from graphnas.networks import build_network
from graphnas.spaces import Space


@dataclass(frozen=True)
class Recognised:
    """An architecture of a known space, and the sizes of the skeleton around it."""

    space: str
    architecture: Architecture
    sizes: Mapping[str, int]
    normalised: bool = True
    """Whether it has the normalisations of the space's networks; they are gone where an exporter folded them into the
    convolutions before them."""


def recognise_network(graph: CoarseGraph, spaces: Sequence[Space]) -> Recognised | None:
    """The architecture that a network was built from; None if no space builds one like it.

    A network whose first convolution is not followed by a normalisation is compared as exporters write it; of several
    architectures that compute the same it is one.

    Args:
        graph: The whole network, from images to logits.
        spaces: Spaces that are tried, in their order.
    """
    vertices = graph.vertices
    ends = len(vertices) > 4 and vertices[0].label == "input" and vertices[-2].label == "linear"
    if not ends or vertices[0].channels is None or vertices[0].size is None or vertices[-2].channels is None:
        return None
    stem = next((one for one in vertices if _foldable(one)), None)
    normalised = stem is not None and "norm" in stem.around
    wanted = fingerprint(graph, exported=not normalised)
    for space in spaces:
        read = _READERS.get(str(space.network.get("skeleton", "stacked")))
        if read is None:
            continue
        for architecture, sizes in read(vertices, space):
            if _builds(architecture, sizes, space, vertices, wanted, exported=not normalised):
                return Recognised(space.name, architecture, sizes, normalised)
    return None


def fingerprint(graph: CoarseGraph, *, exported: bool = False) -> str:
    """32 hex digits, equal for coarse graphs of equal vertices (but for their names) and wiring, in whichever order.

    Args:
        graph: The graph.
        exported: Whether what exporters do makes no difference: normalisations are folded into the convolutions before
            them, and what has no weights is computed once, however many read it.
    """
    below: list[str] = []
    first: dict[str, int] = {}
    same: list[int] = []
    for number, one in enumerate(graph.vertices):
        around = one.around
        if exported and _foldable(one):
            around = tuple(kind for kind in around if kind != "norm")
            # What is by itself has nothing around it.
            around = around if len(around) > 1 else ()
        sources = sorted(below[source] for source in one.sources)
        below.append(_digest(one.label, around, one.channels, one.stride, sources))
        shared = exported and one.label.startswith(("maxpool", "avgpool"))
        same.append(first.setdefault(below[-1], number) if shared else number)
    kept = [number for number, other in enumerate(same) if number == other]
    above: list[list[str]] = [[] for _ in graph.vertices]
    for number in reversed(kept):
        mine = _digest(below[number], sorted(above[number]))
        for source in graph.vertices[number].sources:
            above[same[source]].append(mine)
    return _digest(sorted(_digest(below[number], sorted(above[number])) for number in kept))


def _foldable(vertex: Vertex) -> bool:
    """Whether a vertex is a convolution, into whose weights a normalisation behind it can go."""
    return "conv" in vertex.label


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _builds(
    architecture: Architecture,
    sizes: Mapping[str, int],
    space: Space,
    vertices: Sequence[Vertex],
    wanted: str,
    *,
    exported: bool,
) -> bool:
    image, classes = vertices[0], vertices[-2].channels
    assert image.channels is not None
    assert image.size is not None
    assert classes is not None
    try:
        space.validate(architecture)
        network = build_network(
            architecture, space, sizes=sizes, classes=classes, in_channels=image.channels, device="meta"
        )
        traced = trace_symbolically(network, torch.empty(2, image.channels, *image.size, device="meta"))
        if exported:
            # What is always zero depends on no input, and exporters write none of what is computed of it.
            operators = (replace(one, sources=()) if one.kind == "zeros" else one for one in traced.operators)
            traced = replace(traced, operators=tuple(operators))
        return fingerprint(coarsen(traced), exported=exported) == wanted
    except (ValueError, RuntimeError, ImportFailed):
        return False


# Readers: from the vertices of a network to architectures and sizes

_MOST_CELLS = 100  # of a network; published ones have 20
_LARGEST_SUMMING = 16  # vertices of a cell of NAS-Bench-201

_Reading = Iterator[tuple[Architecture, dict[str, int]]]


def operations_by_label(space: Space) -> dict[str, str]:
    """Operations of a space by the labels of the vertices that they become."""
    found = {}
    for name, table in space.operations.items():
        kernel, module = table.get("kernel"), table["module"]
        base = {
            "conv": "conv",
            "relu_conv": "conv",
            "separable_conv": "sepconv",
            "sep_conv": "sepconv",
            "dil_conv": "dilsepconv",
            "avg_pool": "avgpool",
            "max_pool": "maxpool",
        }.get(module)
        if base is not None:
            found[f"{base}{kernel}x{kernel}"] = name
    return found


def _stacked(vertices: Sequence[Vertex], space: Space) -> _Reading:
    """Stem, stacks of cells between 2 x 2 max pools, average, dense layer."""
    places = cuts(vertices)
    if len(places) < 4 or vertices[places[1]].label != "conv3x3" or vertices[places[-3]].label != "global_pool":
        return
    stacks: list[list[int]] = [[places[1]]]
    for place in places[2:-3]:
        one = vertices[place]
        if one.label == "maxpool2x2" and one.stride == 2:
            stacks.append([place])
        else:
            stacks[-1].append(place)
    lengths = {len(stack) - 1 for stack in stacks}
    channels = vertices[places[1]].channels
    if len(lengths) != 1 or channels is None:
        return
    (length,) = lengths
    labels = operations_by_label(space)
    most = _MOST_CELLS // len(stacks)
    for count in [count for count in range(1, min(length, most) + 1) if length % count == 0]:
        step = length // count
        first, last = stacks[0][0], stacks[0][step]
        cell = wired(vertices, first, last, labels, projected=True)
        if cell is not None:
            sizes = {"stacks": len(stacks), "cells_per_stack": count, "channels": channels}
            yield Architecture(space.name, (cell,)), sizes


def _summing(vertices: Sequence[Vertex], space: Space) -> _Reading:
    """Stem, three stages of cells with residual blocks before the second and the third, average, dense layer."""
    places = cuts(vertices)
    if len(places) < 4 or vertices[places[1]].label != "conv3x3" or vertices[places[-3]].label != "global_pool":
        return
    # The first stage ends where the first residual block halves the image.
    halved = next((one.sources[0] for one in vertices if one.label == "avgpool2x2" and one.stride == 2), None)
    channels = vertices[places[1]].channels
    if channels is None or halved not in places:
        return
    stage = places[1 : places.index(halved) + 1]
    length, labels, tried = len(stage) - 1, operations_by_label(space), set()
    for count in [count for count in range(1, max(length, 1) + 1) if length % count == 0]:
        for text in _strings(vertices, stage[0], stage[length // count], labels):
            architecture = Architecture(space.name, (from_string(text),))
            if (key := (count, space.hash(architecture))) not in tried:
                tried.add(key)
                yield architecture, {"cells_per_stage": count, "channels": channels}


def _strings(vertices: Sequence[Vertex], start: int, end: int, labels: Mapping[str, str]) -> Iterator[str]:
    """Cells of NAS-Bench-201 that make one vertex of another, as their strings: all that compute the same."""
    if end - start > _LARGEST_SUMMING:
        return
    inner = range(start + 1, end + 1)

    def edge(value: int | None, term: int) -> str | None:
        """The operation that makes a term of a value."""
        one = vertices[term]
        if term == value:
            return "skip_connect"
        if one.sources != (value,):
            return None
        return "none" if one.label == "zeros" else labels.get(one.label)

    def sums(total: int | None, values: Sequence[int | None]) -> Iterator[tuple[tuple[str, ...], set[int]]]:
        """Operations on values whose sum is the total, and the vertices that they make; None is always zero."""
        if total is None:
            yield ("none",) * len(values), set()
            return
        whole = vertices[total]
        for terms in [(total,), *([whole.sources] if whole.label == "add" and total != start else [])]:
            for order in itertools.permutations(range(len(values)), len(terms)):
                ops = {place: edge(values[place], term) for place, term in zip(order, terms, strict=True)}
                if None not in ops.values():
                    yield tuple(ops.get(place) or "none" for place in range(len(values))), {total, *terms}

    for first in (None, start, *inner):
        for (a,), made in sums(first, (start,)):
            for second in (None, start, *inner):
                for (b, c), also in sums(second, (start, first)):
                    for (d, e, f), last in sums(end, (start, first, second)):
                        if made | also | last >= set(inner):
                            yield f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def _chained(vertices: Sequence[Vertex], space: Space) -> _Reading:
    """Stem, normal cells and two reduction cells that read the two cells before them, average, dense layer."""
    whole = with_reductions(vertices)
    outputs = [number for number, one in whole.items() if one.label == "concat"]
    stem = next((number for number, one in whole.items() if one.label == "conv3x3" and one.sources == (0,)), None)
    if stem is None or not 0 < len(outputs) <= _MOST_CELLS:
        return
    trunk = [stem, stem, *outputs]
    found: dict[bool, str] = {}
    for number in range(len(outputs)):
        cell = two_input_cell(whole, trunk[number], trunk[number + 1], trunk[number + 2], space)
        if cell is None:
            continue
        pairs, reduces = cell
        if found.setdefault(reduces, pairs) != pairs:
            return
    stem_channels = whole[stem].channels
    if set(found) != {False, True} or stem_channels is None:
        return
    architecture = genotype_of(found[False], found[True], space)
    if architecture is not None:
        yield architecture, {"layers": len(outputs), "channels": stem_channels // 3}


def with_reductions(vertices: Sequence[Vertex]) -> dict[int, Vertex]:
    """Vertices by number, factorised reductions as one each: two 1 x 1 convolutions of stride 2, side by side."""
    found = dict(enumerate(vertices))
    readers = Counter(source for one in vertices for source in one.sources)
    for number, one in enumerate(vertices):
        if one.label != "concat" or len(one.sources) != 2:
            continue
        even, odd = one.sources
        if even == odd or readers[even] > 1 or readers[odd] > 1:
            continue
        halves = [vertices[half] for half in (even, odd)]
        if any(half.label != "conv1x1" or half.stride != 2 for half in halves):
            continue
        if halves[0].sources != halves[1].sources:
            continue
        found[number] = replace(one, label="reduction", sources=halves[0].sources, stride=2)
        del found[even], found[odd]
    return found


def genotype_of(normal: str, reduce: str, space: Space) -> Architecture | None:
    """The architecture of two cells as `two_input_cell` gives them; None if the space has none like it."""
    concat = f"range(2, {len(literal_eval(normal)) // 2 + 2})"
    text = f"Genotype(normal={normal}, normal_concat={concat}, reduce={reduce}, reduce_concat={concat})"
    try:
        return from_genotype(text, space=space.name, operations=tuple(space.operations))
    except ValueError:
        return None


def two_input_cell(
    whole: Mapping[int, Vertex], earlier: int, previous: int, output: int, space: Space
) -> tuple[str, bool] | None:
    """Pairs of operations and what they read, as a genotype has them, and whether the cell halves the image.

    Args:
        whole: The network, from `with_reductions`.
        earlier: The result that is the cell's first input.
        previous: The one that is its second.
        output: Its own result.
        space: A space of the skeleton `darts`.

    Returns:
        None where they cannot be told.
    """
    labels = operations_by_label(space)
    inside = _ancestors(whole, output) - _ancestors(whole, previous) - {previous}
    # What the cell does with its two inputs before all else, the last but one first.
    entrances = [
        number
        for number in sorted(inside)
        if whole[number].sources in ((earlier,), (previous,)) and whole[number].label in ("conv1x1", "reduction")
    ]
    if earlier == previous:
        if len(entrances) != 2:
            return None  # which of the two it is cannot be told
        place = {number: state for state, number in enumerate(entrances)}
    else:
        place = {number: int(whole[number].sources == (previous,)) for number in entrances}
    sums = list(whole[output].sources)
    place |= {number: state + 2 for state, number in enumerate(sums)}
    pairs, strides = [], set()
    for number in sums:
        if whole[number].label != "add" or len(whole[number].sources) != 2:
            return None
        for term in whole[number].sources:
            read = _operation(whole, term, place, labels)
            if read is None:
                return None
            op, state, stride = read
            pairs.append((op, state))
            if state < 2:
                strides.add(stride)
    return (repr(pairs), strides == {2}) if len(strides) == 1 else None


def _operation(
    whole: Mapping[int, Vertex], term: int, place: Mapping[int, int], labels: Mapping[str, str]
) -> tuple[str, int, int] | None:
    """Operation, state that it reads, and stride."""
    if term in place:
        return "skip_connect", place[term], 1
    one = whole[term]
    if len(one.sources) != 1:
        return None
    (source,) = one.sources
    if one.label == "reduction" and source in place:
        return "skip_connect", place[source], 2
    if one.label in labels and source in place and not one.label.startswith("sepconv"):
        return labels[one.label], place[source], one.stride
    # A separable convolution is applied twice.
    first = whole[source]
    if one.label == first.label and one.label in labels and len(first.sources) == 1 and first.sources[0] in place:
        return labels[one.label], place[first.sources[0]], first.stride
    return None


def _ancestors(whole: Mapping[int, Vertex], number: int) -> set[int]:
    found: set[int] = set()
    left = [number]
    while left:
        for source in whole[left.pop()].sources:
            if source not in found:
                found.add(source)
                left.append(source)
    return found


def _layered(vertices: Sequence[Vertex], space: Space) -> _Reading:
    """Stem, layers that each read some of those before them through a 1 x 1 convolution, average, dense layer."""
    whole, labels = with_reductions(vertices), operations_by_label(space)
    stem = next((number for number, one in whole.items() if one.label == "conv3x3" and one.sources == (0,)), None)
    if stem is None:
        return
    # For each vertex the layers that its result is joined of; of others than layers, joins and reductions nothing.
    joined: dict[int, frozenset[int]] = {stem: frozenset({0})}
    ops: list[str] = ["input"]
    edges: set[tuple[int, int]] = set()
    for number, one in whole.items():
        parts = [joined.get(source) for source in one.sources]
        known = [part for part in parts if part is not None]
        if one.label in ("concat", "add", "reduction") and known and len(known) == len(parts):
            joined[number] = frozenset().union(*known)
            continue
        projection = whole.get(one.sources[0]) if len(one.sources) == 1 else None
        if one.label not in labels or projection is None or projection.label != "conv1x1" or number == stem:
            continue
        read = joined.get(projection.sources[0]) if len(projection.sources) == 1 else None
        if read is None:
            continue
        edges |= {(layer, len(ops)) for layer in read}
        joined[number] = frozenset({len(ops)})
        ops.append(labels[one.label])
        if len(ops) > _MOST_CELLS:
            return
    last = next((one for one in reversed(vertices) if one.label == "global_pool"), None)
    read = None if last is None or len(last.sources) != 1 else joined.get(last.sources[0])
    channels = whole[stem].channels
    if read is None or channels is None:
        return
    edges |= {(layer, len(ops)) for layer in read}
    try:
        cell = Cell((*ops, "output"), frozenset(edges))
    except ValueError:
        return
    yield Architecture(space.name, (cell,)), {"channels": channels}


_READERS: dict[str, Callable[[Sequence[Vertex], Space], _Reading]] = {
    "stacked": _stacked,
    "nasbench201": _summing,
    "darts": _chained,
    "enas": _layered,
}
