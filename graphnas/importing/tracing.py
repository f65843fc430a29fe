"""Networks of PyTorch as graphs of operators: by `torch.export`, or where that fails by `torch.fx`."""

from __future__ import annotations

import contextlib
import io
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from graphnas.importing.operators import ImportFailed, Operator, OperatorGraph, kind_of, pooled


def trace(module: nn.Module, *inputs: Any, **named: Any) -> OperatorGraph:
    """The operators of a network.

    The network is traced in evaluation mode, without its weights being looked at; it is as before afterwards.

    Args:
        module: The network.
        inputs: An example of its inputs. A batch of two images is better than one, which may be taken for a constant.
        named: Further inputs by name.

    Raises:
        ImportFailed: saying why both ways failed.
    """
    with _evaluating(module), _quiet():
        try:
            operators = _operators(*_exported(module, inputs, named))
        except Exception as first:
            try:
                operators = _operators(*_symbolic(module, inputs, named))
            except Exception as second:
                raise ImportFailed(f"torch.export: {_short(first)}; torch.fx: {_short(second)}") from first
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return OperatorGraph(tuple(operators), parameters)


def trace_symbolically(module: nn.Module, *inputs: Any) -> OperatorGraph:
    """As `trace` does where `torch.export` fails: faster, and on the device `meta` too."""
    with _evaluating(module), _quiet():
        return OperatorGraph(tuple(_operators(*_symbolic(module, inputs, {}))))


def _exported(module: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any]) -> tuple[fx.Graph, set[str]]:
    """The graph, and the names of its placeholders that are weights."""
    program = torch.export.export(_TensorsAlone(module), tuple(inputs), dict(named), strict=False)
    if any(map(_works_aside, program.graph.nodes)):
        # Results come out of operators alone, and what runs in another mode is a part of the whole.
        program = program.run_decompositions({})
    given = set(program.graph_signature.user_inputs)
    weights = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.name not in given}
    return program.graph, weights


def _works_aside(node: fx.Node) -> bool:
    """Whether a node changes what others read without their reading its result, or is a part in another mode."""
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return str(node.target).startswith("wrap_with")
    if not isinstance(node.target, torch._ops.OpOverload) or not node.target._schema.is_mutable or not node.args:
        return False
    changed = node.args[0]
    return isinstance(changed, fx.Node) and (len(changed.users) > 1 or kind_of(_origin(changed)[0]) == "view")


class _TensorsAlone(nn.Module):
    """A network without what else it returns, such as caches of keys and values, which cannot be exported."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any, **named: Any) -> tuple[Tensor, ...]:
        return tuple(_tensors(self.network(*inputs, **named)))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(one)


def _symbolic(module: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any]) -> tuple[fx.Graph, set[str]]:
    from torch.fx.passes.shape_prop import ShapeProp

    if named:
        raise ImportFailed(f"inputs by name are not followed: {', '.join(named)}")
    traced = fx.symbolic_trace(module)
    taken = len(traced.graph.find_nodes(op="placeholder"))
    if len(inputs) > taken:
        raise ImportFailed(f"expected at most {taken} inputs, but got {len(inputs)}")
    with torch.no_grad():
        ShapeProp(traced).propagate(*inputs)
    return traced.graph, set()


def _operators(graph: fx.Graph, weights: set[str]) -> list[Operator]:
    found: list[Operator] = []
    number: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node.op == "placeholder" and node.name not in weights and _shape(node) is not None:
            number[node] = len(found)
            found.append(Operator("input", (), node.name, "input", shape=_shape(node)))
    _add_operators(graph, number, found)
    (output,) = graph.find_nodes(op="output")
    return [*found, Operator("output", _sources(output, number), output.name, "output")]


def _add_operators(graph: fx.Graph, number: dict[fx.Node, int], found: list[Operator]) -> None:
    """Add a graph's operators to those found so far.

    Args:
        graph: Of the whole, or of a branch.
        number: Operators by the nodes that they are the results of; inputs, and what a branch is given, are in it.
        found: All operators.
    """
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr", "output") or _shape(node) is None:
            continue
        branches = () if node.op != "call_function" else _branches(node)
        results = [result for branch in branches for result in _add_branch(node, branch, number, found)]
        one = _operator(node, number)
        if branches:
            # What its branches give is what it gives.
            one = replace(one, sources=(*one.sources, *results))
        number[node] = len(found)
        found.append(one)


def _branches(node: fx.Node) -> tuple[fx.Graph, ...]:
    """Graphs that an operation chooses from or repeats, as those of `torch.cond`."""
    if not isinstance(node.target, torch._ops.HigherOrderOperator):
        return ()
    held = map(_graph_of, node.all_input_nodes)
    return tuple(one for one in held if one is not None)


def _graph_of(node: fx.Node) -> fx.Graph | None:
    """The graph that a node stands for, if it does."""
    held = getattr(node.graph.owning_module, str(node.target), None) if node.op == "get_attr" else None
    return held.graph if isinstance(held, fx.GraphModule) else None


def _add_branch(node: fx.Node, branch: fx.Graph, number: dict[fx.Node, int], found: list[Operator]) -> tuple[int, ...]:
    """Add a branch's operators, and say which its results are."""
    graphs = [place for place, one in enumerate(node.args) if isinstance(one, fx.Node) and _graph_of(one) is not None]
    # What comes after its graphs it gives to them one by one: operands, what a loop carries, what it passes over.
    given = tree_leaves(node.args[graphs[-1] + 1 :])
    fed = OperatorGraph(tuple(found)).fed()
    depending = [number[one] for one in given if one in number and fed[number[one]]]
    for inside, outside in zip(branch.find_nodes(op="placeholder"), given, strict=False):
        if outside in number:
            first = number[outside]
            # What a loop begins with may be constant; unless it is a counter, what it carries on is not.
            carried = str(node.target) != "cond" and not fed[first] and _shape(outside)
            number[inside] = depending[0] if carried and depending else first
    _add_operators(branch, number, found)
    (output,) = branch.find_nodes(op="output")
    return _sources(output, number)


