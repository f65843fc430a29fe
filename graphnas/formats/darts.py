"""DARTS genotypes, as Python text and as JSON (Liu et al. 2019, arXiv 1806.09055).

A genotype describes two cells, normal and reduce. A cell has the states 0 and 1, the outputs of the two cells before
it, and one more state for each node: state 2 + n is the sum of two operations, each applied to an earlier state. The
list of a cell holds the pairs (operation, state) of its nodes, two a node; the `concat` states form the output.

Here operations sit on vertices. `Cell.ops` is `"input0"`, `"input1"`, then for each node its two operations in the
genotype's order followed by `"sum"`, then `"output"`. An operation is fed by the vertex of its state and feeds its
node's sum; the `concat` sums feed the output.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Collection
from typing import Any

from graphnas.cell import OUTPUT, Architecture, Cell, is_input

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""Official names, in the official order."""
CELLS = ("normal", "reduce")
"""Names of the two cells, in the order of `Architecture.cells`."""

_KEYS = ("normal", "normal_concat", "reduce", "reduce_concat")
_SUM = "sum"
_LONGEST = 2**16  # characters


def from_genotype(text: str, *, space: str = "darts", operations: Collection[str] = OPERATIONS) -> Architecture:
    """The architecture of a genotype such as `Genotype(normal=[('skip_connect', 0), ...], ..., reduce_concat=...)`.

    The text is parsed, never evaluated.

    Args:
        text: Official text with all four keywords; a `concat` is a list or `range(first, last + 1)`.
        space: Name of the architecture's space.
        operations: Names that are allowed.

    Raises:
        ValueError: naming the list, the pair and what is wrong, or line and column where the text is not a genotype.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"Expected a genotype of at most {_LONGEST:,} characters, but got {len(text):,}")
    text = text.strip()
    call = _parsed(text)
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"):
        raise ValueError(f"Expected a call Genotype(...), but got {text!r:.100}")
    if call.args:
        raise ValueError(f"Expected keyword arguments alone, but got another{_at(call.args[0])}")
    data: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg not in _KEYS or keyword.arg in data:
            raise ValueError(
                f"Expected the keywords {', '.join(_KEYS)} once, but got {keyword.arg or '**'!r}{_at(keyword)}"
            )
        data[keyword.arg] = _value(keyword.value, text)
    return _architecture(data, space, operations)


def to_genotype(architecture: Architecture, *, operations: Collection[str] = OPERATIONS) -> str:
    """Inverse of `from_genotype`, in the official form.

    Consecutive `concat` states are written as a range, others as a list.

    Raises:
        ValueError: naming the cell and the vertex or edge that no genotype has.
    """
    data = _genotype(architecture, operations)
    for key in _KEYS[1::2]:
        first, last = data[key][0], data[key][-1]
        if data[key] == list(range(first, last + 1)):
            data[key] = range(first, last + 1)
    return f"Genotype({', '.join(f'{key}={data[key]!r}' for key in _KEYS)})"


def from_genotype_json(text: str, *, space: str = "darts", operations: Collection[str] = OPERATIONS) -> Architecture:
    """The architecture of a genotype as a JSON object with the keys of the official text.

    Args:
        text: `{"normal": [["skip_connect", 0], ...], "normal_concat": [2, ...], "reduce": ..., "reduce_concat": ...}`.
        space: Name of the architecture's space.
        operations: Names that are allowed.

    Raises:
        ValueError: naming the list, the pair and what is wrong, or line and column where the text is not JSON.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"Expected a genotype of at most {_LONGEST:,} characters, but got {len(text):,}")
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise ValueError(f"Expected a genotype as JSON, but {error}") from None
    except RecursionError:
        raise ValueError("Expected a genotype as JSON, but the text is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError(f"Expected an object with the keys {', '.join(_KEYS)}, but got {data!r:.100}")
    for key in data:
        if key not in _KEYS:
            raise ValueError(f"Expected the keys {', '.join(_KEYS)}, but got {key!r:.100}")
    return _architecture(data, space, operations)


def to_genotype_json(architecture: Architecture, *, operations: Collection[str] = OPERATIONS) -> str:
    """Inverse of `from_genotype_json`, one line.

    Raises:
        ValueError: naming the cell and the vertex or edge that no genotype has.
    """
    return json.dumps(_genotype(architecture, operations))


def _parsed(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            # Python warns of texts such as '\d' and `1if`; what they stand for is refused later.
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        place = "" if error.lineno is None else f" at line {error.lineno}, column {error.offset}"
        raise ValueError(f"Expected a genotype as Python text, but {error.msg}{place}") from None
    except ValueError as error:  # a null character
        raise ValueError(f"Expected a genotype as Python text, but {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError("Expected a genotype as Python text, but the text is nested too deeply") from None


def _at(node: ast.expr | ast.keyword) -> str:
    return f" at line {node.lineno}, column {node.col_offset + 1}"


def _value(node: ast.expr, text: str) -> Any:
    """The list, name or number that an expression writes down; nothing else is allowed."""
    match node:
        case ast.Constant(value=str(name)):
            return name
        # The bound keeps ranges short, and lies far beyond the states of a text of the longest length.
        case ast.Constant(value=int(number)) if abs(number) < _LONGEST:
            return number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element, text) for element in elements]
        case ast.Call(func=ast.Name(id="range"), args=[_, _], keywords=[]):
            first, stop = (_value(end, text) for end in node.args)
            if type(first) is int and type(stop) is int:
                return list(range(first, stop))
    raise ValueError(
        "Expected a list, a pair, a name in quotes, a whole number or range(first, last + 1), "
        f"but got {ast.get_source_segment(text, node)!r:.100}{_at(node)}"
    )


def _whole(digits: str) -> int | str:
    """A number of JSON; one beyond all states stays text, so that it is refused at its place."""
    return int(digits) if len(digits) < 10 else digits


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"Expected each key once, but got {key!r:.100} again")
        data[key] = value
    return data


