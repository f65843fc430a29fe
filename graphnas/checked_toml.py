"""TOML files whose content is checked before it is used."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def read_checked(path: str | Path, check: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
    """The content of a file.

    Args:
        path: The file.
        check: Raises a ValueError that says what is wrong with the content.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        check(table)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # of TOML, of UTF-8, and of the content
        raise ValueError(f"{path}: {error}") from None
    return table
