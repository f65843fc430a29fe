"""Images that take long to decode, kept as they are afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

_LARGEST = 2**30  # bytes of decoded images that are kept
_WORTH = 1.0  # seconds of decoding from which on they are


def kept(path: Path, about: object, decode: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `decode` returns, from a file in `~/.cache/graphnas` if it was decoded before and took a second or more.

    Args:
        path: File or folder of the images; what is kept of an earlier state of it is deleted.
        about: Anything else that the result depends on, by its `repr`.
        decode: Called if nothing is kept.
    """
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    state = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    folder = Path.home() / ".cache" / "graphnas"
    cache = folder / f"images-{place}-{state}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):
        return load_file(cache)
    began = time.monotonic()
    found = decode()
    if time.monotonic() - began < _WORTH or sum(tensor.nbytes for tensor in found.values()) > _LARGEST:
        return found
    # A home that cannot be written only costs the time of decoding again.
    with contextlib.suppress(OSError, SafetensorError):
        folder.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(f".{os.getpid()}.partial")
        save_file(found, partial)
        for stale in folder.glob(f"images-{place}-*.safetensors"):
            stale.unlink(missing_ok=True)
        os.replace(partial, cache)
    return found
