"""Image classification data with a fixed split."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_FEWEST_VALIDATION = 1_000  # images of a validation split that shrinks with the training split
_RESIZED = 4_096  # images that are resized at once


class Split(NamedTuple):
    """Images and their classes."""

    images: Tensor
    """`n x channels x height x width` uint8 pixels, 0 where empty."""
    labels: Tensor
    """`n` int64 class numbers."""

    def to(self, device: torch.device | str) -> Split:
        """The split on a device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Task:
    """Data to train a classifier on; a search sees train and validation, test is for the final word.

    Pixels stay bytes until a batch of them is standardised on its device, so that a data set takes a quarter of the
    memory and none of the processor's time.
    """

    name: str
    """What `load_task` knows it by."""
    classes: int
    """Number of classes."""
    mean: tuple[float, ...]
    """Mean of each channel of the training pixels."""
    deviation: tuple[float, ...]
    """Standard deviation of each."""
    shift: int
    """Pixels in each direction by which training images are usually moved at random."""
    flip: bool
    """Whether training images are usually mirrored at random."""
    train: Split
    """What weights are fitted to."""
    validation: Split
    """What a search is told about."""
    test: Split
    """What the network that a search ends with is judged on, once."""

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return int(self.train.images.shape[1])

    @property
    def image_size(self) -> int:
        """Height and width of an image in pixels."""
        return int(self.train.images.shape[2])

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of all images and labels as they are split: whether two tasks are the same data."""
        data = hashlib.blake2b(repr(self.train.images.shape).encode(), digest_size=8)
        for split in (self.train, self.validation, self.test):
            for part in split:
                data.update(part.cpu().contiguous().numpy().data)
        return data.hexdigest()

    def to(self, device: torch.device | str) -> Task:
        """The task with its splits on a device."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )

    def standardised(self, images: Tensor) -> Tensor:
        """`n x channels x height x width` pixels as float32, in standard deviations from each channel's mean."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, device=images.device).reshape(shape)
        deviation = torch.tensor(self.deviation, device=images.device).reshape(shape)
        return (images.float() - mean) / deviation

    def loss(self, logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy in nats of `n x classes` logits.

        Args:
            logits: `n x classes`.
            labels: `n` class numbers.
            smoothing: Share of the target's probability that is spread over all classes.
        """
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """`n` flags: whether the largest logit is that of the image's class."""
        return logits.argmax(1) == labels


def split_images(name: str, images: Tensor, labels: Tensor, *, train: int | None = None, flip: bool = False) -> Task:
    """A task from labelled images, with a fixed stratified split.

    60 % train, 20 % validation, 20 % test; or so many for training, and of the others a half each.

    Args:
        name: Name of the task.
        images: `n x channels x size x size` uint8 pixels, 0 where empty.
        labels: `n` class numbers, each at least five times.
        train: Number of training images.
        flip: Whether training images may be mirrored.

    Raises:
        ValueError: if there are too few images for so many in training, or of a class for every split.
    """
    rows = torch.arange(len(labels))
    if train is None:
        rest, test = _parted(rows, labels, len(rows) - math.ceil(0.2 * len(rows)))
        fitted, validation = _parted(rest, labels, len(rest) - math.ceil(0.25 * len(rest)))
    else:
        classes = int(labels.max()) + 1
        if not classes <= train <= len(rows) - 2 * classes:
            raise ValueError(
                f"Expected a number of training images from {classes} to {len(rows) - 2 * classes}, so that all "
                f"classes are in every split, but got {train}"
            )
        fitted, rest = _parted(rows, labels, train)
        validation, test = _parted(rest, labels, len(rest) // 2)
    parts = [Split(images[part].contiguous(), labels[part]) for part in (fitted, validation, test)]
    return _task(name, labels, parts, flip=flip)


def hold_out(
    name: str, known: Split, test: Split, *, validation: int, train: int | None = None, flip: bool = False
) -> Task:
    """A task from data with a test split of its own: validation images are held out of the others, stratified.

    Args:
        name: Name of the task.
        known: Labelled images to train and validate on.
        test: The published test split.
        validation: Number of images held out.
        train: Number of training images, with no more validation images than that or a thousand; all others if None.
        flip: Whether training images may be mirrored.

    Raises:
        ValueError: if there are too few images.
    """
    rest, held = _parted(torch.arange(len(known.labels)), known.labels, len(known.labels) - validation)
    if train is not None:
        rest, _ = _parted(rest, known.labels, train)
        fewer = max(train, _FEWEST_VALIDATION)
        if fewer < len(held):
            held, _ = _parted(held, known.labels, fewer)
    parts = [Split(known.images[part].contiguous(), known.labels[part]) for part in (rest, held)]
    return _task(name, known.labels, [*parts, test], flip=flip)


def resized(images: Tensor, size: int) -> Tensor:
    """`n x channels x height x width` uint8 images at another height and width, by bilinear filtering."""
    if images.shape[-2:] == (size, size):
        return images
    parts = [
        F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True).round().clamp(0, 255).byte()
        for part in torch.split(images, _RESIZED)
    ]
    return torch.cat(parts)


def _parted(rows: Tensor, labels: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """So many of the rows, and the others, both with the shares of the classes; the same at every call.

    Raises:
        ValueError: if one of the parts has not as many rows as there are classes.
    """
    from sklearn.model_selection import train_test_split

    classes = int(labels.max()) + 1
    if not classes <= n <= len(rows) - classes:
        raise ValueError(
            f"Expected a number of images from {classes} to {len(rows) - classes}, so that all classes are in every "
            f"split, but got {n}"
        )
    one, other = map(
        torch.from_numpy, train_test_split(rows.numpy(), train_size=n, stratify=labels[rows].numpy(), random_state=0)
    )
    for part in (one, other):
        absent = classes - len(torch.unique(labels[part]))
        if absent:
            raise ValueError(
                f"Expected images of every class in every split, but {absent} of {classes} classes would be missing "
                f"from one of {len(part)} images: take fewer or more for training, or bring more of the rare classes"
            )
    return one, other


def _task(name: str, labels: Tensor, parts: Sequence[Split], *, flip: bool) -> Task:
    train, validation, test = parts
    values = torch.arange(256, dtype=torch.float64)
    means, deviations = [], []
    for channel in range(train.images.shape[1]):
        # Moments from counts of the 256 values: exact, and without a copy of the pixels as numbers.
        share = torch.bincount(train.images[:, channel].flatten(), minlength=256).double()
        share /= share.sum()
        mean = float(share @ values)
        means.append(mean)
        deviations.append(max(float(share @ (values - mean).square()) ** 0.5, 1e-6))
    return Task(
        name=name,
        classes=int(labels.max()) + 1,
        mean=tuple(means),
        deviation=tuple(deviations),
        # One pixel of small images, four of those of CIFAR-10.
        shift=max(1, train.images.shape[2] // 8),
        flip=flip,
        train=train,
        validation=validation,
        test=test,
    )
