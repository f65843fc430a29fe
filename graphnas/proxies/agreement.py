"""How differently an untrained network sees the images of a minibatch."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

_SMALL = 1e-5


def jacobian_covariance(network: nn.Module, images: Tensor) -> float:
    """How little the slopes of the logits at different images resemble each other (Mellor et al. 2020, version 1).

    With `v` the eigenvalues of the `b x b` correlations between the images' gradients of the summed logits, minus the
    sum of `log(v + e) + 1 / (v + e)`, `e` being 1e-5. Never above minus the number of images.

    Args:
        network: Maps `b x channels x height x width` images to `b x classes` logits; it stays as it is.
        images: `b` standardised images.

    Returns:
        The score; NaN if an image has the same gradient everywhere.
    """
    network = copy.deepcopy(network).train()
    images = images.clone().requires_grad_(True)
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(network(images).sum(), images, allow_unused=True)
    slopes = gradients[0]
    if slopes is None:  # no image reaches a logit
        return math.nan
    correlations = torch.corrcoef(slopes.flatten(1).double())
    if not bool(correlations.isfinite().all()):
        return math.nan
    v = torch.linalg.eigvalsh(correlations) + _SMALL
    return -float((v.log() + 1 / v).sum())


def nwot(network: nn.Module, images: Tensor) -> float:
    """Log-determinant of the kernel that counts rectified units which two images switch alike (Mellor et al. 2021).

    Args:
        network: As in `jacobian_covariance`.
        images: As in `jacobian_covariance`.

    Returns:
        The score in nats; minus infinity if two images switch all units alike.
    """
    network = copy.deepcopy(network).train()
    kernel = images.new_zeros((len(images), len(images)), dtype=torch.float64)

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        on = (output > 0).flatten(1).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    for layer in network.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(images)
    return float(torch.linalg.slogdet(kernel).logabsdet)
