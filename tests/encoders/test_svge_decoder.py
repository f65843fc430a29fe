from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from published_svge import PublishedDecoder
from torch import Tensor, nn

from graphnas.cell import Cell, CellArrays, to_arrays
from graphnas.encoders.decoder import TrainingCells, decision_masks
from graphnas.encoders.svge_decoder import SvgeDecoder
from graphnas.encoders.svge_encoder import SvgeEncoder
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
SIZE = len(SPACE.vocabulary)
TWO = Cell(("input", "output"), frozenset({(0, 1)}))
THREE = Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))


def decoder(seed: int = 0) -> SvgeDecoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SvgeDecoder(SIZE, latent_dim=6, hidden=20)


def indifferent(**settings: float) -> SvgeDecoder:
    """All weights are zero: every label is as likely as any other, and every edge as likely as not."""
    model = SvgeDecoder(SIZE, latent_dim=2, hidden=4, **settings).requires_grad_(False)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def training_cells(cells: list[Cell] | CellArrays, space: Space = SPACE) -> TrainingCells:
    arrays = cells if isinstance(cells, CellArrays) else to_arrays(cells, space.vocabulary)
    arrays = space.topology.canonical(arrays).padded(space.topology.max_vertices)
    graphs = torch.from_numpy(arrays.ops), torch.from_numpy(arrays.adjacency)
    return TrainingCells(*graphs, *graphs, *decision_masks(space.topology, arrays))


