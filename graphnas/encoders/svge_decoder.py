"""The decoder of SVGe, "Smooth Variational Graph Embeddings" (Lukasik et al. 2020), on dense batches.

A cell is generated twice with the same weights: from its input, and, with all edges turned round, from its output.
The second generation adds edges to the first. There are no masks: what is generated may be illegal.

SVGe knows one input: label 0 starts a cell and label 1, the output, ends it. In a space of two inputs label 1 is the
second input, so the decoder does not fit it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.cell import CellArrays, stack_arrays
from graphnas.encoders.decoder import TrainingCells
from graphnas.encoders.svge_encoder import GatedGraphNetwork, GatedSum
from graphnas.spaces import Topology

_INPUT, _OUTPUT = 0, 1  # vocabulary codes of the labels that start and end a cell


class SvgeDecoder(nn.Module):
    """Latent points to cells, vertex by vertex in both directions (Lukasik et al. 2020, arXiv 2010.04683).

    At each step the graph network runs on over the vertices there are, from the states it left them in. Two gated
    sums of its states give the label of the next vertex and that vertex's state; then each earlier vertex feeds it or
    not, independently. The second vertex is always fed by the first. Generation stops at the output (from the input)
    and at the input (from the output).

    Departures from the authors' program, which are defects there: an edge's score sees the graph state and the latent
    point of its own graph, whatever else is in the batch; and the edges of the second generation are in the result.

    Args:
        vocabulary_size: Number of vertex labels; label 0 is the only input and label 1 the output.
        latent_dim: `d`, also the width of the gated sums.
        hidden: Width `h` of the vertex states, an even number.
        rounds: Rounds of message passing in each direction at each step.
        alpha: Weight of the edges against that of the labels in the loss, between 0 and 1.

    Raises:
        ValueError: if `hidden` is odd or `alpha` is not between 0 and 1.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        latent_dim: int = 56,
        hidden: int = 250,
        rounds: int = 2,
        alpha: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"Expected alpha to be between 0 and 1, but got {alpha}")
        self.settings = {"latent_dim": latent_dim, "hidden": hidden, "rounds": rounds, "alpha": alpha}
        self.hidden, self.alpha = hidden, alpha
        wide = hidden + latent_dim
        self.network = GatedGraphNetwork(hidden, rounds)
        self.operation = nn.Embedding(vocabulary_size, hidden)
        self.start = _two_layers(hidden + latent_dim, wide, hidden)
        self.graph = GatedSum(hidden, latent_dim)
        self.graph_for_vertex = GatedSum(hidden, latent_dim)
        self.label = _two_layers(2 * latent_dim, latent_dim, vocabulary_size)
        self.vertex = _two_layers(hidden + 2 * latent_dim, wide, hidden)
        self.edge = nn.Linear(2 * hidden + 2 * latent_dim, wide)
        self.edge_score = nn.Linear(wide, 1)

    def loss(self, z: Tensor, cells: TrainingCells, topology: Topology) -> Tensor:
        """Reconstruction loss of the given cells (teacher forcing).

        Each step counts `2 ((1 - alpha) CE(label) + alpha mean BCE(edges))`, the first one without edges.

        Args:
            z: `n x d` latent points.
            cells: The `n` cells in canonical order; their masks are not looked at.
            topology: Not looked at either: SVGe learns the rules from the cells alone.

        Returns:
            The sum over the steps of both directions, averaged over the batch.
        """
        del topology
        ops, adjacency = cells.ops.long(), cells.adjacency.to(z.dtype)
        present = ops >= 0
        order = _backwards(present.sum(1), ops.shape[1])
        ops = torch.cat([ops, ops.gather(1, order.clamp(min=0))])
        adjacency = torch.cat([adjacency, _turned(adjacency, order)])
        present, z = present.repeat(2, 1), z.repeat(2, 1)
        merged = self.network.merged()
        states = self.start(torch.cat([self.operation(ops[:, 0]), z], dim=-1))[:, None]
        total = z.new_zeros(())
        for place in range(1, ops.shape[1]):
            label = ops[:, place].clamp(min=0)
            states, graph, for_vertex = self._read(states, adjacency[:, :place, :place], merged)
            scores = self.label(torch.cat([graph, z], dim=-1))
            step = (1 - self.alpha) * nn.functional.cross_entropy(scores, label, reduction="none")
            new = self.vertex(torch.cat([self.operation(label), for_vertex, z], dim=-1))
            if place > 1:
                edges = nn.functional.binary_cross_entropy_with_logits(
                    self._edge_logits(states, new, graph, z), adjacency[:, :place, place], reduction="none"
                )
                step = step + self.alpha * edges.mean(1)
            total = total + (step * present[:, place]).sum()
            states = torch.cat([states, new[:, None]], dim=1)
        return 4 * total / z.shape[0]

    @torch.no_grad()
    def derive(
        self, z: Tensor, topology: Topology, *, sample: bool = False, generator: torch.Generator | None = None
    ) -> CellArrays:
        """Generate cells, legal or not.

        Args:
            z: `n x d` latent points.
            topology: Gives the most vertices; the last possible one is made the output.
            sample: Draw labels and edges; otherwise take the likeliest of each.
            generator: Source of the draws; the global one if None.

        Returns:
            The edges of both directions and the labels of the forward one, vertices in the order of generation.
        """
        # Activations of more points do not fit a core's cache, which costs a third of the speed.
        at_once = 128 if z.device.type == "cpu" else 4096
        parts = [
            self._derive(z[start : start + at_once], topology.max_vertices, sample, generator)
            for start in range(0, max(len(z), 1), at_once)
        ]
        return stack_arrays(parts)

    def _derive(self, z: Tensor, width: int, sample: bool, generator: torch.Generator | None) -> CellArrays:
        n, z = len(z), z.repeat(2, 1)
        first = torch.full((2 * n,), _INPUT, device=z.device)
        first[n:] = _OUTPUT
        last = _INPUT + _OUTPUT - first
        ops = torch.full((2 * n, width), -1, device=z.device)
        ops[:, 0] = first
        adjacency = z.new_zeros(2 * n, width, width)
        unfinished = torch.ones_like(first, dtype=torch.bool)
        merged = self.network.merged()
        states = self.start(torch.cat([self.operation(first), z], dim=-1))[:, None]
        for place in range(1, width):
            states, graph, for_vertex = self._read(states, adjacency[:, :place, :place], merged)
            label = last
            if place < width - 1:
                scores = self.label(torch.cat([graph, z], dim=-1))
                label = scores.argmax(-1)
                if sample:
                    label = torch.multinomial(scores.softmax(-1), 1, generator=generator)[:, 0]
            new = self.vertex(torch.cat([self.operation(label), for_vertex, z], dim=-1))
            fed = z.new_ones(2 * n, 1)
            if place > 1:
                logits = self._edge_logits(states, new, graph, z)
                fed = torch.bernoulli(logits.sigmoid(), generator=generator) if sample else (logits > 0).to(z.dtype)
            ops[:, place] = label.where(unfinished, -1)
            adjacency[:, :place, place] = fed * unfinished[:, None]
            unfinished = unfinished & (label != last)
            if not unfinished.any():
                break
            states = torch.cat([states, new[:, None]], dim=1)
        size = (ops[:n] >= 0).sum(1)
        edges = adjacency[:n] + _turned(adjacency[n:], _backwards(size, width))
        return CellArrays(
            ops[:n].cpu().numpy().astype(np.int8), (edges > 0).cpu().numpy(), size.cpu().numpy().astype(np.int8)
        )

    def _read(
        self, states: Tensor, adjacency: Tensor, merged: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Updated states of the vertices there are, and the graph's state for labels and edges, and for new vertices.

        A single vertex neither hears anything nor is gated.
        """
        if states.shape[1] == 1:
            return states, self.graph.linear(states[:, 0]), self.graph_for_vertex.linear(states[:, 0])
        states = self.network(states, adjacency, merged)
        return states, self.graph(states), self.graph_for_vertex(states)

    def _edge_logits(self, states: Tensor, new: Tensor, graph: Tensor, z: Tensor) -> Tensor:
        """`n x v` logits of edges from each vertex into the new one: an MLP of both states, the graph's, and `z`."""
        # Only the first part of the input differs between the vertices.
        of_vertex, of_rest = self.edge.weight[:, : self.hidden], self.edge.weight[:, self.hidden :]
        rest = nn.functional.linear(torch.cat([new, graph, z], dim=-1), of_rest, self.edge.bias)
        hidden = (nn.functional.linear(states, of_vertex) + rest[:, None]).relu()
        logits: Tensor = self.edge_score(hidden)[..., 0]
        return logits


def _two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _backwards(size: Tensor, width: int) -> Tensor:
    """`n x width`: the vertices of graphs of the given sizes from last to first, negative beyond the first."""
    return size[:, None] - 1 - torch.arange(width, device=size.device)


def _turned(adjacency: Tensor, order: Tensor) -> Tensor:
    """Graphs with all edges turned round and their vertices in the given order; negative ones have no edges."""
    rows, at = torch.arange(len(order), device=order.device)[:, None, None], order.clamp(min=0)
    turned = adjacency.mT[rows, at[:, :, None], at[:, None, :]]
    there = (order >= 0).to(adjacency.dtype)
    return turned * there[:, :, None] * there[:, None, :]
