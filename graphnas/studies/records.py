"""What a search writes beside its trials: whole text files, settings as TOML, the environment."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

_PACKAGES = (
    "graphnas", "torch", "torch-geometric", "botorch", "gpytorch", "numpy", "scipy", "networkx", "scikit-learn",
    "optuna", "safetensors", "pebble",
)  # fmt: skip


def environment(seed: int | None = None) -> dict[str, Any]:
    """What a result depends on beside its settings: versions, seed, machine and command."""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    name = Path(sys.argv[0]).name
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": ["graphnas" if name == "__main__.py" else name, *sys.argv[1:]],
        "seed": seed,
        "python": platform.python_version(),
        "versions": versions,
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole: after a crash it holds the old text or the new, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_toml(settings: Mapping[str, Any]) -> str:
    """Settings as TOML: plain values first, then one table for each mapping; None is left out."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in settings.items() if _is_plain(value)]
    for key, table in settings.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{key}]"]
            lines += [f"{_toml_key(name)} = {_toml_value(value)}" for name, value in table.items() if value is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml_value(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + " }"
    # A JSON string is a TOML string, but for the one control character that JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