def points(n: int, d: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def edges(arrays: CellArrays, row: int = 0) -> set[tuple[int, int]]:
    return {(i, j) for i, j in np.argwhere(arrays.adjacency[row]).tolist()}


def test_the_paper_counts_as_many_parameters_for_enas() -> None:
    size = len(Space.load("enas").vocabulary)
    parts = (SvgeEncoder(size), SvgeDecoder(size))
    assert sum(parameter.numel() for part in parts for parameter in part.parameters()) == 2_246_417


def test_losses_of_two_and_three_vertices_by_hand() -> None:
    z, topology = torch.zeros(2, 2), SPACE.topology
    label, edge = math.log(SIZE), math.log(2)
    # Two vertices: one label in either direction. Three: two labels, and the second vertex's edges.
    assert indifferent().loss(z[:1], training_cells([TWO]), topology).item() == pytest.approx(2 * label)
    assert indifferent().loss(z[:1], training_cells([THREE]), topology).item() == pytest.approx(4 * label + 2 * edge)
    both = indifferent().loss(z, training_cells([TWO, THREE]), topology)
    assert both.item() == pytest.approx(3 * label + edge)
    unequal = indifferent(alpha=0.25).loss(z[:1], training_cells([THREE]), topology)
    assert unequal.item() == pytest.approx(6 * label + edge)


def test_the_loss_is_that_of_the_paper_graph_by_graph() -> None:
    model, arrays = decoder(), SPACE.sample_arrays(6, np.random.default_rng(0))
    cells, z = training_cells(arrays), points(8)
    cells = TrainingCells(*(torch.cat([a, b]) for a, b in zip(cells, training_cells([TWO, THREE]), strict=True)))
    expected = []
    for row in range(8):
        labels = [code for code in cells.ops[row].tolist() if code >= 0]
        pairs = {(i, j) for i, j in cells.adjacency[row].nonzero().tolist()}
        expected.append(PublishedDecoder(model).loss(z[row], labels, pairs))
        alone = model.loss(z[row : row + 1], cells.take(torch.tensor([row])), SPACE.topology)
        torch.testing.assert_close(alone, expected[-1], rtol=1e-5, atol=1e-5)
    together = model.loss(z, cells, SPACE.topology)
    torch.testing.assert_close(together, torch.stack(expected).mean(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_derivations_are_those_of_the_paper_graph_by_graph() -> None:
    model, z = decoder(1), 6 * points(40)
    for parameter in model.parameters():
        parameter *= 2  # under small weights most cells are alike
    together = model.derive(z, SPACE.topology)
    for row in range(40):
        size = int(together.size[row])
        found = together.ops[row, :size].tolist(), edges(together, row)
        assert found == PublishedDecoder(model).derive(z[row], 7)
        assert (together.ops[row, size:] == -1).all()
        alone = model.derive(z[row : row + 1], SPACE.topology)
        assert all((a == b[row : row + 1]).all() for a, b in zip(alone, together, strict=True))
    assert len(set(together.size.tolist())) > 3
    assert len({together.adjacency[row].tobytes() for row in range(40)}) > 10


def test_edges_of_both_directions_are_joined() -> None:
    small = Space.load("nasbench101", max_vertices=4).topology
    model = indifferent()
    model.label[2].bias[2] = 1.0
    model.edge_score.bias[:] = -1.0
    # Either direction has the edge between its first two vertices alone and never stops before the last one.
    cell = model.derive(torch.zeros(1, 2), small)
    assert cell.ops.tolist() == [[0, 2, 2, 1]]
    assert edges(cell) == {(0, 1), (2, 3)}
    model.edge_score.bias[:] = 1.0
    assert edges(model.derive(torch.zeros(1, 2), small)) == {(i, j) for j in range(4) for i in range(j)}


def test_directions_of_different_length_are_joined_at_the_output() -> None:
    small = Space.load("nasbench101", max_vertices=5).topology
    model = indifferent()
    model.edge_score.bias[:] = -1.0
    model.label[2].bias[0] = 1.0
    # The backward direction ends with the input at once; the forward one goes on, with inputs that are illegal.
    cell = model.derive(torch.zeros(1, 2), small)
    assert cell.ops.tolist() == [[0, 0, 0, 0, 1]]
    assert edges(cell) == {(0, 1), (3, 4)}
    model.label[2].bias[1] = 2.0
    # Now the forward direction ends at once, and of the backward one only its first two vertices are left.
    cell = model.derive(torch.zeros(1, 2), small)
    assert cell.ops.tolist() == [[0, 1, -1, -1, -1]]
    assert edges(cell) == {(0, 1)}


def test_sampling_follows_the_probabilities() -> None:
    small = Space.load("nasbench101", max_vertices=3).topology
    n, generator = 8000, torch.Generator().manual_seed(0)
    cells = indifferent().derive(torch.zeros(n, 2), small, sample=True, generator=generator)
    three = cells.adjacency[cells.size == 3]
    assert len(three) / n == pytest.approx(1 - 1 / SIZE, abs=0.02)
    # The backward direction always has (1, 2), unless it drew the input; and (0, 2) is drawn in both.
    assert three[:, 1, 2].all()
    assert three[:, 0, 2].mean() == pytest.approx(1 - 0.5 * (1 - 0.5 * (1 - 1 / SIZE)), abs=0.02)
    again = indifferent().derive(torch.zeros(n, 2), small, sample=True, generator=torch.Generator().manual_seed(0))
    assert all((a == b).all() for a, b in zip(cells, again, strict=True))


def test_derivations_have_the_form_of_cells_in_any_space() -> None:
    for name, limits in (("nasbench101", {"max_vertices": 9}), ("enas", {"layers": 3}), ("nasbench201", {})):
        space = Space.load(name, **limits)
        model = SvgeDecoder(len(space.vocabulary), latent_dim=6, hidden=20)
        cells = model.derive(3 * points(200), space.topology, sample=True, generator=torch.Generator().manual_seed(0))
        v = space.topology.max_vertices
        assert cells.ops.shape == (200, v)
        assert cells.ops.dtype == cells.size.dtype == np.int8
        assert cells.adjacency.dtype == np.bool_
        beyond = np.arange(v) >= cells.size[:, None]
        assert ((cells.ops == -1) == beyond).all()
        assert (cells.ops[np.arange(200), cells.size - 1] == 1).all()
        assert not (np.tril(cells.adjacency)).any()
        assert not cells.adjacency[beyond].any()
        assert cells.adjacency[:, 0, 1].all()


def test_no_points_give_no_cells() -> None:
    assert decoder().derive(torch.zeros(0, 6), SPACE.topology).adjacency.shape == (0, 7, 7)


def test_every_weight_learns() -> None:
    model, z = decoder(), points(4).requires_grad_()
    model.loss(z, training_cells(SPACE.sample_arrays(4, np.random.default_rng(0))), SPACE.topology).backward()
    for name, parameter in [("z", z), *model.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ["enas", pytest.param("nasbench101", marks=pytest.mark.slow)])
def test_it_learns_eight_cells_by_heart(name: str) -> None:
    space = Space.load(name)
    cells = training_cells(space.sample_arrays(8, np.random.default_rng(5)), space)
    ops, adjacency = cells.ops.long(), cells.adjacency.float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = SvgeEncoder(len(space.vocabulary), latent_dim=16, hidden=32)
        model = SvgeDecoder(len(space.vocabulary), latent_dim=16, hidden=32)
    optimizer = torch.optim.Adam([*encoder.parameters(), *model.parameters()], lr=1e-2)
    for _ in range(150):
        loss = model.loss(encoder(ops, adjacency)[0], cells, space.topology)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = model.derive(encoder(ops, adjacency)[0], space.topology)
    assert (found.ops == cells.ops.numpy()).all()
    assert (found.adjacency == cells.adjacency.numpy()).all()


def test_settings_rebuild_it_and_wrong_ones_are_refused() -> None:
    model = SvgeDecoder(7, latent_dim=4, hidden=8, rounds=1, alpha=0.3)
    SvgeDecoder(7, **model.settings).load_state_dict(model.state_dict())
    assert SvgeDecoder(7).settings == {"latent_dim": 56, "hidden": 250, "rounds": 2, "alpha": 0.5}
    with pytest.raises(ValueError, match=r"alpha to be between 0 and 1, but got 1\.5"):
        SvgeDecoder(7, alpha=1.5)
    with pytest.raises(ValueError, match="hidden to be even"):
        SvgeDecoder(7, hidden=9)
