from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from graphnas.cell import Cell
from graphnas.importing import CoarseGraph, Macro, coarsen, macro_structure, recognise_cells, trace
from graphnas.importing.blocks import pieces
from graphnas.importing.segments import cuts
from graphnas.networks import build_network
from graphnas.spaces import Space
from tests.importing.networks import Attention, BasicBlock, Chained, Classifier, Inception, conv

SPACE = Space.load("nasbench101")


def read(network: nn.Module, *images: torch.Tensor) -> tuple[CoarseGraph, Macro]:
    graph = coarsen(trace(network, *(images or (torch.zeros(2, 3, 16, 16),))))
    return graph, macro_structure(graph)


def test_all_paths_go_through_cuts() -> None:
    graph, _ = read(Classifier(BasicBlock(8, 8), conv(8, 8)))
    assert [graph.vertices[cut].label for cut in cuts(graph.vertices)] == [
        "input", "conv3x3", "add", "conv3x3", "global_pool", "linear", "output",
    ]  # fmt: skip


def test_a_residual_network_is_its_blocks() -> None:
    network = Classifier(BasicBlock(8, 8), BasicBlock(8, 8), BasicBlock(8, 16, 2), BasicBlock(16, 16), out=16)
    graph, macro = read(network)
    assert [(block.cell.ops[1:-1], block.count) for block in macro.blocks[1:3]] == [
        (("conv3x3", "conv3x3", "add"), 3),
        (("conv3x3/2", "conv3x3", "conv1x1/2", "add"), 1),
    ]
    assert macro.sequence == ((0, 1), (1, 2), (2, 1), (1, 1), (3, 1), (4, 1))
    found = recognise_cells(graph, macro, [SPACE])
    assert found[0].architecture.cells[0] == Cell(
        ("input", "conv3x3", "conv3x3", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 3)})
    )
    assert len(found[0].places) == 3


def test_branches_side_by_side_are_a_cell() -> None:
    graph, macro = read(Classifier(Inception(8), Inception(16), out=16))
    (found, *_) = recognise_cells(graph, macro, [SPACE])
    cell = found.architecture.cells[0]
    assert sorted(cell.ops[1:-1]) == ["conv1x1", "conv1x1", "conv1x1", "conv3x3", "maxpool3x3"]
    assert len(cell.edges) == 8
    assert len(found.places) == 2


def test_a_chain_that_repeats_is_a_cell() -> None:
    graph, macro = read(Classifier(*(conv(8, 8) for _ in range(4))))
    (found, *_) = recognise_cells(graph, macro, [SPACE])
    assert found.architecture.cells[0].ops == ("input", *["conv3x3"] * 5, "output")
    pooled, macro = read(
        Classifier(*(layer for _ in range(3) for layer in (conv(8, 8, 5), conv(8, 8), nn.MaxPool2d(2))))
    )
    # The longest chain that repeats, not its parts.
    assert [block.cell.ops[1:-1] for block in macro.blocks if block.count == 3] == [
        ("conv5x5", "conv3x3", "maxpool2x2/2")
    ]
    assert macro.sequence[1] == (1, 3)
    assert pooled.mapping.unmapped == {}


def test_layers_of_a_transformer_are_equal_blocks() -> None:
    _, macro = read(nn.Sequential(*(Attention(8) for _ in range(3))), torch.zeros(2, 5, 8))
    assert sum(block.count for block in macro.blocks if "attention" in block.cell.ops) == 3
    assert len(macro.blocks) == 2


def test_cells_that_read_the_two_before_them_are_blocks() -> None:
    _, macro = read(Chained(4, "nnnrnn"))
    normal = macro.blocks[2].cell
    assert normal.ops == (
        "input0", "input1", "conv1x1", "conv1x1", "conv3x3", "maxpool3x3", "add", "conv5x5", "maxpool3x3", "add",
        "concat", "output",
    )  # fmt: skip
    assert {(0, 2), (1, 3), (2, 4), (3, 5), (3, 7), (2, 8), (10, 11)} <= normal.edges
    # The stem, the first cell, whose inputs are one, and the others; the reduction and what follows it are apart.
    assert [block.count for block in macro.blocks[:4]] == [1, 1, 3, 1]
    assert macro.sequence[:4] == ((0, 1), (1, 1), (2, 2), (3, 1))


