"""Image classification data with a fixed split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class Split(NamedTuple):
    """Images and their classes."""

    images: Tensor
    """`n x channels x height x width` float32, standardised with the training split's mean and deviation."""
    labels: Tensor
    """`n` int64 class numbers."""


@dataclass(frozen=True)
class Task:
    """Data to train a classifier on; a search sees train and validation, test is for the final word."""

    name: str
    """What `load_task` knows it by."""
    classes: int
    """Number of classes."""
    in_channels: int
    """Channels of an image."""
    image_size: int
    """Height and width of an image in pixels."""
    background: float
    """Value of an empty pixel after standardisation; what shifted images are filled with."""
    train: Split
    """What weights are fitted to."""
    validation: Split
    """What a search is told about."""
    test: Split
    """What the network that a search ends with is judged on, once."""


def split_images(name: str, images: Tensor, labels: Tensor) -> Task:
    """A task from labelled images, with a fixed stratified split: 60 % train, 20 % validation, 20 % test.

    Args:
        name: Name of the task.
        images: `n x channels x size x size` float32 pixels, 0 where empty; standardised with mean and deviation of
            the training pixels.
        labels: `n` class numbers, each at least five times.
    """
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(range(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    train, validation = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=0)
    mean, deviation = images[train].mean(), images[train].std().clamp_min(1e-6)
    images = (images - mean) / deviation
    return Task(
        name=name,
        classes=int(labels.max()) + 1,
        in_channels=images.shape[1],
        image_size=images.shape[2],
        background=float(-mean / deviation),
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        test=Split(images[test], labels[test]),
    )