def _architecture(data: dict[str, Any], space: str, operations: Collection[str]) -> Architecture:
    """The architecture of a genotype whose values are plain lists."""
    for key in _KEYS:
        if key not in data:
            raise ValueError(f"Expected the keys {', '.join(_KEYS)}, but {key!r} is missing")
    return Architecture(
        space, tuple(_cell(name, data[name], f"{name}_concat", data[f"{name}_concat"], operations) for name in CELLS)
    )


def _cell(name: str, pairs: Any, concat_name: str, concat: Any, operations: Collection[str]) -> Cell:
    if not isinstance(pairs, list) or not pairs or len(pairs) % 2:
        got = f"{len(pairs)} entries" if isinstance(pairs, list) else f"{pairs!r:.100}"
        raise ValueError(f"Expected {name} to be a list of pairs (operation, state), two for each node, but got {got}")
    checked = []
    for place, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"Expected {name}[{place}] to be a pair (operation, state), but got {pair!r:.100}")
        op, state = pair
        if not isinstance(op, str) or not _is_operation(op, operations):
            raise ValueError(
                f"Expected the operation of {name}[{place}] to be one of {', '.join(operations)}, but got {op!r:.100}"
            )
        states = 2 + place // 2  # states before this pair's node
        if type(state) is not int or not 0 <= state < states:
            raise ValueError(
                f"Expected the state of {name}[{place}] to be a number from 0 to {states - 1}, but got {state!r:.100}"
            )
        checked.append((op, state))
    last = 1 + len(pairs) // 2
    if not isinstance(concat, list) or not concat:
        raise ValueError(f"Expected {concat_name} to be a list or range of states, but got {concat!r:.100}")
    for place, state in enumerate(concat):
        if type(state) is not int or not 2 <= state <= last:
            raise ValueError(
                f"Expected {concat_name}[{place}] to be the state of a node, from 2 to {last}, but got {state!r:.100}"
            )
        if place and state <= concat[place - 1]:
            # The order of concatenation is no part of a graph, so it could not be given back.
            raise ValueError(
                f"Expected {concat_name} to increase, but {concat_name}[{place}] is {state} after {concat[place - 1]}"
            )
    return _build(checked, concat)


def _is_operation(op: str, operations: Collection[str]) -> bool:
    return op in operations and op not in (_SUM, OUTPUT) and not is_input(op)


def _vertex(state: int) -> int:
    """Vertex of a state: the inputs, then every third vertex."""
    return state if state < 2 else 3 * state - 2


def _build(pairs: list[tuple[str, int]], concat: list[int]) -> Cell:
    ops, edges = ["input0", "input1"], set()
    for place, (op, state) in enumerate(pairs):
        edges |= {(_vertex(state), len(ops)), (len(ops), _vertex(2 + place // 2))}
        ops.append(op)
        if place % 2:
            ops.append(_SUM)
    edges |= {(_vertex(state), len(ops)) for state in concat}
    return Cell((*ops, OUTPUT), frozenset(edges))


def _genotype(architecture: Architecture, operations: Collection[str]) -> dict[str, Any]:
    """Inverse of `_architecture`."""
    if len(architecture.cells) != len(CELLS):
        raise ValueError(f"Expected the cells {', '.join(CELLS)}, but got {len(architecture.cells)} cells")
    data: dict[str, Any] = {}
    for name, cell in zip(CELLS, architecture.cells, strict=True):
        try:
            data[name], data[f"{name}_concat"] = _read(cell, operations)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return data


def _read(cell: Cell, operations: Collection[str]) -> tuple[list[tuple[str, int]], list[int]]:
    """Inverse of `_build`."""
    nodes, rest = divmod(cell.size - 3, 3)
    if cell.ops[:2] != ("input0", "input1") or rest or nodes < 1:
        raise ValueError(
            f"Expected input0, input1, three vertices for each node, and output, but got {cell.ops!r:.200}"
        )
    state_of = {_vertex(state): state for state in range(nodes + 2)}
    into: list[list[int]] = [[] for _ in cell.ops]
    for i, j in sorted(cell.edges):
        into[j].append(i)
    pairs = []
    for vertex, op in enumerate(cell.ops[:-1]):
        if vertex < 2:
            continue
        if vertex in state_of:
            if op != _SUM:
                raise ValueError(f"Expected vertex {vertex} to be {_SUM!r}, but got {op!r}")
            continue
        if not _is_operation(op, operations):
            raise ValueError(f"Expected vertex {vertex} to be one of {', '.join(operations)}, but got {op!r}")
        if len(into[vertex]) != 1 or into[vertex][0] not in state_of:
            raise ValueError(f"Expected vertex {vertex} to be fed by one input or sum, but got vertices {into[vertex]}")
        pairs.append((op, state_of[into[vertex][0]]))
    concat = [state for state in range(2, nodes + 2) if (_vertex(state), cell.size - 1) in cell.edges]
    if not concat:
        raise ValueError("Expected a sum that feeds the output, but none does")
    wrong = cell.edges ^ _build(pairs, concat).edges
    if wrong:
        edge = min(wrong)
        raise ValueError(
            f"Expected operations to feed the sum of their node alone, and sums alone the output, but edge {edge} is "
            f"{'extra' if edge in cell.edges else 'missing'}"
        )
    return pairs, concat
