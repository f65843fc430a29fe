"""How much a network's weights or channels matter to its loss before any training, by their gradients.

The measures of Abdelfattah et al. 2021 (arXiv 2101.08134): sums over all weights of convolutions and dense layers, or
over the channels that these put out, on one minibatch. None of them changes the network.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of the Euclidean norm of the loss's gradient.

    Args:
        network: Maps `b x channels x height x width` images to `b x classes` logits.
        images: `b` standardised images.
        labels: `b` class numbers.
    """
    weights, gradients = _gradients(unfrozen(network), images, labels)
    del weights
    return float(torch.stack([gradient.norm() for gradient in gradients]).sum())


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum of the loss's absolute derivatives by a unit factor on each weight (Lee et al. 2019, Eq. 4).

    By the chain rule such a derivative is the weight times that by the weight.

    Args:
        network: As in `grad_norm`.
        images: As in `grad_norm`.
        labels: As in `grad_norm`.
    """
    weights, gradients = _gradients(unfrozen(network), images, labels)
    return float(_products(weights, gradients).abs().sum())


def grasp(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Minus the sum of each weight times its entry of the Hessian times the gradient (Wang et al. 2020, Eq. 8).

    Args:
        network: As in `grad_norm`.
        images: As in `grad_norm`.
        labels: As in `grad_norm`.
    """
    network = unfrozen(network)
    weights = _weights(network)
    loss = F.cross_entropy(network.train()(images), labels)
    gradients = _filled(torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True), weights)
    product = torch.stack([(one * one.detach()).sum() for one in gradients]).sum()
    curved = _filled(torch.autograd.grad(product, weights, allow_unused=True), weights)
    return -float(_products(weights, curved).sum())


def fisher(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over channels of half the mean square, over images, of what removing a channel does to the loss.

    That is, to first order, the channel's activation times its gradient, summed over pixels (Theis et al. 2018, Eq. 9,
    as of Turner et al. 2020). Channels are those that convolutions and dense layers put out.

    Args:
        network: As in `grad_norm`.
        images: As in `grad_norm`.
        labels: As in `grad_norm`.
    """
    network = unfrozen(network)
    outputs: list[Tensor] = []
    for layer in _layers(network):
        layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    loss = F.cross_entropy(network.train()(images), labels)
    gradients = torch.autograd.grad(loss, outputs, allow_unused=True)
    total = images.new_zeros(())
    for output, gradient in zip(outputs, gradients, strict=True):
        if gradient is not None:
            # b x channels x height x width, or b x classes; the loss is a mean over images, of which each has its own.
            effect = (output.detach() * gradient).flatten(2).sum(2) if output.dim() == 4 else output.detach() * gradient
            total = total + effect.square().mean(0).sum() / 2
    return float(total)


def synflow(network: nn.Module, images: Tensor) -> float:
    """Natural logarithm of the synaptic flow (Tanaka et al. 2020, Eq. 2, taken as one sum).

    The flow is the sum of each weight's absolute value times its derivative of the summed logits, with all weights at
    their absolute values, no normalisation, and an image of ones. In double precision, and without labels.

    Args:
        network: As in `grad_norm`.
        images: As in `grad_norm`; only their shape counts.
    """
    network = unfrozen(network).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    for layer in network.modules():
        if isinstance(layer, _NORMALISATIONS):
            layer.register_forward_hook(lambda layer, inputs, output: inputs[0])
    weights = _weights(network)
    flow = network(torch.ones_like(images[:1], dtype=torch.float64)).sum()
    gradients = _filled(torch.autograd.grad(flow, weights, allow_unused=True), weights)
    return float(_products(weights, gradients).sum().log())


_NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)


def unfrozen(network: nn.Module) -> nn.Module:
    """A copy of a network all of whose weights have gradients, whichever are to be trained."""
    return copy.deepcopy(network).requires_grad_(True)


def _layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _weights(network: nn.Module) -> list[Tensor]:
    return [layer.weight for layer in _layers(network)]


def _gradients(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Weights, and the gradients of the mean cross-entropy on a minibatch by them."""
    weights = _weights(network)
    loss = F.cross_entropy(network.train()(images), labels)
    return weights, _filled(torch.autograd.grad(loss, weights, allow_unused=True), weights)


def _filled(gradients: Sequence[Tensor | None], weights: Sequence[Tensor]) -> list[Tensor]:
    """Zeros for weights that reach no logit."""
    pairs = zip(gradients, weights, strict=True)
    return [torch.zeros_like(weight) if gradient is None else gradient for gradient, weight in pairs]


def _products(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Weights times gradients, one after the other."""
    pairs = zip(weights, gradients, strict=True)
    return torch.cat([(weight.detach() * gradient).flatten() for weight, gradient in pairs])
