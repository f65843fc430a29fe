"""Reading a space file (TOML): every key known, every value of the right kind, or a refusal that says where."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphnas.cell import OUTPUT, is_input
from graphnas.spaces.chain import ChainTopology
from graphnas.spaces.complete import CompleteTopology
from graphnas.spaces.dag import DagTopology
from graphnas.spaces.in_degree import SUM, InDegreeTopology
from graphnas.spaces.network_tables import SKELETON_SIZES, check_operation
from graphnas.spaces.topology import Topology

_LIMIT = 1_000_000  # bytes; a space file has a few hundred
_VERTICES = 64  # most of a cell
_OPERATIONS = 100  # most in a space; vocabulary codes are 8-bit integers
# Least and most value of what a space may ask of the default encoder, and its types.
_ENCODER: dict[str, tuple[float, float, tuple[type, ...]]] = {
    "latent_dim": (2, 256, (int,)),
    "edits": (0, 1, (int, float)),
    "places": (0.01, 100, (int, float)),
    "flow": (0, 100, (int, float)),
}


class SpaceFileError(ValueError):
    """A space file that cannot be used: names the file, the key and the reason."""

    def __init__(self, path: Path, key: str, reason: str) -> None:
        super().__init__(f"{path}: {key}: {reason}" if key else f"{path}: {reason}")
        self.path, self.key, self.reason = path, key, reason


@dataclass(frozen=True)
class SpaceFile:
    """The content of a space file, checked."""

    name: str
    title: str
    paper: str
    cells: tuple[str, ...]
    size: int | None
    topology: Topology
    operations: dict[str, dict[str, Any]]
    network: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)


def read_space_file(path: Path, limits: Mapping[str, Any]) -> SpaceFile:
    """Read and check a space file.

    Args:
        path: The file.
        limits: Keys of `[topology]` that replace the file's.

    Raises:
        SpaceFileError: naming file, key and reason.
    """

    def refuse(key: str, reason: str) -> SpaceFileError:
        return SpaceFileError(path, key, reason)

    try:
        if path.stat().st_size > _LIMIT:
            raise refuse("", f"expected a space file of at most {_LIMIT:,} bytes")
        data = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise refuse("", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise refuse("", f"not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise refuse("", f"not TOML: {error}") from None

    known = {"name", "title", "paper", "cells", "size", "topology", "operations", "network", "encoder"}
    for key in data:
        if key not in known:
            raise refuse(key, f"unknown key; expected {', '.join(sorted(known))}")
    for key, kind in (("name", str), ("cells", list), ("topology", dict), ("operations", dict)):
        if key not in data:
            raise refuse(key, "missing")
        if not isinstance(data[key], kind) or not data[key]:
            raise refuse(key, f"expected a non-empty {kind.__name__}, but got {data[key]!r}")
    for key in ("title", "paper"):
        if not isinstance(data.get(key, ""), str):
            raise refuse(key, f"expected text, but got {data[key]!r}")
    if not data["name"].replace("_", "").replace("-", "").isalnum():
        raise refuse("name", f"expected letters, digits, '-' and '_', but got {data['name']!r}")
    cells = data["cells"]
    if not all(isinstance(cell, str) and cell.isidentifier() for cell in cells) or len(set(cells)) < len(cells):
        raise refuse("cells", f"expected distinct names, but got {cells!r}")
    size = data.get("size")
    if size is not None and (type(size) is not int or size < 1):
        raise refuse("size", f"expected a positive whole number, but got {size!r}")
    _check_operations(data["operations"], refuse)
    network = data.get("network", {})
    _check_network(network, refuse)
    encoder = data.get("encoder", {})
    _check_encoder(encoder, refuse)
    try:
        topology = _topology(data["topology"] | dict(limits), data["operations"])
    except _KeyRefused as error:
        raise refuse(f"topology.{error.key}", error.reason) from None
    return SpaceFile(
        name=data["name"],
        title=data.get("title", data["name"]),
        paper=data.get("paper", ""),
        cells=tuple(cells),
        size=_size(topology, len(cells)) if limits or size is None else size,
        topology=topology,
        operations=data["operations"],
        network=network,
        encoder=encoder,
    )


def _check_operations(operations: dict[str, Any], refuse: Callable[[str, str], SpaceFileError]) -> None:
    if len(operations) > _OPERATIONS:
        raise refuse("operations", f"expected at most {_OPERATIONS} operations, but got {len(operations)}")
    for op, table in operations.items():
        # Names go into drawings, exported source and Optuna's storages.
        if not re.fullmatch(r"[\w.+-]{1,64}", op, flags=re.ASCII):
            raise refuse(f"operations.{op}", "expected a name of 1 to 64 letters, digits, '_', '-', '+' and '.'")
        if op == OUTPUT or is_input(op):
            raise refuse(f"operations.{op}", "the names input and output are reserved")
        if not isinstance(table, dict):
            raise refuse(f"operations.{op}", 'expected a table such as { module = "conv", kernel = 3 }')
        try:
            check_operation(table)
        except ValueError as error:
            raise refuse(f"operations.{op}", str(error)) from None


def _check_encoder(encoder: Any, refuse: Callable[[str, str], SpaceFileError]) -> None:
    if not isinstance(encoder, dict):
        raise refuse("encoder", f"expected a table, but got {encoder!r}")
    for key, value in encoder.items():
        if key == "pretrained":
            if not isinstance(value, str) or not value:
                raise refuse("encoder.pretrained", f"expected the name of an encoder, but got {value!r}")
            continue
        if key not in _ENCODER:
            raise refuse(f"encoder.{key}", f"unknown key; expected pretrained, {', '.join(_ENCODER)}")
        least, most, kinds = _ENCODER[key]
        if type(value) not in kinds or not least <= value <= most:
            kind = "a number" if float in kinds else "a whole number"
            raise refuse(f"encoder.{key}", f"expected {kind} from {least} to {most}, but got {value!r}")


def _check_network(network: Any, refuse: Callable[[str, str], SpaceFileError]) -> None:
    if not isinstance(network, dict):
        raise refuse("network", f"expected a table, but got {network!r}")
    skeleton, proxy = network.get("skeleton", "stacked"), network.get("proxy", {})
    if not isinstance(skeleton, str) or skeleton not in SKELETON_SIZES:
        raise refuse("network.skeleton", f"expected one of {', '.join(SKELETON_SIZES)}, but got {skeleton!r}")
    if not isinstance(proxy, dict):
        raise refuse("network.proxy", f"expected a table, but got {proxy!r}")
    sizes = {key: value for key, value in network.items() if key not in ("skeleton", "proxy")}
    for key, value in (sizes | {f"proxy.{key}": value for key, value in proxy.items()}).items():
        if key.removeprefix("proxy.") not in SKELETON_SIZES[skeleton]:
            known = ", ".join(SKELETON_SIZES[skeleton])
            raise refuse(f"network.{key}", f"unknown size of the skeleton {skeleton!r}; expected {known}")
        if type(value) is not int or value < 1:
            raise refuse(f"network.{key}", f"expected a positive whole number, but got {value!r}")


def _size(topology: Topology, cells: int) -> int | None:
    classes = topology.classes()
    return None if classes is None else classes**cells


class _KeyRefused(Exception):
    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key, self.reason = key, reason


_RANGES: dict[str, dict[str, tuple[int, int]]] = {
    "dag": {"max_vertices": (2, _VERTICES), "max_edges": (1, _VERTICES * (_VERTICES - 1) // 2)},
    "chain": {"layers": (1, _VERTICES - 2)},
    "complete": {"nodes": (2, 11)},
    "in_degree": {"nodes": (1, 30), "in_degree": (1, 30), "inputs": (1, 30)},
}
"""Whole numbers that `[topology]` holds, by kind, with the least and most; the first is required."""


def _topology(table: dict[str, Any], operations: dict[str, dict[str, Any]]) -> Topology:
    kind = table.get("kind")
    if kind not in _RANGES:
        raise _KeyRefused("kind", f"expected one of {', '.join(_RANGES)}, but got {kind!r}")
    ranges = _RANGES[kind]
    other = {"dag": "prune", "in_degree": "exclude"}.get(kind)
    known = {"kind", *ranges, *filter(None, [other])}
    for key in table:
        if key not in known:
            raise _KeyRefused(key, f"unknown key for kind {kind!r}; expected {', '.join(sorted(known))}")
    required = next(iter(ranges))
    if required not in table:
        raise _KeyRefused(required, "missing")
    for key, (least, most) in ranges.items():
        value = table.get(key, least)
        if type(value) is not int or not least <= value <= most:
            raise _KeyRefused(key, f"expected a whole number from {least} to {most}, but got {value!r}")
    settings = {key: value for key, value in table.items() if key != "kind"}
    if kind == "dag":
        if not isinstance(table.get("prune", True), bool):
            raise _KeyRefused("prune", f"expected true or false, but got {table['prune']!r}")
        return DagTopology(tuple(operations), **settings)
    if kind == "chain":
        return ChainTopology(tuple(operations), **settings)
    if kind == "complete":
        return CompleteTopology(operations, **settings)
    return _in_degree(operations, settings)


def _in_degree(operations: dict[str, dict[str, Any]], settings: dict[str, Any]) -> Topology:
    exclude = settings.get("exclude", [])
    if not isinstance(exclude, list | tuple) or not set(exclude) < set(operations):
        raise _KeyRefused("exclude", f"expected some but not all of {', '.join(operations)}, but got {exclude!r}")
    if SUM in operations:
        raise _KeyRefused("kind", f"the operation name {SUM!r} is reserved in a space of kind 'in_degree'")
    if settings.get("in_degree", 2) > settings.get("inputs", 2):
        raise _KeyRefused(
            "in_degree", "expected at most the number of inputs, which are all that the first node can read"
        )
    topology = InDegreeTopology(tuple(operations), **settings)
    if topology.max_vertices > _VERTICES:
        raise _KeyRefused("nodes", f"expected cells of at most {_VERTICES} vertices, but got {topology.max_vertices}")
    return topology
