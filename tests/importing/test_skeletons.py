"""Networks of our own builder come back as the architectures that they were built from."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from graphnas.cell import Architecture
from graphnas.formats.nasbench201 import from_string
from graphnas.importing import CoarseGraph, Operator, OperatorGraph, coarsen, read_onnx, recognise_network, trace
from graphnas.importing.skeletons import fingerprint
from graphnas.importing.tracing import trace_symbolically
from graphnas.networks import build_network
from graphnas.spaces import Space
from tests.importing.networks import BasicBlock, Classifier

SPACES = {name: Space.load(name) for name in ("nasbench101", "nasbench201", "darts", "enas")}
CONV = {
    "kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "groups": 1, "in_channels": 8, "out_channels": 8,
}  # fmt: skip
SIZES = {
    "nasbench101": {"stacks": 2, "cells_per_stack": 2, "channels": 16},
    "nasbench201": {"cells_per_stage": 2, "channels": 4},
    "darts": {"layers": 4, "channels": 4},
    "enas": {"channels": 4},
}


@pytest.mark.parametrize("name", list(SPACES))
@settings(max_examples=5, deadline=None)
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


@pytest.mark.parametrize("name", list(SPACES))
def test_and_from_an_exported_file(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    space = SPACES[name]
    (architecture,) = space.sample(1, np.random.default_rng(5))
    graph = exported(build_network(architecture, space, sizes=SIZES[name]), tmp_path / "net.onnx")
    found = recognise_network(graph, list(SPACES.values()))
    assert found is not None
    assert (found.space, found.sizes, found.normalised) == (name, SIZES[name], False)
    assert space.hash(found.architecture) == space.hash(architecture)


@pytest.mark.parametrize(
    "text",
    [
        "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|",
        "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|skip_connect~2|",
        "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    ],
)
def test_what_is_always_zero_is_not_in_an_exported_file(text: str, tmp_path: Path) -> None:
    space, architecture = SPACES["nasbench201"], Architecture("nasbench201", (from_string(text),))
    path, sizes = tmp_path / "net.onnx", {"cells_per_stage": 2, "channels": 4}
    graph = exported(build_network(architecture, space, sizes=sizes), path)
    found = recognise_network(graph, [space])
    assert found is not None
    # Skip connections cannot be seen, and two cells of one convolution may be one cell of two.
    again = exported(build_network(found.architecture, space, sizes=found.sizes), path)
    assert fingerprint(again, exported=True) == fingerprint(graph, exported=True)


def exported(network: nn.Module, path: Path) -> CoarseGraph:
    """A network as an exporter writes it."""
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.zeros(2, 3, 32, 32),), str(path), dynamo=False)
    return coarsen(read_onnx(path))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SPACES))
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), channels=st.integers(2, 6), depth=st.integers(1, 3))
def test_of_whichever_size(name: str, seed: int, channels: int, depth: int) -> None:
    # Cells of DARTS come in two kinds, both of which are there from three on.
    sizes = {
        "nasbench101": {"stacks": depth, "cells_per_stack": depth, "channels": 16 * channels},
        "nasbench201": {"cells_per_stage": depth, "channels": channels},
        "darts": {"layers": depth + 2, "channels": channels},
        "enas": {"channels": channels},
    }[name]
    space = SPACES[name]
    (architecture,) = space.sample(1, np.random.default_rng(seed))
    network = build_network(architecture, space, sizes=sizes, classes=7, in_channels=2, device="meta")
    found = recognise_network(
        coarsen(trace_symbolically(network, torch.empty(2, 2, 32, 32, device="meta"))), list(SPACES.values())
    )
    assert found is not None
    assert (found.space, found.sizes) == (name, sizes)
    assert space.hash(found.architecture) == space.hash(architecture)


class Halves(nn.Module):
    """Two halves side by side, as in a factorised reduction, but not quite."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.stem, self.one, self.other = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1, 2), nn.Conv2d(8, 4, 1, 2)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        one = self.one(x)
        other = one if self.kind == "twice" else self.other(x)
        joined = torch.cat([one, other], 1)
        if self.kind == "reused":
            joined = joined + torch.cat([one, one], 1)
        return self.head(joined.mean((2, 3)))


@pytest.mark.parametrize("kind", ["twice", "reused"])
def test_halves_that_are_read_elsewhere_are_no_reduction(kind: str) -> None:
    graph = coarsen(trace(Halves(kind), torch.zeros(2, 3, 16, 16)))
    assert recognise_network(graph, list(SPACES.values())) is None


def test_a_deep_or_a_doubling_network_is_looked_at_in_no_time() -> None:
    clock = time.process_time()
    for body in (
        [Operator("conv", (0,), attributes=CONV, shape=(2, 8, 8, 8))],
        [Operator("add", (1, 1), shape=(2, 8, 8, 8))],
    ):
        operators = [Operator("input", shape=(2, 8, 8, 8)), Operator("conv", (0,), attributes=CONV, shape=(2, 8, 8, 8))]
        for _ in range(700):
            at = len(operators) - 1
            if body[0].kind == "conv":
                operators.append(Operator("conv", (at,), attributes=CONV, shape=(2, 8, 8, 8)))
                operators.append(Operator("add", (at, at + 1), shape=(2, 8, 8, 8)))
            else:
                operators.append(Operator("add", (at, at), shape=(2, 8, 8, 8)))
        last = len(operators) - 1
        operators += [
            Operator("global_pool", (last,), shape=(2, 8, 1, 1)),
            Operator("linear", (last + 1,), shape=(2, 10)),
            Operator("output", (last + 2,)),
        ]
        assert recognise_network(coarsen(OperatorGraph(tuple(operators))), list(SPACES.values())) is None
    kernels = [CONV, CONV | {"kernel": (1, 1)}]
    operators = [Operator("input", shape=(2, 8, 8, 8))]
    operators += [Operator("conv", (at,), attributes=kernels[at % 2], shape=(2, 8, 8, 8)) for at in range(10_001)]
    operators += [
        Operator("global_pool", (10_001,), shape=(2, 8, 1, 1)),
        Operator("linear", (10_002,), shape=(2, 10)),
        Operator("output", (10_003,)),
    ]
    assert recognise_network(coarsen(OperatorGraph(tuple(operators))), list(SPACES.values())) is None
    assert time.process_time() - clock < 30


def test_a_network_without_its_activations_is_another() -> None:
    space = SPACES["nasbench201"]
    (architecture,) = space.sample(1, np.random.default_rng(5))
    network = build_network(architecture, space, sizes=SIZES["nasbench201"])
    for module in list(network.modules()):
        for child, layer in list(module.named_children()):
            if isinstance(layer, nn.ReLU):
                setattr(module, child, nn.Identity())
    assert recognise_network(coarsen(trace(network, torch.zeros(2, 3, 32, 32))), [space]) is None


def test_other_networks_are_none_of_these() -> None:
    network = Classifier(BasicBlock(8, 8), BasicBlock(8, 8))
    graph = coarsen(trace(network, torch.zeros(2, 3, 16, 16)))
    assert recognise_network(graph, list(SPACES.values())) is None
