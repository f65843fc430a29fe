"""From operators to vertices as cells have them: what belongs together is one vertex, and nothing is lost unsaid.

A convolution with its normalisation and activation, before or after it, is one vertex; so is one of each channel with
the 1 x 1 convolution that follows it. What changes the form of one tensor alone is passed over. What has no kind stays
a vertex under its own name, and is counted.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphnas.cell import OUTPUT, Cell
from graphnas.importing.operators import KINDS, ImportFailed, Operator, OperatorGraph

_CONVOLUTIONS = ("conv", "transposed_conv")
_UNITS = (*_CONVOLUTIONS, "linear")  # what takes in normalisations and activations before it
_JOINS = ("add", "sub", "mul", "concat", "matmul", "attention")  # and these those after them
_ELEMENTWISE = ("add", "sub", "mul")
_ENDS = ("input", "output")
_ALIKE = ("type_as", "view_as", "reshape_as", "expand_as")  # what takes form or type alone from a second tensor
_STATISTIC = ("activation", "reduce")  # what the scale of a normalisation is computed by
_LONGEST_SCALE = 16  # operators of it
_SQUARES, _ROOTS = ("square", "pow"), ("sqrt", "rsqrt", "pow")
_PLAIN = ("relu", "relu6", "gelu", "silu", "swish", "sigmoid", "tanh", "hardswish", "hardsigmoid", "mish")


@dataclass
class Vertex:
    """One vertex of a coarse graph."""

    label: str
    """Such as `conv3x3`, `sepconv5x5`, `maxpool3x3`, `add`; the operation's own name if it has no kind."""
    sources: tuple[int, ...]
    """Vertices that feed it, each as often as it does."""
    stride: int = 1
    """By how much it divides the image's size, or multiplies it if it is transposed."""
    channels: int | None = None
    """Channels of its result; None where they are not known."""
    around: tuple[str, ...] = ()
    """Normalisations and activations that are part of it, in their order."""
    names: tuple[str, ...] = ()
    """What the program calls the operators that it is made of."""
    size: tuple[int, ...] | None = None
    """Height and width of its result; None where it has none, or they are not known."""


@dataclass(frozen=True)
class Account:
    """Where the operators of a network have gone."""

    operators: int
    """Operators on paths from an input to an output."""
    vertices: Mapping[str, int]
    """Vertices by label."""
    fused: Mapping[str, int]
    """Operators that are part of another vertex, by kind."""
    passed_over: Mapping[str, int]
    """Operators that change the form or the scale of one tensor or hide a part of it, by name."""
    unmapped: Mapping[str, int]
    """Operators that have no kind, by name; they are vertices under this name."""
    unread: Mapping[str, int]
    """Operators that depend on an input and that no output depends on, by name."""
    constants: int
    """Operators that depend on no input."""

    @property
    def share(self) -> float:
        """Share of the operators that have a kind or are passed over."""
        return 1 - sum(self.unmapped.values()) / max(self.operators, 1)


@dataclass(frozen=True)
class CoarseGraph:
    """Vertices in topological order, inputs first and the output last."""

    vertices: tuple[Vertex, ...]
    mapping: Account
    parameters: int | None = None

    def cell(self) -> Cell:
        """The graph as a cell, in which a vertex feeds another or does not."""
        edges = {(source, number) for number, one in enumerate(self.vertices) for source in one.sources}
        return Cell(tuple(one.label for one in self.vertices), frozenset(edges))


@dataclass
class _Node:
    """A vertex in the making."""

    operator: Operator
    sources: list[int]
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    pointwise: Operator | None = None
    """The 1 x 1 convolution that completes one of each channel."""

    @property
    def kind(self) -> str:
        return self.operator.kind

    @property
    def depthwise(self) -> bool:
        given = self.operator.attributes
        return self.kind == "conv" and 1 < given["groups"] == given["in_channels"] and self.pointwise is None

    @property
    def pointwise_only(self) -> bool:
        given = self.operator.attributes
        return self.kind == "conv" and set(given["kernel"]) == {1} and given["groups"] == 1 and self.pointwise is None


