from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphnas.networks import build_network
from graphnas.proxies import fisher, grad_norm, grasp, snip, synflow
from graphnas.spaces import Space


def two_layers(first: list[list[float]], second: list[list[float]]) -> nn.Module:
    """Pixels to two rectified units to two logits, without offsets."""
    layers = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        layers[1].weight.copy_(torch.tensor(first))
        layers[3].weight.copy_(torch.tensor(second))
    return layers


@pytest.fixture
def network() -> nn.Module:
    return two_layers([[1.0, -2.0], [3.0, 0.5]], [[1.0, 2.0], [-1.0, 4.0]])


IMAGE, LABEL = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([0])


def test_synaptic_flow_of_two_layers(network: nn.Module) -> None:
    # With absolute weights and ones: units 3 and 3.5, logits 3 + 7 = 10 and 3 + 14 = 17. In each layer the sum of
    # weights times derivatives is the sum of the logits, 27.
    assert synflow(network, IMAGE) == pytest.approx(math.log(54))
    assert synflow(network, torch.zeros(64, 1, 1, 2)) == pytest.approx(math.log(54))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm([4, 6, 6])])
def test_synflow_passes_over_normalisations(norm: nn.Module) -> None:
    first, second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3)
    tail = (second, nn.Flatten(), nn.Linear(32, 3))
    images = torch.zeros(2, 1, 8, 8)
    assert synflow(nn.Sequential(first, norm, *tail), images) == synflow(nn.Sequential(first, *tail), images)


def test_snip_of_two_layers(network: nn.Module) -> None:
    # Units: 1 - 4 = -3, rectified to 0, and 3 + 1 = 4; logits 8 and 16. The derivatives of the loss by the logits are
    # p - (1, 0) with p = softmax = (1, e^8) / (1 + e^8): -q and q, where q = e^8 / (1 + e^8).
    q = math.exp(8) / (1 + math.exp(8))
    # Second layer: weights (2, 4) from the second unit, 4: |2 * 4 * -q| + |4 * 4 * q|. First layer: derivative of the
    # second unit -q 2 + q 4 = 2 q, times |3 * 1| + |0.5 * 2|.
    assert snip(network, IMAGE, LABEL) == pytest.approx(q * (8 + 16 + 2 * 3 + 2 * 1), rel=1e-5)


def test_norm_of_gradients_of_two_layers(network: nn.Module) -> None:
    q = math.exp(8) / (1 + math.exp(8))
    # Second layer: (0, -4 q) and (0, 4 q); first layer: (0, 0) and 2 q (1, 2).
    assert grad_norm(network, IMAGE, LABEL) == pytest.approx(q * (math.sqrt(32) + math.sqrt(20)), rel=1e-5)


def test_fisher_of_two_layers(network: nn.Module) -> None:
    q = math.exp(8) / (1 + math.exp(8))
    # Channels: the first layer's, -3 and 4 with derivatives 0 and 2 q; the logits, 8 and 16 with -q and q.
    assert fisher(network, IMAGE, LABEL) == pytest.approx(((8 * q) ** 2 + (8 * q) ** 2 + (16 * q) ** 2) / 2, rel=1e-5)


def test_fisher_is_a_mean_over_images(network: nn.Module) -> None:
    one, two = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[2.0, 1.0]]]])
    both = fisher(network, torch.cat([one, two]), torch.tensor([0, 1]))
    alone = fisher(network, one, torch.tensor([0])), fisher(network, two, torch.tensor([1]))
    # The loss of two images is their mean, so that gradients are halved, and squares quartered.
    assert both == pytest.approx(sum(alone) / 2 / 4, rel=1e-5)


def test_grasp_agrees_with_differences_of_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    images = torch.randn(8, 1, 2, 2, generator=generator, dtype=torch.float64)
    labels = torch.randint(2, (8,), generator=generator)
    weights = [network[1].weight, network[3].weight]

    def gradients(model: nn.Module) -> list[Tensor]:
        loss = nn.functional.cross_entropy(model(images), labels)
        return list(torch.autograd.grad(loss, [model[1].weight, model[3].weight]))

    step, direction = 1e-6, gradients(network)
    moved = copy.deepcopy(network)
    with torch.no_grad():
        for place, one in zip((1, 3), direction, strict=True):
            moved[place].weight.add_(step * one)
    curved = [(after - before) / step for after, before in zip(gradients(moved), direction, strict=True)]
    expected = -sum(float((weight.detach() * one).sum()) for weight, one in zip(weights, curved, strict=True))
    assert grasp(network, images, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "measure", [fisher, grad_norm, grasp, snip, lambda network, images, labels: synflow(network, images)]
)
@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "darts", "enas"])
def test_networks_stay_as_they_are(name: str, measure: Callable[[nn.Module, Tensor, Tensor], float]) -> None:
    space = Space.load(name)
    (cell,) = space.sample(1, np.random.default_rng(1))
    network = build_network(cell, space, sizes=space.network["proxy"], generator=torch.Generator().manual_seed(0))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    score = measure(network, images, torch.tensor([0, 1, 2, 3]))
    assert math.isfinite(score)
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(layer._forward_hooks for layer in network.modules())
    assert measure(network, images, torch.tensor([0, 1, 2, 3])) == score
    # Which weights are to be trained makes no difference.
    network.requires_grad_(False)
    assert measure(network, images, torch.tensor([0, 1, 2, 3])) == score
    assert not any(parameter.requires_grad for parameter in network.parameters())
