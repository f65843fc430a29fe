"""Image classification data with a fixed split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
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


def load_task(name: str) -> Task:
    """A task by name.

    Raises:
        ValueError: listing the known tasks, if the name is not among them.
    """
    if name not in TASKS:
        raise ValueError(f"Expected a task of {sorted(TASKS)}, but got {name!r}")
    return TASKS[name]()


def digits() -> Task:
    """Handwritten digits, 1,797 of 8 x 8 grey pixels (scikit-learn's `load_digits`; part of UCI's Optdigits).

    The split is fixed and stratified: 60 % train (1,077), 20 % validation (360), 20 % test (360).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, classes = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels.astype("float32")).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(classes.astype("int64"))
    rest, test = train_test_split(range(len(labels)), test_size=0.2, stratify=classes, random_state=0)
    train, validation = train_test_split(rest, test_size=0.25, stratify=classes[rest], random_state=0)
    mean, deviation = images[train].mean(), images[train].std()
    images = (images - mean) / deviation
    return Task(
        name="digits",
        classes=10,
        in_channels=1,
        image_size=8,
        background=float(-mean / deviation),
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        test=Split(images[test], labels[test]),
    )


TASKS: dict[str, Callable[[], Task]] = {"digits": digits}
"""Known tasks by name."""