@pytest.mark.parametrize("layers", [5, 8])
def test_cells_of_darts_are_recognised_in_a_part_of_their_network(layers: int) -> None:
    space = Space.load("darts")
    (architecture,) = space.sample(1, np.random.default_rng(3))
    network = build_network(architecture, space, sizes={"layers": layers, "channels": 4}, classes=10, in_channels=3)
    # Behind another stem it is no network of the space, yet its cells are.
    graph, macro = read(nn.Sequential(conv(3, 3, 5), network), torch.zeros(2, 3, 32, 32))
    (found, *_) = recognise_cells(graph, macro, [SPACE, space])
    assert space.hash(found.architecture) == space.hash(architecture)


def test_what_two_inputs_meet_in_is_one_block() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = conv(3, 8), conv(3, 8)
            self.rest = nn.Sequential(*(BasicBlock(8, 8) for _ in range(3)))

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.rest(self.one(x) + self.other(y))

    graph, macro = read(Two(), torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16))
    assert graph.cell().ops[:5] == ("input0", "input1", "conv3x3", "conv3x3", "add")
    assert [(block.count, block.cell.size) for block in macro.blocks] == [(1, 6), (3, 5)]


def test_a_large_cell_in_pieces_has_all_its_vertices() -> None:
    # A chain with shortcuts over three vertices, and one over all.
    ops = ("input", *(f"op{number}" for number in range(1, 100)), "output")
    edges = {(number, number + 1) for number in range(100)} | {(n, n + 3) for n in range(0, 90, 3)} | {(1, 99)}
    cut = pieces(Cell(ops, frozenset(edges)), 20)
    inner = [op for one in cut for op in one.ops if op.startswith("op")]
    assert inner == list(ops[1:-1])
    assert all(one.size <= 23 for one in cut)
    for one in cut:
        fed = {target for _, target in one.edges}
        feeding = {source for source, _ in one.edges}
        first = 1 + ("input1" in one.ops)
        assert fed >= set(range(first, one.size))
        assert feeding >= set(range(first, one.size - 1))
    # The shortcuts over three meet in every third vertex, where all but the longest can be cut.
    assert sum("input1" in one.ops for one in cut) == 1


class Several(nn.Module):
    """A network with an auxiliary classifier, and one that gives features too (Szegedy et al. 2015)."""

    def __init__(self, features: bool) -> None:
        super().__init__()
        self.stem, self.rest, self.features = conv(3, 8), nn.Sequential(conv(8, 8, 5), conv(8, 8, 5)), features
        self.side, self.head = nn.Linear(8, 10), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(x)
        y = self.rest(x)
        logits = self.head(y.mean((2, 3)))
        return (y, logits) if self.features else (self.side(x.mean((2, 3))), logits)


@pytest.mark.parametrize("network", [Several(False), Several(True), Chained(4, "nnnrnn"), Classifier(BasicBlock(8, 8))])
def test_every_vertex_is_part_of_a_block(network: nn.Module) -> None:
    graph, macro = read(network)
    covered = [
        number for block in macro.blocks for first, last in block.places for number in range(first + 1, last + 1)
    ]
    assert sorted(covered) == list(range(1, len(graph.vertices) - 1))


def test_several_results_leave_their_block() -> None:
    graph, macro = read(Several(False))
    (cell,) = (block.cell for block in macro.blocks if block.cell.size > 3)
    assert cell.ops.count("linear") == 2
    output = cell.size - 1
    assert sorted(cell.ops[source] for source, target in cell.edges if target == output) == ["linear", "linear"]
    assert recognise_cells(graph, macro, [SPACE]) == []
