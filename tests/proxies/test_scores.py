from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from graphnas.networks import build_network, count_macs, count_parameters
from graphnas.proxies import PROXIES, proxy_scores, zico
from graphnas.spaces import Space


def test_zico_of_one_layer() -> None:
    layer = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        layer[1].weight.zero_()
    # Logits are equal, so gradients are x (p - y): -1/2 and 1/2 for the image 1, 3/2 and -3/2 for the image 3 of the
    # other class. Means of absolute values are 1, deviations (3/2 + 1/2) / 2 = 1: two ratios of 1.
    images, labels = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1), torch.tensor([0, 1])
    assert zico(layer, images, labels) == pytest.approx(math.log(2))
    # Gradients that are the same in both minibatches do not count.
    assert zico(layer, torch.ones(2, 1, 1, 1), torch.tensor([0, 0])) == 0.0


def test_all_scores_by_name() -> None:
    space = Space.load("nasbench101")
    (cell,) = space.sample(1, np.random.default_rng(0))
    network = build_network(cell, space, sizes=space.network["proxy"], generator=torch.Generator().manual_seed(0))
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8)
    found = proxy_scores(network, images, labels)
    assert list(found) == list(PROXIES)
    assert all(map(math.isfinite, found.values()))
    assert found["parameters"] == count_parameters(network)
    assert found["macs"] == count_macs(network, (3, 8, 8))
    assert proxy_scores(network, images, labels, ["snip"]) == {"snip": found["snip"]}
    with pytest.raises(ValueError, match=r"Expected proxies out of fisher, .*, but got 'sniip'"):
        proxy_scores(network, images, labels, ["sniip"])
