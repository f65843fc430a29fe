from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphnas.cell import CellArrays
from graphnas.encoders import GraphEncoder
from graphnas.encoders.graph_encoder import MessagePassing
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")


def encoder(**settings: int) -> GraphEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GraphEncoder(len(SPACE.vocabulary), latent_dim=6, **settings).requires_grad_(False)


def tensors(arrays: CellArrays) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(arrays.ops).long(), torch.from_numpy(arrays.adjacency).float()


def test_a_vertex_hears_from_predecessors_and_successors_apart() -> None:
    layer = MessagePassing(1).requires_grad_(False)
    layer.messages.weight[:] = torch.tensor([[10.0], [100.0]])
    layer.norm, layer.update = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    states = torch.tensor([[[1.0], [2.0], [3.0]]])
    edges = torch.zeros(1, 3, 3)
    edges[0, 0, 1] = edges[0, 1, 2] = 1.0
    # h + (h + 10 times the predecessors + 100 times the successors)
    assert layer(states, edges).flatten().tolist() == [2 + 200, 4 + 10 + 300, 6 + 20]


@pytest.mark.parametrize("settings", [{}, {"places": 0}, {"readout": 0}, {"rounds": 1}], ids=str)
def test_padding_and_the_other_cells_of_a_batch_do_not_matter(settings: dict[str, int]) -> None:
    model, arrays = encoder(**settings), SPACE.topology.canonical(SPACE.sample_arrays(12, np.random.default_rng(1)))
    mu, logvar = model(*tensors(arrays.padded(9)))
    assert mu.shape == logvar.shape == (12, 6)
    for row, size in enumerate(arrays.size.tolist()):
        alone = model(*tensors(arrays.take(slice(row, row + 1)).padded(size)))
        torch.testing.assert_close(mu[row : row + 1], alone[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logvar[row : row + 1], alone[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"places": 0}, {"readout": 0}], ids=str)
def test_an_untrained_encoder_tells_all_cells_of_five_vertices_apart(settings: dict[str, int]) -> None:
    space = Space.load("nasbench101", max_vertices=5)
    mu = encoder(**settings)(*tensors(space.enumerate_arrays()))[0]
    assert mu.shape[0] == 2532
    distances = torch.cdist(mu.double(), mu.double(), compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(1.0)
    assert distances.min() > 1e-6


def test_settings_make_the_same_encoder_again() -> None:
    model = encoder(width=16, rounds=3, readout=24, places=0, graph=32)
    again = GraphEncoder(len(SPACE.vocabulary), **model.settings)
    again.load_state_dict(model.state_dict())


def test_an_encoder_without_branches_or_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="a branch"):
        encoder(readout=0, places=0)
    with pytest.raises(ValueError, match="a round or more"):
        encoder(rounds=0)
