"""The encoder of D-VAE (Zhang et al. 2019, "D-VAE: A Variational Autoencoder for Directed Acyclic Graphs")."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DvaeEncoder(nn.Module):
    """Cells to the parameters of a Gaussian in latent space, vertex by vertex (Zhang et al. 2019, arXiv 1904.11088).

    A vertex waits for all its predecessors: `h_j = GRUCell(label_j, sum_i A_ij sigmoid(g(h_i)) m(h_i))` with linear `g`
    and `m`. A second sweep runs from the output against the edges. The states of the output in the first sweep and of
    the input in the second are the graph's. Any topological order gives the same result.

    Departure: the authors' program also feeds the predecessors' numbers to `g` and `m`, which fixes the most vertices
    and makes the result depend on the order.

    Args:
        vocabulary_size: Number of vertex labels.
        latent_dim: `d`.
        hidden: Width `h` of the vertex states.
    """

    def __init__(self, vocabulary_size: int, *, latent_dim: int = 56, hidden: int = 501) -> None:
        super().__init__()
        self.settings = {"latent_dim": latent_dim, "hidden": hidden}
        self.vocabulary_size = vocabulary_size
        self.along = _Sweep(vocabulary_size, hidden)
        self.against = _Sweep(vocabulary_size, hidden)
        self.unify = nn.Linear(2 * hidden, hidden)
        self.mu = nn.Linear(hidden, latent_dim)
        self.logvar = nn.Linear(hidden, latent_dim)

    def forward(self, ops: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            ops: `n x v` vocabulary codes in topological order, -1 for padding.
            adjacency: `n x v x v` edges as floats.

        Returns:
            `n x d` mean and log-variance.
        """
        labels = nn.functional.one_hot(ops.clamp(min=0), self.vocabulary_size).to(adjacency.dtype)
        outputs = (ops >= 0).sum(1) - 1
        rows = torch.arange(len(ops), device=ops.device)
        forward = self.along(labels, adjacency)[rows, outputs]
        # Padding comes first in the turned graph: it has no edges, so nothing hears of it.
        backward = self.against(labels.flip(1), adjacency.mT.flip(1, 2))[:, -1]
        graph = self.unify(torch.cat([forward, backward], dim=-1))
        return self.mu(graph), self.logvar(graph)


class _Sweep(nn.Module):
    """One pass over the vertices in topological order."""

    def __init__(self, labels: int, hidden: int) -> None:
        super().__init__()
        self.update = nn.GRUCell(labels, hidden)
        self.gate = nn.Linear(hidden, hidden)
        self.message = nn.Linear(hidden, hidden, bias=False)

    def forward(self, labels: Tensor, adjacency: Tensor) -> Tensor:
        """`n x v x k` one-hot labels and `n x v x v` edges to `n x v x h` states."""
        states = [self.update(labels[:, 0])]
        spoken: list[Tensor] = []
        for vertex in range(1, labels.shape[1]):
            spoken.append(self.gate(states[-1]).sigmoid() * self.message(states[-1]))
            heard = (adjacency[:, None, :vertex, vertex] @ torch.stack(spoken, dim=1))[:, 0]
            states.append(self.update(labels[:, vertex], heard))
        return torch.stack(states, dim=1)