def coarsen(graph: OperatorGraph) -> CoarseGraph:
    """Put together what belongs together.

    Raises:
        ImportFailed: if no path joins an input and an output.
    """
    fed = graph.fed()
    live = [both and read for both, read in zip(fed, graph.read(), strict=True)]
    if not any(alive and one.kind == "output" for alive, one in zip(live, graph.operators, strict=True)):
        raise ImportFailed("Expected a network whose output depends on its input, but no path joins them")
    passed: Counter[str] = Counter()
    fused: Counter[str] = Counter()
    nodes = _without_views(graph, live, passed, fused)
    # What is passed over elsewhere, but takes several tensors here, has no kind either.
    unmapped = Counter(
        node.operator.origin for node in nodes.values() if node.kind not in KINDS and node.kind not in _ENDS
    )
    _join_norms(nodes, fused)
    _join_attention(nodes, fused)
    _join_after(nodes, fused)
    _join_before(nodes, fused)
    _join_separable(nodes, fused)
    _join_sums(nodes, fused)
    vertices = _vertices(nodes)
    alive = [one for one, is_live in zip(graph.operators, live, strict=True) if is_live]
    inner = [one for one in alive if one.kind not in _ENDS]
    mapping = Account(
        operators=len(inner),
        vertices=Counter(one.label for one in vertices if one.label != OUTPUT and not one.label.startswith("input")),
        fused=fused,
        passed_over=passed,
        unmapped=unmapped,
        unread=Counter(
            one.origin
            for one, depends, is_live in zip(graph.operators, fed, live, strict=True)
            if depends and not is_live and one.kind not in (*_ENDS, "view")
        ),
        constants=sum(not depends and one.kind not in _ENDS for one, depends in zip(graph.operators, fed, strict=True)),
    )
    return CoarseGraph(tuple(vertices), mapping, graph.parameters)


def _without_views(
    graph: OperatorGraph, live: Sequence[bool], passed: Counter[str], fused: Counter[str]
) -> dict[int, _Node]:
    """Live operators by number, with what they read through operators that are passed over.

    The same activation of the same tensor is one, however often it is computed: exporters differ in that. Of those that
    have parameters each is its own, and a product with weights is a linear map.
    """
    through: dict[int, int] = {}
    activated: dict[tuple[str, int], int] = {}
    nodes: dict[int, _Node] = {}
    for number, one in enumerate(graph.operators):
        if not live[number]:
            continue
        sources = [through[source] for source in one.sources if live[source]]
        if one.origin in _ALIKE and live[one.sources[0]]:
            sources = sources[:1]
        single = len(set(sources)) == 1
        affine = one.kind in _ELEMENTWISE and len(sources) == 1
        if sources and single and (one.kind == "view" or affine):
            through[number] = sources[0]
            passed[one.origin] += 1
            continue
        name = one.origin.lower().rstrip("_")
        if name in _PLAIN and len(sources) == 1:
            first = activated.setdefault((name, sources[0]), number)
            if first != number:
                through[number] = first
                fused["activation"] += 1
                continue
        if one.kind == "matmul" and len(sources) == 1:
            one = replace(one, kind="linear")
        through[number] = number
        nodes[number] = _Node(one, sources, names=[one.name])
    return nodes


