from __future__ import annotations

import pytest
import torch
from torch import nn

from graphnas.training.pooling import FastPools


@pytest.mark.parametrize(
    "kind", [nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1, count_include_pad=False)]
)
@pytest.mark.parametrize("shape", [(4, 6, 9, 7), (3, 1, 8, 8), (2, 16, 2, 2)])
def test_values_gradients_and_layout_are_those_of_the_plain_pool(kind: nn.Module, shape: tuple[int, ...]) -> None:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu().requires_grad_()  # with many ties
    network = nn.Sequential(kind, nn.Identity())
    plain = network(images)
    weights = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    (expected,) = torch.autograd.grad(plain, images, weights)
    pools = FastPools(network)
    fast = network(images)
    (found,) = torch.autograd.grad(fast, images, weights)
    assert torch.equal(fast, plain)
    assert torch.equal(found, expected)
    assert fast.is_contiguous()
    assert found.is_contiguous()
    pools.remove()
    assert not kind._forward_hooks
    assert not kind._forward_pre_hooks
