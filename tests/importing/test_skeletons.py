"""Networks of our own builder come back as the architectures that they were built from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnas.importing import coarsen, recognise_network, trace
from graphnas.importing.tracing import trace_symbolically
from graphnas.networks import build_network
from graphnas.spaces import Space
from tests.importing.networks import BasicBlock, Classifier

SPACES = {name: Space.load(name) for name in ("nasbench101", "nasbench201", "darts", "enas")}
SIZES = {
    "nasbench101": {"stacks": 2, "cells_per_stack": 2, "channels": 16},
    "nasbench201": {"cells_per_stage": 2, "channels": 4},
    "darts": {"layers": 4, "channels": 4},
    "enas": {"channels": 4},
}


@pytest.mark.parametrize("name", list(SPACES))
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_an_architecture_comes_back_from_its_network(name: str, seed: int) -> None:
    space = SPACES[name]
    (architecture,) = space.sample(1, np.random.default_rng(seed))
    network = build_network(architecture, space, sizes=SIZES[name], classes=7, in_channels=2, device="meta")
    graph = coarsen(trace_symbolically(network, torch.empty(2, 2, 32, 32, device="meta")))
    found = recognise_network(graph, list(SPACES.values()))
    assert found is not None
    assert found.space == name
    assert space.hash(found.architecture) == space.hash(architecture)
    assert found.sizes == SIZES[name]
    assert graph.mapping.unmapped == {}


@pytest.mark.parametrize("name", list(SPACES))
def test_and_from_what_torch_exports(name: str) -> None:
    space = SPACES[name]
    (architecture,) = space.sample(1, np.random.default_rng(5))
    network = build_network(architecture, space, sizes=SIZES[name])
    found = recognise_network(coarsen(trace(network, torch.zeros(2, 3, 32, 32))), [space])
    assert found is not None
    assert space.hash(found.architecture) == space.hash(architecture)


def test_other_networks_are_none_of_these() -> None:
    network = Classifier(BasicBlock(8, 8), BasicBlock(8, 8))
    graph = coarsen(trace(network, torch.zeros(2, 3, 16, 16)))
    assert recognise_network(graph, list(SPACES.values())) is None
