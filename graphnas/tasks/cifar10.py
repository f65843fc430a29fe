"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

import itertools
import zlib
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphnas.data_folder import data_folder
from graphnas.tasks.decoded import kept
from graphnas.tasks.task import Split, Task, hold_out, resized

_BATCHES = "cifar-10-batches-bin"  # folder inside the published archive of binary batches
_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
_ARCHIVES = ("cifar10_lossless.npz", "cifar10_jpeg.npz")
_IMAGES = {"train": 50_000, "test": 10_000}
_ROW = 1 + 3 * 32 * 32  # bytes of a class and its image in a batch
_VALIDATION = 10_000


def cifar10_task(
    name: str = "cifar10", path: str | Path | None = None, *, size: int | None = None, train: int | None = None
) -> Task:
    """CIFAR-10 from the published binary batches, or from an archive of compressed images.

    40,000 train, 10,000 validation, 10,000 test, as in NAS-Bench-101.

    Args:
        name: Name of the task.
        path: Folder of `data_batch_1.bin` and so on, of `cifar-10-batches-bin`, or of an archive; or an archive,
            `cifar10_lossless.npz` or `cifar10_jpeg.npz`, whose images are slightly smoothed, so that accuracies on
            them are not those on CIFAR-10. The data folder if None.
        size: Height and width in pixels to which images are resized; their own 32 if None.
        train: Number of training images.

    Raises:
        FileNotFoundError: if there are no such files.
        ValueError: naming the file that is not what it should be.
    """
    place = cifar10_place(path)
    if place is None:
        raise FileNotFoundError(
            f"No CIFAR-10 in {_start(path)}: expected {_BATCHES}, {' or '.join(_ARCHIVES)}; or give a folder as "
            "cifar10:PATH"
        )
    known, test = _load(place)
    if size is not None:
        known, test = (Split(resized(split.images, size), split.labels) for split in (known, test))
    return hold_out(name, known, test, validation=_VALIDATION, train=train, flip=True)


def cifar10_place(path: str | Path | None = None) -> Path | None:
    """The folder of batches or the archive, as `cifar10_task` looks for it; None if there is none."""
    start = _start(path)
    if start.is_file():
        return start
    folders = [folder for folder in (start / _BATCHES, start) if (folder / _FILES["train"][0]).is_file()]
    archives = [start / name for name in _ARCHIVES if (start / name).is_file()]
    return next(iter([*folders, *archives]), None)


def _start(path: str | Path | None) -> Path:
    return data_folder() if path is None else Path(path).expanduser()


def _load(place: Path) -> tuple[Split, Split]:
    if place.is_file():
        return _of_archive(place)
    known, test = (_of_batches([place / one for one in names]) for names in _FILES.values())
    return known, test


def _of_batches(paths: list[Path]) -> Split:
    rows = []
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; the others of CIFAR-10 are there")
        data = np.fromfile(path, np.uint8)
        if len(data) != 10_000 * _ROW:
            raise ValueError(f"{path}: expected a file of {10_000 * _ROW:,} bytes, but got {len(data):,}")
        rows.append(data.reshape(10_000, _ROW))
        _check_labels(path, rows[-1][:, 0])
    every = np.concatenate(rows)
    images = np.ascontiguousarray(every[:, 1:]).reshape(-1, 3, 32, 32)
    return Split(torch.from_numpy(images), torch.from_numpy(every[:, 0].astype(np.int64)))


def _of_archive(path: Path) -> tuple[Split, Split]:
    """Both splits of an archive; decoded once, since that takes half a minute."""
    if not is_zipfile(path):
        raise ValueError(f"{path}: expected an archive of CIFAR-10, {' or '.join(_ARCHIVES)}, but it is no npz file")

    def decode() -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        try:
            with np.load(path, allow_pickle=False) as archive:
                for name, n in _IMAGES.items():
                    split = _decoded(path, archive, name, n)
                    tensors |= {f"{name}_images": split.images, f"{name}_labels": split.labels}
        except (KeyError, ValueError, EOFError, BadZipFile, zlib.error, OSError) as error:
            raise ValueError(f"{path}: expected an archive of CIFAR-10: {error}") from None
        return tensors

    state = path.stat()
    found = kept(path, (state.st_size, state.st_mtime_ns), decode)
    known, test = (Split(found[f"{name}_images"], found[f"{name}_labels"]) for name in _IMAGES)
    return known, test


def _decoded(path: Path, archive: np.lib.npyio.NpzFile, split: str, n: int) -> Split:
    """The images of a split: lossless WebP files one after another, or JPEG scans that share a header."""
    from PIL import Image

    kind = "webp" if f"{split}_webp" in archive else "scan"
    blob, offset = archive[f"{split}_{kind}"].tobytes(), archive[f"{split}_offset"].astype(np.int64).tolist()
    header = archive["header"].tobytes() if kind == "scan" else b""
    labels: NDArray[np.int64] = archive[f"{split}_label"].astype(np.int64)
    if len(offset) != n + 1 or len(labels) != n:
        raise ValueError(f"expected {n:,} images of {split}, but got {len(labels):,}")
    _check_labels(path, labels)
    images = np.empty((n, 32, 32, 3), np.uint8)
    for number, (start, end) in enumerate(itertools.pairwise(offset)):
        try:
            with Image.open(BytesIO(header + blob[start:end])) as image:
                size = image.size
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"image {number} of {split} cannot be read: {error}") from None
        if size != (32, 32):
            raise ValueError(f"expected images of 32 x 32 pixels, but image {number} of {split} has {size}")
        images[number] = pixels
    return Split(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), torch.from_numpy(labels))


def _check_labels(path: Path, labels: NDArray[np.uint8] | NDArray[np.int64]) -> None:
    if not ((labels >= 0) & (labels <= 9)).all():
        raise ValueError(f"{path}: expected classes from 0 to 9, but got {int(labels.min())} to {int(labels.max())}")
