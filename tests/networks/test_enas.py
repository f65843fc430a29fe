from collections.abc import Collection

import pytest
import torch

from graphnas.cell import Architecture, Cell
from graphnas.networks import ENASNetwork, build_network, count_parameters
from graphnas.spaces import Space

SPACE = Space.load("enas")


def architecture(*ops: str, skips: Collection[tuple[int, int]] = ()) -> Architecture:
    edges = {(i, i + 1) for i in range(len(ops) + 1)} | set(skips)
    return Architecture("enas", (Cell(("input", *ops, "output"), frozenset(edges)),))


THREE = architecture("conv3x3", "maxpool3x3", "conv3x3", skips={(0, 2), (1, 3)})


def test_hand_counted_network() -> None:
    network = build_network(THREE, SPACE, sizes={"channels": 4}, in_channels=1)
    stem = 9 * 4 + 8
    layer1 = (16 + 8) + (9 * 16 + 8)
    reduced1 = 2 * (4 * 8 + 16)  # stem and layer 1, which layers 2 and 3 read
    layer2 = 2 * 8 * 8 + 16
    reduced2 = 2 * (8 * 16 + 32)  # layers 1 and 2
    layer3 = (2 * 16 * 16 + 32) + (9 * 16 * 16 + 32)
    dense = 16 * 10 + 10
    assert count_parameters(network) == stem + layer1 + reduced1 + layer2 + reduced2 + layer3 + dense


def test_layers_concatenate_what_feeds_them() -> None:
    network = build_network(THREE, SPACE, sizes={"channels": 4}, generator=torch.Generator().manual_seed(0)).eval()
    layer = network.get_submodule
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    v0 = layer("stem")(x)
    v1 = layer("layer1")(layer("project1")(v0))
    v0, v1 = layer("reduce2_0")(v0), layer("reduce2_1")(v1)
    v2 = layer("layer2")(layer("project2")(torch.cat([v0, v1], 1)))
    v1, v2 = layer("reduce3_1")(v1), layer("reduce3_2")(v2)
    v3 = layer("layer3")(layer("project3")(torch.cat([v1, v2], 1)))
    torch.testing.assert_close(network(x), layer("classifier")(v3.mean(dim=(2, 3))), rtol=0, atol=0)


@pytest.mark.parametrize(("layers", "before"), [(1, [1]), (2, [1, 2]), (3, [2, 3]), (6, [3, 5]), (12, [5, 9])])
def test_outputs_are_reduced_after_one_and_two_thirds_of_the_layers(layers: int, before: list[int]) -> None:
    network = build_network(architecture(*["maxpool3x3"] * layers), SPACE, sizes={"channels": 2})
    assert isinstance(network, ENASNetwork)
    assert sorted(network.reduced) == before
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_outputs_that_nobody_reads_stay() -> None:
    six = architecture(*["conv3x3"] * 6, skips={(0, 6)})
    network = build_network(six, SPACE, sizes={"channels": 2}, device="meta")
    assert isinstance(network, ENASNetwork)
    assert network.reduced == {3: [0, 2], 5: [0, 4]}
