import numpy as np
import pytest
from networks.every_kind import OPERATIONS, PlainSpace, one_input_cell
from torch import nn

from graphnas.cell import Architecture, Cell, to_arrays
from graphnas.evaluate import NASBench101Table, data_folder
from graphnas.networks import build_network, count_costs, count_macs, count_parameters, log_costs
from graphnas.spaces import Space

TABLE = data_folder() / "nasbench101.npz"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="nasbench101.npz is missing in GRAPHNAS_DATA")
SPACE = Space.load("nasbench101")


def test_hand_counted_network() -> None:
    # Input -> output alone: each cell is one projection. Stem 9*1*4; cells 4*4 and 4*8; dense 8*3.
    cell = Cell(("input", "output"), frozenset({(0, 1)}))
    parameters, macs = count_costs(
        to_arrays([cell], SPACE.vocabulary),
        SPACE.operations,
        {"skeleton": "stacked", "stacks": 2, "cells_per_stack": 1, "channels": 4},
        classes=3,
        in_channels=1,
        image_size=8,
    )
    assert parameters.tolist() == [36 + 8 + 16 + 8 + 32 + 16 + 24 + 3]
    assert macs.tolist() == [(36 + 16) * 64 + 32 * 16 + 24]


def test_arithmetic_equals_modules_on_sampled_cells() -> None:
    architectures = SPACE.sample(20, np.random.default_rng(0))
    arrays = SPACE.to_arrays(architectures)
    skeleton = {"stacks": 2, "cells_per_stack": 2, "channels": 10}
    parameters, macs = count_costs(arrays, SPACE.operations, skeleton, in_channels=1, image_size=8)
    for row, architecture in enumerate(architectures):
        network = build_network(architecture, SPACE, sizes=skeleton, in_channels=1, device="meta")
        assert count_parameters(network) == parameters[row]
        assert count_macs(network, (1, 8, 8)) == macs[row]


def test_arithmetic_equals_modules_for_every_operation() -> None:
    space = PlainSpace("mine", {"skeleton": "stacked", "stacks": 2, "cells_per_stack": 2, "channels": 7}, OPERATIONS)
    cells = [one_input_cell(*OPERATIONS), *map(one_input_cell, OPERATIONS)]
    arrays = to_arrays(cells, ("input", "output", *OPERATIONS))
    parameters, macs = count_costs(arrays, OPERATIONS, space.network, in_channels=2, image_size=8)
    for row, cell in enumerate(cells):
        network = build_network(Architecture("mine", (cell,)), space, in_channels=2, device="meta")
        assert count_parameters(network) == parameters[row]
        assert count_macs(network, (2, 8, 8)) == macs[row]


def test_other_skeletons_are_refused() -> None:
    arrays = to_arrays([one_input_cell("conv3x3")], SPACE.vocabulary)
    with pytest.raises(ValueError, match="the skeleton 'stacked', but got 'enas'"):
        count_costs(arrays, SPACE.operations, {"skeleton": "enas", "channels": 8})


def test_logarithms_of_costs_are_those_of_stacked_skeletons_alone() -> None:
    arrays = SPACE.sample_arrays(3, np.random.default_rng(0))
    logs = log_costs(SPACE, arrays)
    assert logs is not None
    parameters, macs = count_costs(arrays, SPACE.operations, SPACE.network)
    assert np.exp(logs) == pytest.approx(np.column_stack([parameters, macs]))
    other = Space.load("nasbench201")
    assert log_costs(other, other.sample_arrays(3, np.random.default_rng(0))) is None


def test_dead_vertices_cost_nothing() -> None:
    live = Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))
    dead = Cell(("input", "conv3x3", "conv3x3", "output"), frozenset({(0, 1), (1, 3), (0, 2)}))
    arrays = to_arrays([live, dead], SPACE.vocabulary)
    parameters, macs = count_costs(arrays, SPACE.operations, SPACE.network)
    assert parameters[0] == parameters[1]
    assert macs[0] == macs[1]


def test_count_macs_leaves_modes_and_hooks_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2).eval(), nn.Flatten(), nn.Linear(8, 5))
    assert count_macs(network, (1, 4, 4)) == 2 * 4 * 9 + 40
    assert network.training
    assert not network[1].training
    assert not network[0]._forward_hooks


def test_grouped_convolution_counts_its_groups() -> None:
    assert count_macs(nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 2, 2)) == 4 * 4 * 9


@needs_table
def test_all_cells_of_the_table_have_the_recorded_costs() -> None:
    table = NASBench101Table.open(TABLE)
    rows = np.random.default_rng(0).choice(len(table), 20_000, replace=False)
    parameters, macs = count_costs(table.cells().take(rows), SPACE.operations, SPACE.network)
    np.testing.assert_array_equal(parameters, table.column("params")[rows])
    np.testing.assert_array_equal(macs, table.column("macs")[rows])


@pytest.mark.slow
@needs_table
def test_modules_have_the_recorded_parameters() -> None:
    table = NASBench101Table.open(TABLE)
    rows = np.random.default_rng(1).choice(len(table), 1000, replace=False)
    architectures = SPACE.from_arrays(table.cells().take(rows))
    counts = [count_parameters(build_network(each, SPACE, device="meta")) for each in architectures]
    assert counts == table.column("params")[rows].tolist()
