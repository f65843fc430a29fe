"""The settings of a search, `config.toml`: read, checked, and turned back into the parts they name."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphnas.cell import Architecture
from graphnas.studies.database import check_server
from graphnas.studies.errors import StudyError

if TYPE_CHECKING:
    from graphnas.spaces import HyperparameterSpace, Space


CONFIG = "config.toml"

CANDIDATES = "candidates.json"
"""File in a search's folder with the architectures that it is restricted to, if it is."""

FIRST = "first.json"
"""File in a search's folder with the parameters of the trials that come first, if there are any."""

DIRECTIONS = ("maximize", "minimize")

BOUNDS = ("at_most", "at_least")
"""Tables of bounds on metrics, and the sides on which these are kept."""


def read_config(folder: str | Path) -> dict[str, Any]:
    """The settings of the search in a folder, from `config.toml`.

    Raises:
        StudyError: if there is no such file, it is not TOML, or what every search needs is missing or wrong.
    """
    path = Path(folder) / CONFIG
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise StudyError(f"{folder} holds no search: {path} is missing") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"{path}: {error}") from None
    check_config(Path(folder), settings)
    return settings


def check_config(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a search cannot go on with, naming file, key, expected and got."""
    setting(folder, settings, "space", dict)
    setting(folder, settings, "space.name", str)
    setting(folder, settings, "space.file", str, optional=True)
    setting(folder, settings, "evaluator", dict)
    setting(folder, settings, "sampler", dict)
    setting(folder, settings, "sampler.kind", str, optional=True)
    setting(folder, settings, "sampler.encoder", str, optional=True)
    setting(folder, settings, "sampler.seed", int, least=0, optional=True)
    setting(folder, settings, "joint", dict, optional=True)
    if setting(folder, settings, "storage", dict, optional=True) is not None:
        url = setting(folder, settings, "storage.url", str)
        try:
            check_server(url)
        except ValueError as error:
            raise StudyError(f"{folder / CONFIG}: storage.url: {error}") from None
        setting(folder, settings, "storage.study", str)
    directions = setting(folder, settings, "directions", list)
    if not directions or any(direction not in DIRECTIONS for direction in directions):
        raise StudyError(
            f"{folder / CONFIG}: directions: expected a list out of {', '.join(DIRECTIONS)}, but got {directions!r}"
        )
    objectives = setting(folder, settings, "objectives", list, optional=True)
    if objectives is not None and (
        len(objectives) != len(directions) or not all(isinstance(name, str) for name in objectives)
    ):
        raise StudyError(f"{folder / CONFIG}: objectives: expected one name for each direction, but got {objectives!r}")
    for side in BOUNDS:
        for name, bound in (setting(folder, settings, side, dict, optional=True) or {}).items():
            if not isinstance(bound, int | float) or isinstance(bound, bool) or not math.isfinite(bound):
                raise StudyError(f"{folder / CONFIG}: {side}.{name}: expected a number, but got {bound!r:.200}")


_KINDS = {
    bool: "true or false",
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def setting(
    folder: str | Path,
    settings: Mapping[str, Any],
    key: str,
    kind: type[bool | str | int | float | list[Any] | dict[str, Any]],
    *,
    least: float | None = None,
    optional: bool = False,
) -> Any:
    """One setting of a search.

    Args:
        folder: The folder of the search, for messages.
        settings: From `read_config`.
        key: Such as `sampler.seed`.
        kind: What it has to be; a whole number is a number too.
        least: The smallest number it may be.
        optional: Whether it may be missing.

    Returns:
        Its value, or None if it is missing and may be.

    Raises:
        StudyError: naming the file, the key, what was expected and what came.
    """
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None and optional:
        return None
    kinds = (int, float) if kind is float else kind
    right = isinstance(value, kinds) and isinstance(value, bool) == (kind is bool)
    if not right or (least is not None and not value >= least):
        expected = _KINDS[kind] + ("" if least is None else f" of at least {least:g}")
        came = "it is missing" if value is None else f"got {value!r:.200}"
        raise StudyError(f"{Path(folder) / CONFIG}: {key}: expected {expected}, but {came}")
    return value


def load_space(folder: str | Path) -> Space:
    """The search space of the search in a folder; a space file kept in the folder comes first.

    Raises:
        StudyError: if there is no such space, or its settings are wrong.
    """
    from graphnas.spaces import Space

    table = dict(read_config(folder)["space"])
    name, file = table.pop("name"), table.pop("file", None)
    try:
        return Space.load(Path(folder) / file if file else name, **table)
    except (ValueError, TypeError) as error:
        raise StudyError(f"{Path(folder) / CONFIG}: space: {error}") from None


def load_hyperparameters(folder: str | Path) -> HyperparameterSpace | None:
    """What the search in a folder looks through beside architectures, or None.

    Raises:
        StudyError: if its settings are wrong.
    """
    from graphnas.spaces import HyperparameterSpace

    table = read_config(folder).get("joint")
    try:
        return None if table is None else HyperparameterSpace.of(table)
    except ValueError as error:
        raise StudyError(f"{Path(folder) / CONFIG}: joint: {error}") from None


def load_candidates(folder: str | Path) -> list[Architecture] | None:
    """The architectures that the search in a folder is restricted to, or None.

    Raises:
        StudyError: if they cannot be read.
    """
    path = Path(folder) / CANDIDATES
    if not path.exists():
        return None
    try:
        return [Architecture.from_json(json.dumps(one)) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, TypeError, ValueError) as error:
        raise StudyError(f"{path}: {error}") from None


def load_encoder(folder: str | Path, *, device: str = "cpu") -> Any:
    """The encoder of the search in a folder, or None if it uses none.

    Raises:
        StudyError: if it cannot be loaded.
    """
    name = read_config(folder).get("sampler", {}).get("encoder")
    if name is None:
        return None
    from graphnas.encoders import CellAutoencoder

    space = load_space(folder)
    try:
        return CellAutoencoder.from_pretrained(name, device=device, space=space)
    except (ValueError, OSError) as error:
        raise StudyError(f"{Path(folder) / CONFIG}: sampler.encoder: {error}") from None
