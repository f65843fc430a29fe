from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import relabelled
from torch import Tensor, nn

from graphnas.cell import Cell, CellArrays, to_arrays
from graphnas.encoders.dvae import DvaeEncoder
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")


def encoder() -> DvaeEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DvaeEncoder(len(SPACE.vocabulary), latent_dim=6, hidden=20).requires_grad_(False)


def tensors(cells: list[Cell] | CellArrays) -> tuple[Tensor, Tensor]:
    arrays = cells if isinstance(cells, CellArrays) else to_arrays(cells, SPACE.vocabulary)
    return torch.from_numpy(arrays.ops).long(), torch.from_numpy(arrays.adjacency).float()


def test_two_and_three_vertices_by_hand() -> None:
    model = DvaeEncoder(len(SPACE.vocabulary), latent_dim=1, hidden=1).requires_grad_(False)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    for sweep in (model.along, model.against):
        # h_j = tanh(w_j + sum of h_i over the predecessors), with w = 1 for the input and 0 for all others.
        sweep.update.bias_ih[:] = torch.tensor([40.0, -40.0, 0.0])  # the message is heard in full, and not kept
        sweep.update.weight_ih[2, 0] = 1.0
        sweep.update.weight_hh[2] = 1.0
        sweep.message.weight[:] = 2.0  # the gate is sigmoid(0) = 1/2
    for layer in (model.unify, model.mu):
        nn.init.ones_(layer.weight)
    one = math.tanh(1.0)
    cells = [
        Cell(("input", "output"), frozenset({(0, 1)})),
        Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (0, 2), (1, 2)})),
    ]
    mu, logvar = model(*tensors(cells))
    # The output's state of the first sweep plus the input's of the second, in which all before it are tanh(0) = 0.
    assert mu[0, 0].item() == pytest.approx(math.tanh(one) + one)
    assert mu[1, 0].item() == pytest.approx(math.tanh(one + math.tanh(one)) + one)
    assert logvar.tolist() == [[0.0], [0.0]]


def test_a_batch_is_encoded_as_its_members_are_whatever_the_padding() -> None:
    model, arrays = encoder(), SPACE.sample_arrays(12, np.random.default_rng(1))
    arrays = SPACE.to_arrays([*SPACE.from_arrays(arrays), *SPACE.sample(1, np.random.default_rng(2))]).padded(9)
    together = model(*tensors(arrays))
    for row, size in enumerate(arrays.size.tolist()):
        alone = model(*tensors(arrays.take(slice(row, row + 1)).padded(size)))
        for one, all_ in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_[row], rtol=1e-5, atol=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_any_topological_order_gives_the_same_latent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = SPACE.sample(1, rng)[0].cells[0]
    for found in encoder()(*tensors([cell, relabelled(cell, rng)])):
        torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


def test_every_label_and_edge_moves_the_latent() -> None:
    cell = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)}))
    others = [Cell(cell.ops, cell.edges - {edge}) for edge in cell.edges]
    others += [Cell(("input", "conv1x1", "conv1x1", "output"), cell.edges)]
    mu, _ = encoder()(*tensors([cell, *others]))
    assert ((mu[1:] - mu[0]).abs().amax(1) > 1e-3).all()


def test_every_weight_learns() -> None:
    model = encoder().requires_grad_()
    mu, logvar = model(*tensors(SPACE.sample_arrays(4, np.random.default_rng(0))))
    (mu.square().sum() + logvar.exp().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_settings_rebuild_it() -> None:
    model = DvaeEncoder(7, latent_dim=4, hidden=8)
    DvaeEncoder(7, **model.settings).load_state_dict(model.state_dict())
    assert DvaeEncoder(7).settings == {"latent_dim": 56, "hidden": 501}
