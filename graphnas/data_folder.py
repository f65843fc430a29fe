"""Where benchmark tables and images are."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder named by the environment variable GRAPHNAS_DATA, or `~/.cache/graphnas`."""
    return Path(os.environ.get("GRAPHNAS_DATA") or Path.home() / ".cache" / "graphnas")
