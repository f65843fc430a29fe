"""A user's own images: a folder that holds one folder of PNG or JPEG files for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphnas.tasks.decoded import kept
from graphnas.tasks.task import Task, split_images

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = (".png", ".jpg", ".jpeg")
_FEWEST = 5  # images of a class, so that each split has one
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
_PIXELS = 2**26  # most of one image; larger ones are taken for an attack on the memory


def folder_task(name: str, path: str | Path, *, size: int | None = None, train: int | None = None) -> Task:
    """The task of a folder of class folders; classes are numbered in the order of their names.

    Split as `split_images` does. Images are grey if all files are, else RGB; they are turned as their EXIF data says,
    what is transparent is laid on white, and of 16 bits the upper eight are kept. Those that are no squares are
    stretched to one. What takes long to decode is kept for the next time in `~/.cache/graphnas`, up to a gibibyte.

    Args:
        name: Name of the task.
        path: The folder.
        size: Height and width in pixels, to which images are resized; their own if None, which then must be one
            square for all.
        train: Number of training images.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: naming the folder or file that cannot be used, and why.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder of images")
    if size is not None and size < 2:
        raise ValueError(f"Expected size to be at least 2 pixels, but got {size}")
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [(file, label) for label, one in enumerate(classes) for file in _images(folder / one)]
    counts = Counter(label for _, label in files)
    if len(classes) < 2:
        hint = _hint(folder, [folder / one for one in classes])
        raise ValueError(f"{folder}: expected a folder for each of two or more classes, but got {len(classes)}{hint}")
    for label, one in enumerate(classes):
        if counts[label] < _FEWEST:
            raise ValueError(
                f"{folder / one}: expected at least {_FEWEST} PNG or JPEG files, but got {counts[label]}"
                f"{_hint(folder, [folder / one])}"
            )
    states = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file, _ in files]

    def decode() -> dict[str, Tensor]:
        return {"images": torch.from_numpy(_read([file for file, _ in files], size))}

    images = kept(folder, (size, states), decode)["images"]
    labels = torch.tensor([label for _, label in files])
    return split_images(name, images, labels, train=train)


def _hint(folder: Path, classes: Sequence[Path]) -> str:
    """What to do about folders in what should be the folders of classes."""
    inside = any(entry.is_dir() for one in classes for entry in one.iterdir())
    return f"; the folders of classes have to lie in {folder} itself" if inside else ""


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())


def _read(files: list[Path], size: int | None) -> NDArray[np.uint8]:
    """`n x channels x size x size` pixels."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    pixels, grey, first = [], True, None
    for file in files:
        try:
            with Image.open(file) as opened:
                if opened.width * opened.height > _PIXELS:
                    raise ValueError(f"{file}: expected at most {_PIXELS:,} pixels, but got {opened.size}")
                image = ImageOps.exif_transpose(opened)
                grey = grey and image.mode in _GREY
                if size is None:
                    first = first or image.size
                    if image.size != first or image.width != image.height:
                        raise ValueError(
                            f"{file}: expected all images to be squares of one size, but got {image.size} after "
                            f"{first}; give a size to resize them to"
                        )
                rgb = _opaque(image)
                resized = rgb if size is None else rgb.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
                pixels.append(np.asarray(resized, dtype=np.uint8))
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file}: cannot be read as an image: {error}") from None
    stacked = np.stack(pixels).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked[:, :1] if grey else stacked)


def _opaque(image: Image.Image) -> Image.Image:
    """An image of eight bits in RGB; what is transparent shows white."""
    from PIL import Image

    if image.mode.startswith("I"):
        # Sixteen bits, which a conversion would cut off at 255.
        upper = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(upper.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")
