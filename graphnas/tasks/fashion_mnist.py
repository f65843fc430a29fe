"""Fashion-MNIST: 70,000 grey images of articles of clothing in ten classes (Xiao et al. 2017, arXiv 1708.07747)."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphnas.data_folder import data_folder
from graphnas.tasks.task import Split, Task, hold_out, resized

_INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # by Debian's package dataset-fashion-mnist
_FILES = {"train": 60_000, "t10k": 10_000}
_FIRST = "train-images-idx3-ubyte.gz"
_SIDE = 28
_VALIDATION = 10_000


def fashion_mnist_task(
    name: str = "fashion-mnist", path: str | Path | None = None, *, size: int | None = None, train: int | None = None
) -> Task:
    """Fashion-MNIST from its four published files, `train-images-idx3-ubyte.gz` and so on.

    50,000 train, 10,000 validation, 10,000 test.

    Args:
        name: Name of the task.
        path: Folder of the files; if None, `fashion-mnist` in the data folder, or where Debian's package
            dataset-fashion-mnist has them.
        size: Height and width in pixels to which images are resized; their own 28 if None.
        train: Number of training images.

    Raises:
        FileNotFoundError: if there are no such files.
        ValueError: naming the file that is not what it should be.
    """
    folder = fashion_mnist_place(path)
    if folder is None:
        raise FileNotFoundError(
            f"No {_FIRST} in {' or '.join(map(str, _folders(path)))}; Debian's package "
            "dataset-fashion-mnist installs it, or give its folder as fashion-mnist:PATH"
        )
    known, test = (
        Split(_images(folder / f"{split}-images-idx3-ubyte.gz", n, size), _labels(folder, split, n))
        for split, n in _FILES.items()
    )
    return hold_out(name, known, test, validation=_VALIDATION, train=train, flip=True)


def fashion_mnist_place(path: str | Path | None = None) -> Path | None:
    """The folder of the files, as `fashion_mnist_task` looks for it; None if there is none."""
    return next((one for one in _folders(path) if (one / _FIRST).is_file()), None)


def _folders(path: str | Path | None) -> list[Path]:
    return [data_folder() / "fashion-mnist", _INSTALLED] if path is None else [Path(path).expanduser()]


def _images(path: Path, n: int, size: int | None) -> Tensor:
    pixels = _read(path, (n, _SIDE, _SIDE)).reshape(n, 1, _SIDE, _SIDE)
    return pixels if size is None else resized(pixels, size)


def _labels(folder: Path, split: str, n: int) -> Tensor:
    path = folder / f"{split}-labels-idx1-ubyte.gz"
    labels = _read(path, (n,)).long()
    if int(labels.max()) > 9:
        raise ValueError(f"{path}: expected classes from 0 to 9, but got {int(labels.max())}")
    return labels


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The bytes of a gzipped IDX file: two zeros, the type 8 for bytes, the rank, the shape, the values."""
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    size = len(header) + int(np.prod(shape))
    try:
        with gzip.open(path) as file:
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read as a gzip file: {error}") from None
    if data[: len(header)] != header or len(data) != size:
        raise ValueError(f"{path}: expected an IDX file of {' x '.join(map(str, shape))} bytes")
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape).copy())
