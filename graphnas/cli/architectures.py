"""Files of architectures in all notations that graphnas reads: JSON, published texts and lists, GraphML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graphnas.cli.console import BadData

if TYPE_CHECKING:
    from graphnas.cell import Architecture
    from graphnas.spaces import Space

_LARGEST = 2**28  # bytes
_STRING, _GENOTYPE = "|", "Genotype("  # beginnings of the notations that are not JSON


class Candidate(NamedTuple):
    """What a file says of one architecture."""

    architecture: Architecture
    settings: dict[str, Any]
    """Settings of the training that a joint search found for it, by name; empty if the file has none."""


def read_architectures(path: Path, space: Space | None = None) -> list[Architecture]:
    """The architectures of a file, in order; see `read_candidates`.

    Raises:
        BadData: naming the file, the line or entry, and the reason.
    """
    return [one.architecture for one in read_candidates(path, space)]


def read_candidates(path: Path, space: Space | None = None) -> list[Candidate]:
    """The architectures of a file with the training settings that it has for them, in order.

    A `.graphml` file holds one cell. Any other file holds one JSON value, a JSON list of values, or a value or text on
    each line. A value or text is one of

    - an architecture, `{"space": ..., "cells": [...]}`;
    - a NAS-Bench-101 specification, `{"matrix": ..., "ops": ...}` or `{"adjacency": ..., "ops": ...}`;
    - a NAS-Bench-201 string, `|op~0|+|op~0|op~1|+...`;
    - a DARTS genotype, as the text `Genotype(normal=...)` or as a JSON object with the same keys;
    - an ENAS architecture, a list of lists of whole numbers;
    - an object that holds one of these under the key `architecture`, as `best.json` does, and settings of its training
      under the key `hyperparameters` if there are any.

    Args:
        path: The file.
        space: Checks that each is legal there, and gives its name to those whose notation names no space. If None,
            they are named after their notation: nasbench101, nasbench201, darts or enas. GraphML needs a space.

    Raises:
        BadData: naming the file, the line or entry, and the reason.
    """
    text = read_text(path)
    whole = path.suffix.lower() == ".graphml"
    read = _graphml if whole else _read
    found = []
    for place, value in [("the graph", text)] if whole else _values(path, text):
        try:
            architecture = read(value, space)
            if space is not None:
                space.validate(architecture)
            settings = value.get("hyperparameters", {}) if isinstance(value, dict) else {}
            if not isinstance(settings, dict):
                raise ValueError(f"expected 'hyperparameters' to be an object, but got {settings!r:.100}")
        except ValueError as error:
            raise BadData(f"{path}: {place}: {error}") from None
        except RecursionError:
            raise BadData(f"{path}: {place}: expected an architecture, but it is nested too deeply") from None
        found.append(Candidate(architecture, settings))
    if not found:
        raise BadData(f"{path}: expected at least one architecture, but it holds none")
    return found


def read_architecture(text: str, space: Space) -> Architecture:
    """The architecture that a text writes in any of the notations of `read_architectures` but GraphML.

    Raises:
        ValueError: if it writes none, or one that is not legal in the space.
    """
    text = text.strip()
    architecture = _read(text if text.startswith((_STRING, _GENOTYPE)) else _json(text), space)
    space.validate(architecture)
    return architecture


def read_text(path: Path) -> str:
    """The text of a file of architectures.

    Raises:
        BadData: if it is too large, or no text.
    """
    size = path.stat().st_size
    if size > _LARGEST:
        raise BadData(f"{path}: expected at most {_LARGEST >> 20} MiB, but got {size >> 20} MiB")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: {error}") from None


def _values(path: Path, text: str) -> Iterable[tuple[str, Any]]:
    """The JSON values and other texts of a file, with their places."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    try:
        value = _json(text)
    except ValueError as whole:
        if len(lines) < 2 and not text.lstrip().startswith((_STRING, _GENOTYPE)):
            raise BadData(f"{path}: {whole}") from None
        for number, line in lines:
            try:
                yield f"line {number}", line if line.startswith((_STRING, _GENOTYPE)) else _json(line)
            except json.JSONDecodeError as error:
                raise BadData(f"{path}: line {number}: {error.msg} at column {error.colno}") from None
            except ValueError as error:
                raise BadData(f"{path}: line {number}: {error}") from None
        return
    if isinstance(value, list) and not _is_enas(value):
        yield from ((f"entry {number}", entry) for number, entry in enumerate(value))
    else:
        yield "the value", value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("expected JSON, but it is nested too deeply") from None


