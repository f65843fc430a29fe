"""Handwritten digits, which come with scikit-learn."""

from __future__ import annotations

import torch

from graphnas.tasks.task import Task, resized, split_images


def digits_task(name: str = "digits", *, size: int | None = None, train: int | None = None) -> Task:
    """Handwritten digits, 1,797 of 8 x 8 grey pixels (scikit-learn's `load_digits`; part of UCI's Optdigits).

    Split as `split_images` does: 1,077 train, 360 validation, 360 test.

    Args:
        name: Name of the task.
        size: Height and width to which images are resized.
        train: Number of training images.

    Raises:
        ValueError: if there are too few images.
    """
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels.astype("uint8")).reshape(-1, 1, 8, 8)
    images = images if size is None else resized(images, size)
    return split_images(name, images, torch.from_numpy(classes.astype("int64")), train=train)
