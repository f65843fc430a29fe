"""Random changes of training images, for a whole batch at once on its device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from graphnas.tasks import Task
from graphnas.training.config import TrainingConfig


def augmented(images: Tensor, task: Task, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """`n x channels x height x width` pixels, moved and mirrored at random, standardised, and cut out.

    Args:
        images: Pixels of training images of the task.
        task: Says how they are standardised, and how they are usually moved and mirrored.
        config: Says so where it differs from the task.
        generator: On the CPU, so that draws do not depend on the device.
    """
    shift = task.shift if config.shift is None else config.shift
    flip = task.flip if config.flip is None else config.flip
    if shift or flip:
        images = moved(images, shift, flip, generator)
    images = task.standardised(images)
    return cut_out(images, config.cutout, generator) if config.cutout else images


def moved(images: Tensor, shift: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image moved by an offset of its own of at most `shift` pixels, and mirrored or not; what enters is 0."""
    n, _, height, width = images.shape
    offsets = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)
    across = torch.arange(width).expand(n, width)
    if flip:
        mirrored = torch.randint(0, 2, (n, 1), generator=generator) == 1
        across = torch.where(mirrored, width - 1 - across, across)
    rows = (offsets[0] + torch.arange(height)).to(images.device)
    columns = (offsets[1] + across).to(images.device)
    padded = F.pad(images, (shift, shift, shift, shift))
    number = torch.arange(n, device=images.device)
    # Advanced indices around a slice: n x height x width x channels. The copy is made even for one channel, whose
    # strides would let convolutions take the channels to be last in memory.
    found = padded[number[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return found.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)


def cut_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Each image with a square of zeros, of which the edge of the image may hide a part (DeVries & Taylor 2017)."""
    n, _, height, width = images.shape
    inside = []
    for size in (height, width):
        start = torch.randint(0, size, (n, 1), generator=generator) - side // 2
        place = torch.arange(size)
        inside.append(((place >= start) & (place < start + side)).to(images.device))
    return images.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)
