import pytest
import torch
from torch import nn

from graphnas.cell import Architecture, Cell
from graphnas.networks import StackedSkeleton, build_network
from graphnas.networks.cell_module import CellModule
from graphnas.networks.operations import build_operation
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
SMALL = {"channels": 6, "stacks": 2, "cells_per_stack": 1}


def architecture(ops: tuple[str, ...], edges: set[tuple[int, int]]) -> Architecture:
    return Architecture("nasbench101", (Cell(("input", *ops, "output"), frozenset(edges)),))


CELL = architecture(("conv3x3", "conv1x1", "maxpool3x3"), {(0, 1), (1, 2), (1, 3), (0, 3), (2, 4), (3, 4), (0, 4)})


def test_a_cell_computes_what_its_graph_says() -> None:
    cell = CELL.cells[0]
    module = CellModule(cell, SPACE.operations, 4, 5).eval()
    assert module.channels == (4, 3, 3, 2, 5)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    layer = module.get_submodule
    v1 = layer("vertex1")(layer("project1")(x))
    v2 = layer("vertex2")(v1)
    v3 = layer("vertex3")(v1[:, :2] + layer("project3")(x))
    expected = torch.cat([v2, v3], 1) + layer("project4")(x)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=0)


def test_logits_and_resolutions() -> None:
    network = build_network(CELL, SPACE, **SMALL, classes=7, in_channels=1)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    assert [type(layer) for layer in network.cells] == [CellModule, nn.MaxPool2d, CellModule]
    assert not any(layer.bias is not None for layer in network.modules() if isinstance(layer, nn.Conv2d))


def test_dead_vertices_are_dropped() -> None:
    dead = architecture(("conv3x3", "conv1x1"), {(0, 1), (1, 3), (0, 2)})
    live = architecture(("conv3x3",), {(0, 1), (1, 2)})
    names = [set(build_network(each, SPACE, **SMALL, device="meta").state_dict()) for each in (dead, live)]
    assert names[0] == names[1]


def test_equal_generators_give_equal_weights_and_the_global_state_stays() -> None:
    state = torch.get_rng_state()
    first, second, other = (
        build_network(CELL, SPACE, **SMALL, generator=torch.Generator().manual_seed(seed)).state_dict()
        for seed in (3, 3, 4)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_every_parameter_gets_a_gradient() -> None:
    network = build_network(CELL, SPACE, **SMALL, in_channels=1, generator=torch.Generator().manual_seed(0))
    network(torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_too_few_channels_are_reported() -> None:
    wide = architecture(("conv1x1",) * 3, {(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)})
    with pytest.raises(ValueError, match="feed the output, 3, but got 2 channels"):
        build_network(wide, SPACE, channels=2)


def test_no_path_is_reported() -> None:
    with pytest.raises(ValueError, match="no path joins them"):
        build_network(architecture(("conv1x1",), {(0, 1)}), SPACE)


def test_foreign_architectures_are_reported() -> None:
    with pytest.raises(ValueError, match="of 'nasbench101', but got one of 'other'"):
        build_network(Architecture("other", CELL.cells), SPACE)
    with pytest.raises(ValueError, match="Expected one cell, but got 2"):
        build_network(Architecture("nasbench101", CELL.cells * 2), SPACE)
    with pytest.raises(ValueError, match="conv7x7"):
        build_network(architecture(("conv7x7",), {(0, 1), (1, 2)}), SPACE)


def test_skeleton_tables_are_validated() -> None:
    assert StackedSkeleton.of({"stacks": 2, "cells_per_stack": 2, "channels": 4}, channels=8).cell_channels() == [
        [(8, 8), (8, 8)],
        [(8, 16), (16, 16)],
    ]
    with pytest.raises(ValueError, match="'stacked', the only one known, but got 'tree'"):
        StackedSkeleton.of({"skeleton": "tree"})
    with pytest.raises(ValueError, match="depth"):
        StackedSkeleton.of({"depth": 3})
    with pytest.raises(ValueError, match="channels to be a positive integer, but got 0"):
        StackedSkeleton(channels=0)


def test_operation_tables_are_validated() -> None:
    with pytest.raises(ValueError, match="but got 'lstm'"):
        build_operation({"module": "lstm", "kernel": 3}, 4)
    with pytest.raises(ValueError, match="odd kernel size, but got 2"):
        build_operation({"module": "conv", "kernel": 2}, 4)
