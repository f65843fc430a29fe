from __future__ import annotations

import pytest
import torch
from torch import nn

from graphnas.cell import Architecture, Cell
from graphnas.networks import SharedWeights
from tests.networks.every_kind import ARCHITECTURES, SPACES


def weights_of(kind: str, seed: int = 0) -> SharedWeights:
    return SharedWeights(SPACES[kind], classes=3, in_channels=2, generator=torch.Generator().manual_seed(seed))


def chain(*ops: str) -> Architecture:
    last = len(ops) + 1
    return Architecture("nasbench201", (Cell(("input", *ops, "output"), frozenset((i, i + 1) for i in range(last))),))


@pytest.mark.parametrize("kind", list(SPACES))
def test_one_architecture_has_the_same_weights_twice(kind: str) -> None:
    weights = weights_of(kind)
    one, other = (weights.network(ARCHITECTURES[kind]) for _ in range(2))
    assert [id(weight) for weight in one.parameters()] == [id(weight) for weight in other.parameters()]
    assert len(list(one.parameters())) == len(weights.parameters)
    assert not list(one.buffers())
    images = torch.randn(4, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(one(images), other.eval()(images))
    again = weights_of(kind).network(ARCHITECTURES[kind])
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))


def test_architectures_share_what_is_of_one_place_and_form() -> None:
    weights = weights_of("nasbench201")
    long, short = weights.network(chain("conv3", "relu_conv1", "sep3")), weights.network(chain("conv3", "dil5"))
    assert long.stem[0].weight is short.stem[0].weight
    assert long.classifier.weight is short.classifier.weight
    mine, theirs = (dict(network.cells[0].named_parameters()) for network in (long, short))
    assert mine["vertices.vertex1.0.weight"] is theirs["vertices.vertex1.0.weight"]
    # Normalisations of equal channels, but behind other operations.
    assert {id(one) for name, one in mine.items() if "vertex1" not in name}.isdisjoint(map(id, theirs.values()))
    # Cells of another stage are another place.
    assert long.cells[0].vertices.vertex1[0].weight is not long.cells[2].vertices.vertex1[0].weight


def test_to_train_one_architecture_is_to_train_the_others() -> None:
    weights = weights_of("nasbench201")
    one, other = weights.network(chain("conv3")), weights.network(chain("conv3", "conv3"))
    before = [weight.detach().clone() for weight in other.parameters()]
    images = torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    nn.functional.cross_entropy(one(images), torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    torch.optim.SGD(one.parameters(), lr=0.1).step()
    moved = [not torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True)]
    held = {id(weight) for weight in one.parameters()}
    assert moved == [id(weight) in held for weight in other.parameters()]
    assert 0 < sum(moved) < len(moved)
