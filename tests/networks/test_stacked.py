import pytest
import torch
from torch import nn

from graphnas.cell import Architecture, Cell
from graphnas.networks import StackedSkeleton, build_network
from graphnas.networks.stacked import StackedCell
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
SMALL = {"channels": 6, "stacks": 2, "cells_per_stack": 1}


def architecture(ops: tuple[str, ...], edges: set[tuple[int, int]]) -> Architecture:
    return Architecture("nasbench101", (Cell(("input", *ops, "output"), frozenset(edges)),))


CELL = architecture(("conv3x3", "conv1x1", "maxpool3x3"), {(0, 1), (1, 2), (1, 3), (0, 3), (2, 4), (3, 4), (0, 4)})


def test_a_cell_computes_what_its_graph_says() -> None:
    network = build_network(CELL, SPACE, sizes={"channels": 5, "stacks": 1, "cells_per_stack": 1}).eval()
    cell = network.get_submodule("cells.0")
    assert isinstance(cell, StackedCell)
    assert cell.channels == (5, 3, 3, 2, 5)
    x = torch.randn(2, 5, 6, 6, generator=torch.Generator().manual_seed(0))
    layer = cell.get_submodule
    v1 = layer("vertex1")(layer("project1")(x))
    v2 = layer("vertex2")(v1)
    v3 = layer("vertex3")(v1[:, :2] + layer("project3")(x))
    expected = torch.cat([v2, v3], 1) + layer("project4")(x)
    torch.testing.assert_close(cell(x), expected, rtol=0, atol=0)


def test_logits_and_resolutions() -> None:
    network = build_network(CELL, SPACE, sizes=SMALL, classes=7, in_channels=1)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    layers = network.get_submodule("cells").children()
    assert [type(layer) for layer in layers] == [StackedCell, nn.MaxPool2d, StackedCell]
    assert not any(layer.bias is not None for layer in network.modules() if isinstance(layer, nn.Conv2d))


def test_channels_of_stacks() -> None:
    skeleton = StackedSkeleton(stacks=2, cells_per_stack=2, channels=8)
    assert skeleton.cell_channels() == [[(8, 8), (8, 8)], [(8, 16), (16, 16)]]


def test_too_few_channels_are_reported() -> None:
    wide = architecture(("conv1x1",) * 3, {(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)})
    with pytest.raises(ValueError, match="feed the output, 3, but got 2 channels"):
        build_network(wide, SPACE, sizes={"channels": 2})


def test_no_path_is_reported() -> None:
    with pytest.raises(ValueError, match="no path joins them"):
        build_network(architecture(("conv1x1",), {(0, 1)}), SPACE)
