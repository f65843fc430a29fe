"""Checkpoints of a training: one safetensors file with the tensors and, as its metadata, JSON."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_NAME = "checkpoint.safetensors"


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Replace the folder's checkpoint; a crash in between leaves the old one whole.

    Raises:
        OSError: if it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{_NAME}.*.partial"):
        # A process that was killed while it wrote has left it.
        stale.unlink(missing_ok=True)
    partial = folder / f"{_NAME}.{os.getpid()}.partial"
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    try:
        save_file(tensors, partial, metadata={"state": json.dumps(state)})
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(folder / _NAME)) from None
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, folder / _NAME)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of the folder's checkpoint; None if it has none.

    Raises:
        ValueError: if the file is not a checkpoint.
    """
    path = folder / _NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            state = json.loads((file.metadata() or {})["state"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"Expected a checkpoint in {path}, but {error}") from None
    return tensors, state
