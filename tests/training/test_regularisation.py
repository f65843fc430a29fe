from __future__ import annotations

import numpy as np
import torch
from torch import nn

from graphnas.networks import build_network
from graphnas.spaces import Space
from graphnas.training.regularisation import AuxiliaryClassifier, AveragedWeights, DroppedPaths


class Chain(nn.Module):
    """One operation and one identity."""

    def __init__(self) -> None:
        super().__init__()
        self.vertex1, self.vertex2 = nn.Conv2d(1, 1, 1), nn.Identity()
        nn.init.ones_(self.vertex1.weight)
        nn.init.zeros_(self.vertex1.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.vertex2(self.vertex1(x))
        return y


def test_results_are_dropped_image_by_image_and_scaled_up() -> None:
    network, images = Chain(), torch.ones(1000, 1, 2, 2)
    paths = DroppedPaths(network)
    paths.generator = torch.Generator().manual_seed(0)
    assert torch.equal(network(images), images)
    paths.probability = 0.25
    found = network(images).flatten(1)
    assert set(found.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert 200 < int((found[:, 0] == 0).sum()) < 300
    assert (found == found[:, :1]).all()
    assert torch.equal(network.eval()(images), images)
    paths.remove()
    assert torch.equal(network.train()(images), images)


def test_operations_of_every_skeleton_are_dropped() -> None:
    for name in Space.names():
        space = Space.load(name)
        (architecture,) = space.sample(1, np.random.default_rng(3))
        network = build_network(architecture, space, sizes=space.network.get("proxy", {}))
        paths = DroppedPaths(network)
        paths.probability, paths.generator = 0.5, torch.Generator().manual_seed(0)
        images = torch.randn(8, 3, 32, 32)
        dropped = network.train()(images)
        paths.probability = 0.0
        assert not torch.equal(network(images), dropped), name


def test_the_auxiliary_classifier_reads_the_cell_after_two_thirds() -> None:
    space = Space.load("darts")
    (architecture,) = space.sample(1, np.random.default_rng(0))
    network = build_network(architecture, space, sizes={"layers": 6, "channels": 4})
    images = torch.randn(2, 3, 32, 32)
    head = AuxiliaryClassifier(network, images, 10, torch.Generator().manual_seed(0))
    # Channels double at both reductions, and four sums are concatenated.
    assert head.layers[2].in_channels == 4 * 16
    network(images)
    logits = head()
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert network.stem[0].weight.grad is not None
    assert network.classifier.weight.grad is None


def test_averages_start_quickly_and_settle() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = AveragedWeights(network, 0.9)
    nn.init.ones_(network.weight)
    average.update(network)
    # The first decay is 1 / 11.
    assert float(average.values["weight"]) == np.float32(10 / 11)
    average.steps = 1000
    nn.init.zeros_(network.weight)
    average.update(network)
    np.testing.assert_allclose(float(average.values["weight"]), 0.9 * 10 / 11, rtol=1e-6)
