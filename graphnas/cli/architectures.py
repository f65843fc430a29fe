"""Files of architectures: one JSON value, a list of them, or one on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphnas.cli.console import BadData

if TYPE_CHECKING:
    from graphnas.cell import Architecture
    from graphnas.spaces import Space

_LARGEST = 2**28  # bytes


def read_architectures(path: Path, space: Space | None = None) -> list[Architecture]:
    """The architectures of a file, in order.

    Every value is an architecture (`{"space": ..., "cells": [...]}`) or holds one under the key `architecture`, as
    `best.json` does.

    Args:
        path: A JSON file, or one with a value on each line.
        space: Checks that each is legal there.

    Raises:
        BadData: naming the file, the entry and the reason.
    """
    from graphnas.cell import Architecture

    found = []
    for place, value in _values(path):
        try:
            architecture = Architecture.from_dict(
                value["architecture"] if isinstance(value, dict) and "architecture" in value else value
            )
            if space is not None:
                space.validate(architecture)
        except ValueError as error:
            raise BadData(f"{path}: {place}: {error}") from None
        found.append(architecture)
    if not found:
        raise BadData(f"{path}: expected at least one architecture, but it holds none")
    return found


def _values(path: Path) -> Iterable[tuple[str, Any]]:
    size = path.stat().st_size
    if size > _LARGEST:
        raise BadData(f"{path}: expected at most {_LARGEST >> 20} MiB, but got {size >> 20} MiB")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: {error}") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as whole:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        if len(lines) < 2:
            raise BadData(f"{path}: {whole}") from None
        for number, line in lines:
            try:
                yield f"line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise BadData(f"{path}: line {number}: {error.msg} at column {error.colno}") from None
        return
    if isinstance(value, list):
        yield from ((f"entry {number}", entry) for number, entry in enumerate(value))
    else:
        yield "the value", value