def _consumers(nodes: Mapping[int, _Node]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {number: [] for number in nodes}
    for number, node in nodes.items():
        for source in node.sources:
            found[source].append(number)
    return found


def _replace(nodes: dict[int, _Node], consumers: dict[int, list[int]], old: int, new: int) -> None:
    """Take a node out; what read it reads another."""
    for reader in consumers[old]:
        nodes[reader].sources = [new if source == old else source for source in nodes[reader].sources]
    for source in nodes[old].sources:
        consumers[source] = [reader for reader in consumers[source] if reader != old]
    consumers[new] = [*consumers[new], *consumers.pop(old)]
    del nodes[old]


def _join_norms(nodes: dict[int, _Node], fused: Counter[str]) -> None:
    """A product with the root of the mean square of the same tensor: a normalisation written out."""
    consumers = _consumers(nodes)
    for number in [number for number, node in nodes.items() if node.kind == "mul" and len(set(node.sources)) == 2]:
        for scale, value in itertools.permutations(set(nodes[number].sources)):
            chain = [scale]
            while chain[-1] != value and len(chain) <= _LONGEST_SCALE and len(set(nodes[chain[-1]].sources)) == 1:
                if nodes[chain[-1]].kind not in _STATISTIC:
                    break
                chain.append(nodes[chain[-1]].sources[0])
            inner = chain[:-1]
            alone = all(len(set(consumers[one])) == 1 for one in inner)
            if chain[-1] != value or not alone or not _is_scale([nodes[one].operator for one in reversed(inner)]):
                continue
            whole = nodes[number]
            whole.names = [name for one in (*reversed(inner), number) for name in nodes[one].names]
            whole.operator = Operator("norm", (), whole.operator.name, "norm", {}, whole.operator.shape)
            whole.sources = [value]
            fused.update(nodes[one].kind for one in inner)
            for one in inner:
                for source in nodes[one].sources:
                    consumers[source] = [reader for reader in consumers[source] if reader != one]
                del nodes[one]
            break


def _is_scale(operators: Sequence[Operator]) -> bool:
    """Whether operators take the root of a mean of squares; other functions of a tensor are a gate if they scale it."""
    places = [place for place, one in enumerate(operators) if one.kind == "reduce"]
    names = [one.origin.lower().rstrip("_") for one in operators]
    return any(
        any(name in _SQUARES for name in names[:place]) and any(name in _ROOTS for name in names[place + 1 :])
        for place in places
    )


def _join_attention(nodes: dict[int, _Node], fused: Counter[str]) -> None:
    """Product, softmax, product: attention of a query, a key and a value."""
    consumers = _consumers(nodes)
    for number in [number for number, node in nodes.items() if node.kind == "softmax"]:
        node = nodes[number]
        if len(node.sources) != 1 or len(consumers[number]) != 1:
            continue
        scores, product = node.sources[0], consumers[number][0]
        if nodes[product].kind != "matmul" or len(consumers[scores]) != 1:
            continue
        if nodes[scores].kind == "add":
            # A bias or a mask that is computed.
            candidates = [one for one in nodes[scores].sources if nodes[one].kind == "matmul"]
            if candidates and len(consumers[candidates[0]]) == 1:
                inner = candidates[0]
                added = [source for source in nodes[scores].sources if source != inner]
                nodes[inner].names += nodes[scores].names
                nodes[inner].sources += added
                _replace(nodes, consumers, scores, inner)
                for source in set(added):
                    consumers[source] += [inner] * added.count(source)
                fused["add"] += 1
                scores = inner
        if nodes[scores].kind != "matmul":
            continue
        whole = nodes[product]
        others = [source for source in whole.sources if source != number]
        whole.names = [*nodes[scores].names, *node.names, *whole.names]
        whole.operator = Operator("attention", (), whole.operator.name, "attention", {}, whole.operator.shape)
        inputs = [*nodes[scores].sources, *others]
        for source in nodes[scores].sources:
            consumers[source] = [reader for reader in consumers[source] if reader != scores]
        del nodes[scores], nodes[number]
        whole.sources = inputs
        for source in set(inputs):
            consumers[source] = [reader for reader in consumers[source] if reader != product]
            consumers[source] += [product] * inputs.count(source)
        fused.update({"matmul": 1, "softmax": 1})


def _join_after(nodes: dict[int, _Node], fused: Counter[str]) -> None:
    """Normalisations and activations that are the only ones to read a unit or a join become part of it."""
    consumers = _consumers(nodes)
    for number in list(nodes):
        node = nodes[number]
        if node.kind not in ("norm", "activation") or len(set(node.sources)) != 1:
            continue
        source = node.sources[0]
        if nodes[source].kind in (*_UNITS, *_JOINS) and len(consumers[source]) == 1:
            nodes[source].after.append(node.kind)
            nodes[source].names += node.names
            fused[node.kind] += 1
            _replace(nodes, consumers, number, source)


def _join_before(nodes: dict[int, _Node], fused: Counter[str]) -> None:
    """Those that are left, if units alone read them, become part of these."""
    consumers = _consumers(nodes)
    for number in reversed(list(nodes)):
        node, readers = nodes[number], consumers[number]
        if node.kind not in ("norm", "activation") or len(set(node.sources)) != 1 or not readers:
            continue
        if all(nodes[reader].kind in _UNITS for reader in readers):
            for reader in set(readers):
                nodes[reader].before.insert(0, node.kind)
                nodes[reader].names = [*node.names, *nodes[reader].names]
            fused[node.kind] += 1
            _replace(nodes, consumers, number, node.sources[0])


def _join_separable(nodes: dict[int, _Node], fused: Counter[str]) -> None:
    """A convolution of each channel by itself and the 1 x 1 convolution that alone reads it."""
    consumers = _consumers(nodes)
    for number in list(nodes):
        node = nodes[number]
        if not node.pointwise_only or len(node.sources) != 1:
            continue
        source = node.sources[0]
        first = nodes[source]
        if first.depthwise and len(consumers[source]) == 1:
            first.pointwise = node.operator
            first.after += [*node.before, *node.after]
            first.names += node.names
            fused["conv"] += 1
            _replace(nodes, consumers, number, source)


def _join_sums(nodes: dict[int, _Node], fused: Counter[str]) -> None:
    """A sum of three is two sums, of which the second begins with the first."""
    consumers = _consumers(nodes)

    def begins(number: int) -> bool:
        """Whether a vertex is a sum that another begins with and nothing else reads."""
        node = nodes[number]
        plain = node.kind == "add" and not node.after and not node.before
        if not plain or len(consumers[number]) != 1:
            return False
        reader = nodes[consumers[number][0]]
        return reader.kind == "add" and reader.sources[0] == number

    sums = [number for number, node in nodes.items() if node.kind == "add" and node.sources]
    for last in [number for number in sums if not begins(number)]:
        chain = [last]
        while begins(nodes[chain[-1]].sources[0]):
            chain.append(nodes[chain[-1]].sources[0])
        chain.reverse()
        sources = list(nodes[chain[0]].sources)
        for number in chain[1:]:
            sources += nodes[number].sources[1:]
        nodes[last].names = [name for number in chain for name in nodes[number].names]
        nodes[last].sources = sources
        for number in chain[:-1]:
            fused["add"] += 1
            del nodes[number]


def _vertices(nodes: Mapping[int, _Node]) -> list[Vertex]:
    inputs = [number for number, node in nodes.items() if node.kind == "input"]
    outputs = [number for number, node in nodes.items() if node.kind == "output"]
    inner = [number for number in nodes if number not in {*inputs, *outputs}]
    place = {number: vertex for vertex, number in enumerate([*inputs, *inner])}
    vertices = [_vertex(nodes[number], place) for number in place]
    for vertex, one in enumerate(vertices[: len(inputs)]):
        one.label = "input" if len(inputs) == 1 else f"input{vertex}"
    sources = dict.fromkeys(place[source] for number in outputs for source in nodes[number].sources)
    return [*vertices, Vertex(OUTPUT, tuple(sources))]


def _vertex(node: _Node, place: Mapping[int, int]) -> Vertex:
    one = node.operator
    shape = one.shape if node.pointwise is None else node.pointwise.shape
    image = shape is not None and len(shape) == 4
    return Vertex(
        label=_label(node),
        sources=tuple(place[source] for source in node.sources),
        stride=math.prod(
            max(part.attributes.get("stride", (1,))) for part in (one, node.pointwise) if part is not None
        ),
        channels=(shape[1] if len(shape) != 3 else shape[-1]) if shape is not None and len(shape) > 1 else None,
        around=(*node.before, one.kind, *node.after) if node.before or node.after else (),
        names=tuple(node.names),
        size=tuple(shape[2:]) if image and shape is not None else None,
    )


def _label(node: _Node) -> str:
    one, given = node.operator, node.operator.attributes
    if one.kind in _CONVOLUTIONS:
        base = "conv"
        if node.pointwise is not None:
            base = "sepconv"
        elif given["groups"] > 1:
            base = "dwconv" if given["groups"] == given["in_channels"] else "groupconv"
        if max(given["dilation"]) > 1 and max(given["kernel"]) > 1:
            base = f"dil{base}"
        if one.kind == "transposed_conv":
            base = f"transposed_{base}"
        return base + _size(given["kernel"])
    if one.kind in ("max_pool", "avg_pool"):
        base = one.kind.replace("_", "")
        return base + _size(given["kernel"]) if "kernel" in given else base
    # What is passed over elsewhere, but here takes several tensors.
    return one.origin if one.kind == "view" else one.kind


def _size(kernel: Sequence[Any]) -> str:
    return "x".join(map(str, kernel)) if len(kernel) > 1 else f"{kernel[0]}"
