"""How large and how steady gradients are over minibatches (Li et al. 2023, arXiv 2301.11300)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnas.proxies.saliency import unfrozen

_MINIBATCHES = 2


def zico(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of the logarithm of the summed signal-to-noise ratios of gradients (Eq. 15).

    A weight's ratio is the mean of its absolute gradient over minibatches, divided by the standard deviation of the
    gradient. Weights whose gradient never changes, and layers of none but such, do not count.

    Args:
        network: Maps `b x channels x height x width` images to `b x classes` logits; it stays as it is.
        images: `b` standardised images, which are parted into two minibatches.
        labels: `b` class numbers.
    """
    network = unfrozen(network).train()
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    batches = zip(images.chunk(_MINIBATCHES), labels.chunk(_MINIBATCHES), strict=True)
    found = [
        torch.autograd.grad(F.cross_entropy(network(part), classes), weights, allow_unused=True)
        for part, classes in batches
    ]
    score = 0.0
    for gradients in zip(*found, strict=True):
        if gradients[0] is None:
            continue
        values = torch.stack(gradients).double()
        deviation = values.std(0, correction=0)
        changes = deviation > 0
        if changes.any():
            score += float((values.abs().mean(0)[changes] / deviation[changes]).sum().log())
    return score
