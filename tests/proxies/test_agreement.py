from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from graphnas.networks import build_network
from graphnas.proxies import jacobian_covariance, nwot
from graphnas.spaces import Space


@pytest.fixture
def network() -> nn.Module:
    space = Space.load("nasbench201")
    (cell,) = space.sample(1, np.random.default_rng(3))
    sizes = {"channels": 4, "cells_per_stage": 1}
    return build_network(cell, space, sizes=sizes, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_jacobian_covariance_agrees_with_numpy(network: nn.Module, images: torch.Tensor) -> None:
    given = images.clone().requires_grad_(True)
    network.train()(given).sum().backward()
    assert given.grad is not None
    v = np.linalg.eigvals(np.corrcoef(given.grad.reshape(6, -1).numpy())).real
    expected = -np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5))
    assert jacobian_covariance(network, images) == pytest.approx(expected, rel=1e-9)
    assert jacobian_covariance(network, images) <= -6


def test_images_of_unrelated_slopes_score_best() -> None:
    # A linear network has the same slopes at all images: correlations of one, eigenvalues 3, 0 and 0.
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    score = jacobian_covariance(linear, torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)))
    assert score == pytest.approx(-(math.log(3) + 1 / 3 + 2 * (math.log(1e-5) + 1e5)), rel=1e-3)


def test_without_slopes_there_is_no_score(images: torch.Tensor) -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 2, dtype=x.dtype, requires_grad=True)

    assert math.isnan(jacobian_covariance(Constant(), images))


def test_nwot_agrees_with_hamming_distances(network: nn.Module, images: torch.Tensor) -> None:
    codes = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: codes.append((output > 0).flatten(1).numpy()))
        for layer in network.modules()
        if isinstance(layer, nn.ReLU)
    ]
    with torch.no_grad():
        network.train()(images)
    for hook in hooks:
        hook.remove()
    units = np.concatenate(codes, axis=1)
    alike = np.array([[float((one == other).sum()) for other in units] for one in units])
    assert nwot(network, images) == pytest.approx(np.linalg.slogdet(alike)[1], rel=1e-9)


def test_equal_images_cannot_be_told_apart(network: nn.Module, images: torch.Tensor) -> None:
    assert nwot(network, images[:1].repeat(2, 1, 1, 1)) == -math.inf
