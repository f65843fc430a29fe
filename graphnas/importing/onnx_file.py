"""ONNX files as graphs of operators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphnas.importing.operators import MOST_OPERATORS, ImportFailed, Operator, OperatorGraph, kind_of, pooled

if TYPE_CHECKING:
    import onnx

_LARGEST = 2**31  # bytes of a file, which is what a message of protobuf may have
_OF_SHAPES = ("Shape", "Size")
_DOMAINS = ("", "ai.onnx", "com.microsoft")  # of the format, and of the operators that ONNX Runtime adds
_MOST_AXES, _LARGEST_SIZE = 3, 2**20  # of a kernel, and numbers on one of them


def read_onnx(path: str | Path) -> OperatorGraph:
    """The operators of an ONNX file; weights in files of their own are not read.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if the package onnx is missing.
        ImportFailed: if it holds no ONNX model, control flow, or too much.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("ONNX files need the package onnx: pip install 'graphnas[onnx]'") from None
    path = Path(path)
    if path.stat().st_size >= _LARGEST:
        raise ImportFailed(f"{path}: expected a file of less than 2 GiB, but got {path.stat().st_size:,} bytes")
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except Exception as error:
        raise ImportFailed(f"{path}: expected an ONNX model, but {type(error).__name__}: {error!s:.200}") from None
    if not model.graph.node or not model.graph.output:
        raise ImportFailed(f"{path}: expected an ONNX model with nodes and outputs, but got none")
    if len(model.graph.node) > MOST_OPERATORS:
        raise ImportFailed(f"{path}: expected at most {MOST_OPERATORS:,} operators, but got {len(model.graph.node):,}")
    with contextlib.suppress(Exception):  # shapes are wanted, not needed
        model = onnx.shape_inference.infer_shapes(model)
    weights = {one.name: tuple(one.dims) for one in model.graph.initializer}
    weights |= {one.values.name: tuple(one.dims) for one in model.graph.sparse_initializer}
    parameters = sum(_product(shape) for shape in weights.values())
    try:
        return OperatorGraph(tuple(_operators(model.graph, weights)), parameters)
    except ImportFailed as error:
        raise ImportFailed(f"{path}: {error}") from None


def _operators(graph: onnx.GraphProto, weights: Mapping[str, tuple[int, ...]]) -> Iterator[Operator]:
    shapes = {one.name: _shape(one) for one in (*graph.input, *graph.value_info, *graph.output)}
    number: dict[str, int] = {}
    count = 0
    for one in graph.input:
        if one.name in weights:
            continue
        number[one.name] = count
        count += 1
        yield Operator("input", (), one.name, "input", shape=shapes[one.name])
    for node in _sorted(graph, {*number, *weights}):
        attributes = {attribute.name: attribute for attribute in node.attribute}
        inner = [name for name, attribute in attributes.items() if attribute.type in (5, 10)]
        if inner:
            raise ImportFailed(f"node {node.name!r} ({node.op_type}): control flow is not followed")
        # An empty name stands for what is left out; of a tensor's shape nothing depends on what is in it.
        read = () if node.op_type in _OF_SHAPES else node.input
        sources = tuple(number[name] for name in read if name and name in number)
        if not node.input and kind_of(node.op_type) != node.op_type:
            raise ImportFailed(f"node {node.name!r} ({node.op_type}) reads nothing")
        result = node.output[0] if node.output else ""
        # Of other domains, the operators that have a usual name need not be what it says.
        name = node.op_type if node.domain in _DOMAINS else f"{node.domain}.{node.op_type}"
        shape, kind = shapes.get(result), kind_of(name)
        details: dict[str, Any] = {}
        if kind in ("conv", "transposed_conv"):
            if len(node.input) < 2:
                raise ImportFailed(f"node {node.name!r} ({node.op_type}): expected an input and a weight")
            weight = weights.get(node.input[1]) or shapes.get(node.input[1])
            details = _convolution(attributes, weight, transposed=kind == "transposed_conv")
        elif kind in ("max_pool", "avg_pool"):
            kernel = _whole(attributes, "kernel_shape") or (1,)
            if len(kernel) > _MOST_AXES or not all(0 < size <= _LARGEST_SIZE for size in kernel):
                raise ImportFailed(f"node {node.name!r} ({node.op_type}): expected a window, but got {kernel[:4]}")
            details = {"kernel": kernel, "stride": _whole(attributes, "strides") or (1,) * len(kernel)}
        elif kind in ("global_pool", "reduce"):
            kind = pooled(kind, shapes.get(node.input[0]), shape) if node.op_type.startswith("Reduce") else kind
        yield Operator(kind, sources, node.name or result, name, details, shape)
        number |= {name: count for name in node.output if name}
        count += 1
    sources = tuple(number[one.name] for one in graph.output if one.name in number)
    yield Operator("output", sources, "output", "output")


def _sorted(graph: onnx.GraphProto, known: set[str]) -> Iterator[onnx.NodeProto]:
    """Nodes after what they read, which the format asks for.

    Raises:
        ImportFailed: naming a node that comes too early, or is part of a cycle.
    """
    known = known | {""}
    for node in graph.node:
        again = [name for name in node.output if name and name in known]
        if again:
            raise ImportFailed(f"node {node.name!r} ({node.op_type}) writes {again[0]!r}, which is there already")
        missing = [name for name in node.input if name not in known]
        if missing:
            raise ImportFailed(f"node {node.name!r} ({node.op_type}) reads {missing[0]!r}, which comes from nowhere")
        known.update(node.output)
        yield node


def _convolution(attributes: Mapping[str, Any], weight: tuple[int, ...] | None, *, transposed: bool) -> dict[str, Any]:
    kernel = _whole(attributes, "kernel_shape") or (weight[2:] if weight is not None else None)
    if not kernel:
        raise ImportFailed("a convolution says nothing of its kernel")
    groups = attributes["group"].i if "group" in attributes else 1
    rank = len(kernel)
    sizes = (groups, *kernel, *_whole(attributes, "strides"), *_whole(attributes, "dilations"))
    if rank > _MOST_AXES or not all(0 < size <= _LARGEST_SIZE for size in sizes):
        raise ImportFailed(f"a convolution has a kernel of {kernel[:4]} in {groups} groups, or a stride that cannot be")
    outer, inner = (weight[0], weight[1] * groups) if weight is not None else (0, 0)
    return {
        "kernel": kernel,
        "stride": _whole(attributes, "strides") or (1,) * rank,
        "dilation": _whole(attributes, "dilations") or (1,) * rank,
        "groups": groups,
        "in_channels": outer if transposed else inner,
        "out_channels": inner if transposed else outer,
    }


def _whole(attributes: Mapping[str, Any], name: str) -> tuple[int, ...]:
    return tuple(attributes[name].ints) if name in attributes else ()


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return tuple(one.dim_value if one.HasField("dim_value") else -1 for one in kind.shape.dim)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
