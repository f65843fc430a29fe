"""The recipes in runs/ as modules."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

RUNS = Path(__file__).parent.parent / "runs"


def recipe(name: str) -> Any:
    """The module of `runs/NAME.py`, which imports those beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RUNS)
        return importlib.import_module(name)
