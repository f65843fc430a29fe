"""Handwritten digits, which come with scikit-learn."""

from __future__ import annotations

import torch

from graphnas.tasks.task import Task, split_images


def digits_task() -> Task:
    """Handwritten digits, 1,797 of 8 x 8 grey pixels (scikit-learn's `load_digits`; part of UCI's Optdigits).

    Split as `split_images` does: 1,077 train, 360 validation, 360 test.
    """
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels.astype("float32")).reshape(-1, 1, 8, 8)
    return split_images("digits", images, torch.from_numpy(classes.astype("int64")))
