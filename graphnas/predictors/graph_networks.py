"""Graph convolutional networks on cells."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.predictors.encodings import cells_of
from graphnas.predictors.learning import NetworkPredictor, Schedule, minimise
from graphnas.predictors.protocol import Architectures
from graphnas.spaces import Space

GCN = Schedule(epochs=300, batch_size=7, learning_rate=1e-4, weight_decay=3e-4, cosine=True)
"""How White et al. 2021 fit a GCN."""
BONAS = Schedule(epochs=100, batch_size=128, learning_rate=1e-4, weight_decay=3e-4, cosine=True)
"""How they fit that of BONAS."""


class GraphNetworkPredictor(NetworkPredictor):
    """A graph convolutional network (Kipf & Welling 2017) whose edges carry messages both ways.

    Vertices start as one-hot labels. The average of all vertices, or the state of a global one that all others feed
    (BONAS, Shi et al. 2020, arXiv 1911.09336), is what a dense layer predicts from; an architecture's cells are joined.

    Args:
        space: Space of the architectures.
        layers: Convolutions.
        width: Of a vertex's state.
        head: Width of the dense layer.
        global_vertex: Whether there is one.
        schedule: Of the fit.
        seed: Of initial weights and the order of rows.
    """

    def __init__(
        self,
        space: Space,
        *,
        layers: int = 4,
        width: int = 144,
        head: int = 128,
        global_vertex: bool = False,
        schedule: Schedule = GCN,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed=seed)
        self.layers, self.width, self.head, self.global_vertex = layers, width, head, global_vertex
        self.schedule = schedule

    def inputs(self, architectures: Architectures) -> Tensor:
        """`n x cells x v x (1 + v)`: for each vertex of the canonical cells its label's code and its out-edges."""
        topology = self.space.topology
        cells = topology.canonical(cells_of(self.space, architectures)).padded(topology.max_vertices)
        flat = np.concatenate([cells.ops[:, :, None], cells.adjacency], axis=2).astype(np.int8)
        return torch.from_numpy(flat).reshape(-1, len(self.space.cell_names), *flat.shape[1:])

    def learn(self, x: Tensor, y: Tensor) -> nn.Module:
        """Fit by squared error."""
        network = GraphConvolutions(
            len(self.space.vocabulary), x.shape[1], self.layers, self.width, self.head, self.global_vertex
        )
        generator = torch.Generator().manual_seed(self.seed)
        minimise(network, len(x), lambda rows: (network(x[rows]) - y[rows]).square().mean(), self.schedule, generator)
        return network


class GraphConvolutions(nn.Module):
    """`n x cells x v x (1 + v)` labels and edges to `n` outputs."""

    def __init__(self, labels: int, cells: int, layers: int, width: int, head: int, global_vertex: bool) -> None:
        super().__init__()
        self.labels, self.global_vertex = labels, global_vertex
        sizes = [labels + global_vertex, *[width] * layers]
        self.into = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.out = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.head = nn.Sequential(nn.Linear(cells * width, head), nn.ReLU(), nn.Linear(head, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions."""
        n, cells = x.shape[:2]
        states, adjacency, there = _graphs(x.reshape(n * cells, *x.shape[2:]), self.labels, self.global_vertex)
        loops = torch.eye(adjacency.shape[1]) * there[:, None, :].float()
        forth, back = adjacency.mT + loops, adjacency + loops
        forth, back = (one / one.sum(-1, keepdim=True).clamp_min(1) for one in (forth, back))
        for into, out, norm in zip(self.into, self.out, self.norms, strict=True):
            states = torch.relu(norm(forth @ into(states) + back @ out(states))) * there[..., None]
        pooled = states[:, -1] if self.global_vertex else states.sum(1) / there.sum(1, keepdim=True)
        outputs: Tensor = self.head(pooled.reshape(n, -1))[:, 0]
        return outputs


class GraphIsomorphisms(nn.Module):
    """Graph isomorphism networks (Xu et al. 2019, arXiv 1810.00826) as NAS-Bench-301 has them, with a global vertex.

    A vertex adds up what it reads and, by weights of their own, what reads it; the sum of all states is what a dense
    layer predicts from.

    Args:
        labels: Labels of vertices.
        cells: Of an architecture.
        layers: Convolutions.
        width: Of a vertex's state.
        dropout: Share of the states that is dropped after each.
    """

    def __init__(self, labels: int, cells: int, layers: int, width: int, dropout: float) -> None:
        # It takes seconds to import, and no other predictor needs it.
        from torch_geometric.nn.dense import DenseGINConv

        super().__init__()
        self.labels = labels
        sizes = list(itertools.pairwise([labels + 1, *[width] * layers]))
        self.forth = nn.ModuleList(DenseGINConv(_perceptron(a, b), train_eps=True) for a, b in sizes)
        self.back = nn.ModuleList(DenseGINConv(_perceptron(a, b), train_eps=True) for a, b in sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in sizes)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(nn.LayerNorm(cells * width), _perceptron(cells * width, width), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions of `n x cells x v x (1 + v)` labels and edges."""
        n, cells = x.shape[:2]
        states, adjacency, there = _graphs(x.reshape(n * cells, *x.shape[2:]), self.labels, True)
        for forth, back, norm in zip(self.forth, self.back, self.norms, strict=True):
            states = forth(states, adjacency.mT, there) + back(states, adjacency, there)
            states = self.dropout(torch.relu(norm(states))) * there[..., None]
        outputs: Tensor = self.head(states.sum(1).reshape(n, -1))[:, 0]
        return outputs


def _perceptron(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, b))


def _graphs(x: Tensor, labels: int, global_vertex: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Labels of `n x v x (1 + v)` as one-hot vectors, edges, and which vertices there are, with one that all feed."""
    ops, adjacency = x[..., 0].long(), x[..., 1:].float()
    there = ops >= 0
    if global_vertex:
        adjacency = nn.functional.pad(adjacency, (0, 1, 0, 1))
        adjacency[:, :-1, -1] = there.float()
        ops, there = nn.functional.pad(ops, (0, 1), value=labels), nn.functional.pad(there, (0, 1), value=True)
    states = nn.functional.one_hot(ops.clamp_min(0), labels + global_vertex).float() * there[..., None]
    return states, adjacency, there
