from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published_svge import published_network
from torch import Tensor, nn

from graphnas.cell import CellArrays
from graphnas.encoders.svge_encoder import SvgeEncoder
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
INPUT, OUTPUT, CONV = 0, 1, 2


def encoder(seed: int = 0) -> SvgeEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SvgeEncoder(len(SPACE.vocabulary), latent_dim=6, hidden=20).requires_grad_(False)


def tensors(arrays: CellArrays) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(arrays.ops).long(), torch.from_numpy(arrays.adjacency).float()


def graph(ops: list[int], edges: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    adjacency = torch.zeros(1, len(ops), len(ops))
    for i, j in edges:
        adjacency[0, i, j] = 1
    return torch.tensor([ops]), adjacency


def counting(model: SvgeEncoder) -> SvgeEncoder:
    """Weights under which the halves of a vertex's state are tanh(c degree) with tanh(c) = 1/2, and are summed."""
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    width = model.settings["hidden"] // 2
    for one in (*model.network.along, *model.network.against):
        nn.init.ones_(one.message.bias)
        one.update.bias_ih[width : 2 * width] = -40.0  # the state before is forgotten
        one.update.weight_ih[2 * width :, 0] = math.atanh(0.5)
    nn.init.ones_(model.mu.linear.weight)  # the gate is sigmoid(0) = 1/2
    return model


def test_two_and_three_vertices_by_hand() -> None:
    model = counting(SvgeEncoder(5, latent_dim=1, hidden=2).requires_grad_(False))
    # In-degrees 0 and 1, out-degrees 1 and 0: half of 1/2 + 1/2.
    assert model(*graph([INPUT, OUTPUT], [(0, 1)]))[0].item() == pytest.approx(0.5)
    # Degrees 0, 1, 2 in both directions, and tanh(2 c) = 0.8: half of 2 (0.5 + 0.8).
    mu, logvar = model(*graph([INPUT, CONV, OUTPUT], [(0, 1), (0, 2), (1, 2)]))
    assert mu.item() == pytest.approx(1.3)
    assert logvar.item() == 0.0


def test_the_dense_network_equals_one_message_for_each_edge() -> None:
    model = encoder()
    ops, adjacency = tensors(SPACE.sample_arrays(10, np.random.default_rng(0)))
    mu, logvar = model(ops, adjacency)
    for row, labels in enumerate(ops):
        start = model.operation(labels[labels >= 0])
        states = published_network(model.network, torch.cat([start, start], dim=-1), adjacency[row].nonzero().T)
        for readout, found in ((model.mu, mu[row]), (model.logvar, logvar[row])):
            expected = (readout.gate(states).sigmoid() * readout.linear(states)).sum(0)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_batch_is_encoded_as_its_members_are_whatever_the_padding() -> None:
    model, arrays = encoder(), SPACE.sample_arrays(12, np.random.default_rng(1))
    arrays.size[:2] = 2
    arrays.ops[:2] = (0, 1, -1, -1, -1, -1, -1)
    arrays.adjacency[:2] = False
    arrays.adjacency[:2, 0, 1] = True
    together = model(*tensors(arrays))
    for row, size in enumerate(arrays.size.tolist()):
        alone = model(*tensors(arrays.take(slice(row, row + 1)).padded(size)))
        for one, all_ in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_[row], rtol=1e-5, atol=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_renumbering_vertices_does_not_move_the_latent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ops, adjacency = tensors(SPACE.sample_arrays(3, rng))
    order = torch.from_numpy(rng.permutation(ops.shape[1]))
    moved = encoder()(ops[:, order], adjacency[:, order][:, :, order])
    for one, other in zip(encoder()(ops, adjacency), moved, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_turned_edges_and_changed_labels_move_the_latent() -> None:
    ops, edges = [INPUT, CONV, CONV, OUTPUT], [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]
    given_, _ = encoder()(*graph(ops, edges))
    turned, _ = encoder()(*graph(ops, [(j, i) for i, j in edges]))
    other, _ = encoder()(*graph([INPUT, CONV, 3, OUTPUT], edges))
    assert (given_ - turned).abs().max() > 1e-3
    assert (given_ - other).abs().max() > 1e-3


def test_settings_rebuild_it() -> None:
    model = SvgeEncoder(7, latent_dim=4, hidden=8, rounds=3)
    SvgeEncoder(7, **model.settings).load_state_dict(model.state_dict())
    assert SvgeEncoder(7).settings == {"latent_dim": 56, "hidden": 250, "rounds": 2}


def test_odd_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden to be even, .* but got 25"):
        SvgeEncoder(5, hidden=25)
