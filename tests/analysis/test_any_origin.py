from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphnas.analysis.any_origin import (
    KnownCells,
    embed_architectures,
    embed_cell,
    embed_network,
    points_of,
    predict_values,
    universal_cell,
)
from graphnas.cell import Architecture, Cell
from graphnas.encoders import CellAutoencoder
from graphnas.formats.graphs import from_graphml, to_graphml
from graphnas.importing import coarsen, macro_structure, trace
from graphnas.spaces import Space
from graphnas.spaces.universal import any_space

MODEL = CellAutoencoder.for_space(any_space(), kind="universal", latent_dim=8, seed=1).eval()


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """`n x 4 x h x w` to the same."""
        return torch.relu(self.second(torch.relu(self.first(x))) + x)


def test_a_residual_block_lies_where_the_cell_of_nasbench101_does() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Residual(), Residual(), Residual())
    found = embed_network(MODEL, "mine", macro_structure(coarsen(trace(network, torch.zeros(2, 3, 8, 8)))))
    (block,) = [one for one in found if one.count == 3]
    assert block.unmapped == {}
    cell = Cell(("input", "conv3x3", "conv3x3", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 3)}))
    (known,) = embed_architectures(MODEL, ["known"], Space.load("nasbench101"), [Architecture("nasbench101", (cell,))])
    assert block.cell == known.cell
    np.testing.assert_allclose(block.latent, known.latent, atol=1e-5)
    # Blocks of a network are looked at one by one, and the whole lies between them.
    points = points_of(found)
    assert list(points) == ["mine", *(f"mine, {one.part}" for one in found[1:])]
    weights = [one.count * one.cell.size for one in found[1:]]
    np.testing.assert_allclose(points["mine"], np.average([one.latent for one in found[1:]], axis=0, weights=weights))


def test_a_block_that_is_too_large_comes_in_pieces() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(80))

        def forward(self, x: Tensor) -> Tensor:
            total = x
            for layer in self.layers:
                x = torch.relu(layer(x))
                total = total + x * x
            return total

    found = embed_network(MODEL, "dense", macro_structure(coarsen(trace(Dense(), torch.zeros(2, 4, 8, 8)))))
    assert [one.part for one in found[:3]] == ["whole network", "block 0.0", "block 0.1"]
    assert all(one.cell.size <= 64 and np.isfinite(one.latent).all() for one in found)
    convolutions = sum(op.startswith("conv") for one in found[1:] for op in one.cell.ops)
    assert convolutions == 80


def test_what_has_no_label_is_named_and_further_inputs_count_as_the_second() -> None:
    cell = Cell(("input", "fft", "conv11x11/4", "output"), frozenset({(0, 1), (1, 2), (2, 3)}))
    whole, unmapped = universal_cell(cell)
    assert unmapped == {"fft": 1}
    assert whole.ops == ("input0", "input1", "other", "conv7x7", "output")
    three = Cell(("input0", "input1", "input2", "mul", "output"), frozenset({(0, 3), (1, 3), (2, 3), (3, 4)}))
    assert universal_cell(three)[0] == Cell(("input0", "input1", "mul", "output"), frozenset({(0, 2), (1, 2), (2, 3)}))
    with pytest.raises(ValueError, match="at most 64 vertices, but got one of 65"):
        universal_cell(Cell(("input", *["relu"] * 63, "output"), frozenset()))


def test_architectures_of_several_cells_have_a_point_each() -> None:
    space = Space.load("darts")
    names = ["genotypes 0", "genotypes 1"]
    found = embed_architectures(MODEL, names, space, space.sample(2, np.random.default_rng(0)))
    assert [(one.source, one.part) for one in found] == [
        ("genotypes 0", "normal"),
        ("genotypes 0", "reduce"),
        ("genotypes 1", "normal"),
        ("genotypes 1", "reduce"),
    ]
    points = points_of(found)
    assert list(points) == ["genotypes 0", "genotypes 1"]
    np.testing.assert_allclose(points["genotypes 1"], (found[2].latent + found[3].latent) / 2)


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "darts"])
def test_a_graph_with_the_names_of_a_space_is_its_cell(name: str) -> None:
    space = Space.load(name)
    (architecture,) = space.sample(1, np.random.default_rng(3))
    known = embed_architectures(MODEL, ["known"], space, [architecture])[0]
    read = embed_cell(MODEL, "read", from_graphml(to_graphml(architecture.cells[0])))
    assert read.unmapped == {}
    assert read.cell == known.cell


def test_layers_are_known_by_the_names_of_other_libraries() -> None:
    ops = ("input", "Conv3x3", "BatchNorm2d", "ReLU", "MaxPool2d", "Flatten", "Gemm", "Fft", "output")
    edges = frozenset((number, number + 1) for number in range(len(ops) - 1))
    found = embed_cell(MODEL, "mine", Cell(ops, edges))
    assert found.cell.ops[2:-1] == ("conv3x3", "norm", "activation", "maxpool3x3", "linear", "other")
    assert found.unmapped == {"Fft": 1}


def test_known_cells_predict_what_is_near_and_say_what_is_not() -> None:
    space = Space.load("nasbench201")
    cells = space.sample(150, np.random.default_rng(0))
    values = np.array([float(one.cells[0].ops.count("nor_conv_3x3")) for one in cells])
    known = KnownCells.of(MODEL, space, cells[:100], values[:100])
    others = KnownCells.of(MODEL, space, cells[100:], values[100:])
    found = predict_values(known, others.latent)
    assert np.corrcoef([one.mean for one in found], others.values)[0, 1] > 0.4  # by an encoder that has learnt nothing
    (far,) = predict_values(known, known.latent[:1] + 100.0)
    assert far.distance > 20 * np.median([one.distance for one in found])
    assert far.std > max(one.std for one in found)
    distances, rows = known.nearest(known.latent[:3], 2)
    assert rows[:, 0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(distances[:, 0], 0, atol=1e-5)


def test_of_many_known_cells_those_nearby_are_learnt_from() -> None:
    latent = np.random.default_rng(0).standard_normal((1_500, 4))
    known = KnownCells(Space.load("digits101"), [], latent, latent[:, 0])
    (last,) = predict_values(known, latent[-1:])
    assert last.distance == pytest.approx(0, abs=1e-4)
    assert last.mean == pytest.approx(latent[-1, 0], abs=0.05)


def test_a_prediction_does_not_depend_on_what_else_is_asked() -> None:
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((1_500, 4))
    known = KnownCells(Space.load("digits101"), [], latent, latent[:, 0] + rng.normal(0, 0.3, 1_500))
    (alone,) = predict_values(known, latent[-1:])
    among = predict_values(known, np.concatenate([latent[1_100:1_105] + 0.3, latent[-1:]]))[-1]
    assert (among.mean, among.std) == pytest.approx((alone.mean, alone.std), rel=1e-4)


def test_deviations_are_those_of_measured_values() -> None:
    space = Space.load("nasbench201")
    cells = space.sample(400, np.random.default_rng(0))
    noise = np.random.default_rng(1).normal(0, 0.5, len(cells))
    values = np.array([float(one.cells[0].ops.count("nor_conv_3x3")) for one in cells]) + noise
    rest = KnownCells.of(MODEL, space, cells[300:], values[300:])
    found = predict_values(KnownCells.of(MODEL, space, cells[:300], values[:300]), rest.latent)
    apart = np.array([abs(one.mean - value) / one.std for one, value in zip(found, rest.values, strict=True)])
    assert 0.5 < (apart < 1).mean() < 0.85
    assert (apart < 1.645).mean() > 0.8