def _operator(node: fx.Node, number: Mapping[fx.Node, int]) -> Operator:
    origin, layer = _origin(node)
    sources, kind = _sources(node, number), kind_of(origin)
    attributes: dict[str, Any] = {}
    if kind in ("conv", "transposed_conv"):
        attributes = _convolution(node, layer, transposed=kind == "transposed_conv")
    elif kind in ("max_pool", "avg_pool"):
        attributes = _window(node, layer)
    elif kind in ("global_pool", "reduce"):
        first = next(iter(node.all_input_nodes), None)
        kind = pooled(kind, None if first is None else _shape(first), _shape(node))
    return Operator(kind, sources, node.name, origin, attributes, _shape(node))


def _origin(node: fx.Node) -> tuple[str, nn.Module | None]:
    """What an operation is called, and the module that it is, if it is one."""
    if node.op == "call_module":
        layer = node.graph.owning_module.get_submodule(str(node.target))  # type: ignore[union-attr]
        return type(layer).__name__, layer
    if node.op == "call_method":
        return str(node.target), None
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.split("::")[1], None
    if isinstance(target, torch._ops.HigherOrderOperator):
        return str(target), None
    if target is operator.getitem:
        return "getitem", None
    return str(getattr(target, "__name__", target)), None


def _sources(node: fx.Node, number: Mapping[fx.Node, int]) -> tuple[int, ...]:
    """Numbers of the tensors that a node takes, each as often as it takes it."""
    found: list[int] = []
    fx.map_arg((node.args, node.kwargs), lambda one: found.append(number[one]) if one in number else None)
    return tuple(found)


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    """Shape of a node's tensor, of the first of several; None where it has none."""
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    while isinstance(value, tuple | list) and value and not hasattr(value, "shape"):
        value = value[0]
    if value is None or not hasattr(value, "shape"):
        return None
    return tuple(_whole(size) for size in value.shape)


def _whole(size: Any) -> int:
    """A size, of which one that is not known counts as -1."""
    if isinstance(size, int):
        return size
    hint = getattr(getattr(size, "node", None), "hint", None)
    return int(hint) if hint is not None else -1


def _convolution(node: fx.Node, layer: nn.Module | None, *, transposed: bool) -> dict[str, Any]:
    if layer is not None:
        return {
            "kernel": tuple(layer.kernel_size),  # type: ignore[arg-type]
            "stride": tuple(layer.stride),  # type: ignore[arg-type]
            "dilation": tuple(layer.dilation),  # type: ignore[arg-type]
            "groups": layer.groups,
            "in_channels": layer.in_channels,
            "out_channels": layer.out_channels,
        }
    given = _arguments(node)
    weight = _shape(given["weight"])
    if weight is None:
        raise ImportFailed(f"{node.name}: the shape of a convolution's weight is not known")
    groups = int(given.get("groups", 1))
    rank = len(weight) - 2
    outer, inner = int(weight[0]), int(weight[1]) * groups
    return {
        "kernel": tuple(int(size) for size in weight[2:]),
        "stride": _tuple(given.get("stride", 1), rank),
        "dilation": _tuple(given.get("dilation", 1), rank),
        "groups": groups,
        "in_channels": outer if transposed else inner,
        "out_channels": inner if transposed else outer,
    }


def _window(node: fx.Node, layer: nn.Module | None) -> dict[str, Any]:
    rank = max(len(_shape(node) or ()) - 2, 1)
    given = vars(layer) if layer is not None else _arguments(node)
    kernel = _tuple(given.get("kernel_size", 1), rank)
    return {"kernel": kernel, "stride": _tuple(given.get("stride") or kernel, rank)}


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Arguments by the names that the operation gives them."""
    if isinstance(node.target, torch._ops.OpOverload):
        names = [argument.name for argument in node.target._schema.arguments]
    else:
        names = ["input", "weight", "bias", "stride", "padding", "dilation", "groups"]
        if "transpose" in _origin(node)[0]:
            names = ["input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"]
        if "pool" in _origin(node)[0]:
            names = ["input", "kernel_size", "stride", "padding"]
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    values = tuple(int(one) for one in value) if isinstance(value, list | tuple) else (int(value),)
    return values * rank if len(values) == 1 else values


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """A network in evaluation mode, and every part of it in its own mode afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what tracing says on the way."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def precision(module: nn.Module) -> torch.dtype:
    """The type of a network's weights, and of the images that it takes."""
    return next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)