def _read(value: Any, space: Space | None) -> Architecture:
    """The architecture of a value or text in the notation that recognises it."""
    from graphnas.cell import Architecture

    if isinstance(value, dict) and "architecture" in value:
        value = value["architecture"]
    for recognises, read in _NOTATIONS:
        if recognises(value):
            return read(value, space)
    return Architecture.from_dict(value)


def _is_enas(value: Any) -> bool:
    """Whether a value is a list of lists that hold no lists themselves."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(layer, list) for layer in value)
        and not any(isinstance(entry, list) for layer in value for entry in layer)
    )


def _enas(value: Any, space: Space | None) -> Architecture:
    from graphnas.cell import Architecture
    from graphnas.formats.enas import from_lists

    return Architecture(space.name if space else "enas", (from_lists(value),))


def _is_nasbench101(value: Any) -> bool:
    return isinstance(value, dict) and "ops" in value and ("matrix" in value or "adjacency" in value)


def _nasbench101(value: Any, space: Space | None) -> Architecture:
    from graphnas.cell import Architecture
    from graphnas.formats.nasbench101 import from_matrix

    if "matrix" in value and "adjacency" in value:
        raise ValueError("Expected the key 'matrix' or the key 'adjacency', but got both")
    key = "matrix" if "matrix" in value else "adjacency"
    matrix, ops = value[key], value["ops"]
    if not isinstance(matrix, list) or not all(isinstance(row, list) for row in matrix):
        raise ValueError(f"Expected {key!r} to be a list of lists, but got {matrix!r:.100}")
    if not isinstance(ops, list) or not all(isinstance(op, str) for op in ops):
        raise ValueError(f"Expected 'ops' to be a list of names, but got {ops!r:.100}")
    return Architecture(space.name if space else "nasbench101", (from_matrix(matrix, ops),))


def _is_nasbench201(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_STRING)


def _nasbench201(value: Any, space: Space | None) -> Architecture:
    from graphnas.cell import Architecture
    from graphnas.formats.nasbench201 import from_string

    return Architecture(space.name if space else "nasbench201", (from_string(value),))


def _is_darts(value: Any) -> bool:
    if isinstance(value, dict):
        return not {"normal", "normal_concat", "reduce", "reduce_concat"}.isdisjoint(value)
    return isinstance(value, str) and value.startswith(_GENOTYPE)


def _darts(value: Any, space: Space | None) -> Architecture:
    from graphnas.formats.darts import OPERATIONS, from_genotype, from_genotype_json

    name, operations = (space.name, tuple(space.operations)) if space else ("darts", OPERATIONS)
    if isinstance(value, dict):
        return from_genotype_json(json.dumps(value), space=name, operations=operations)
    return from_genotype(value, space=name, operations=operations)


_NOTATIONS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Space | None], Architecture]], ...] = (
    (_is_nasbench101, _nasbench101),
    (_is_nasbench201, _nasbench201),
    (_is_darts, _darts),
    (_is_enas, _enas),
)
"""How each notation is told from the others, and how it is read."""


def _graphml(text: Any, space: Space | None) -> Architecture:
    from graphnas.cell import Architecture
    from graphnas.formats.graphs import from_graphml

    if space is None or len(space.cell_names) != 1:
        got = "none was given" if space is None else f"{space.name} has the cells {', '.join(space.cell_names)}"
        raise ValueError(f"Expected a space of one cell, which GraphML does not name, but {got}")
    return Architecture(space.name, (from_graphml(text),))
