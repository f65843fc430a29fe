"""The graph network and encoder of SVGe, "Smooth Variational Graph Embeddings" (Lukasik et al. 2020), in dense batches.

Messages pass between all vertices at once, so nothing depends on the order of the vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class GatedRound(nn.Module):
    """One round in which every vertex hears from its predecessors at once.

    `m_j = sum_i A_ij (W [h_i, h_j] + b)`, then `h_j <- GRUCell(m_j, h_j)` with messages of twice the states' width.

    Args:
        width: Width of the states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.message = nn.Linear(2 * width, 2 * width)
        self.update = nn.GRUCell(2 * width, width)

    def merged(self) -> Tensor:
        """`3 width x (2 width + 1)`: the message's weights and bias followed by the GRU's input weights."""
        return self.update.weight_ih @ torch.cat([self.message.weight, self.message.bias[:, None]], dim=1)

    def forward(self, states: Tensor, adjacency: Tensor, merged: Tensor) -> Tensor:
        """`n x v x width` states and `n x v x v` edges to states; `merged` is passed in to be computed once.

        A message is linear in both its ends and so is what the GRU makes of it: predecessors are summed up first, at
        the price of one message a vertex, however many edges there are.
        """
        degree = adjacency.sum(-2)[..., None]
        heard = torch.cat([adjacency.mT @ states, degree * states, degree], dim=-1)
        gru = self.update
        updated = torch.gru_cell(
            heard.flatten(0, 1), states.flatten(0, 1), merged, gru.weight_hh, gru.bias_ih, gru.bias_hh
        )
        return updated.view_as(states)


class GatedGraphNetwork(nn.Module):
    """Rounds of message passing along the edges for half of the state and, with other weights, against them.

    Args:
        hidden: Width `h` of the vertex states, both halves together.
        rounds: Rounds in each direction.

    Raises:
        ValueError: if `hidden` is odd.
    """

    def __init__(self, hidden: int, rounds: int) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(f"Expected hidden to be even, as each direction has half of it, but got {hidden}")
        self.along = nn.ModuleList(GatedRound(hidden // 2) for _ in range(rounds))
        self.against = nn.ModuleList(GatedRound(hidden // 2) for _ in range(rounds))

    def merged(self) -> list[tuple[Tensor, Tensor]]:
        """`GatedRound.merged` of every round in both directions."""
        return [
            (cast(GatedRound, one).merged(), cast(GatedRound, other).merged())
            for one, other in zip(self.along, self.against, strict=True)
        ]

    def forward(self, states: Tensor, adjacency: Tensor, merged: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """`n x v x h` states and `n x v x v` edges to `n x v x h` states."""
        along, against = states.chunk(2, dim=-1)
        for one, other, weights in zip(self.along, self.against, merged, strict=True):
            along, against = one(along, adjacency, weights[0]), other(against, adjacency.mT, weights[1])
        return torch.cat([along, against], dim=-1)


class GatedSum(nn.Module):
    """The state of a graph: `sum_j sigmoid(g(h_j)) f(h_j)` with linear `f` and `g`, `g` a number a vertex."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, width)
        self.gate = nn.Linear(hidden, 1)

    def forward(self, states: Tensor, present: Tensor | None = None) -> Tensor:
        """`n x v x h` states, of which `n x v` marks count, to `n x width`."""
        gate = self.gate(states).sigmoid()
        if present is not None:
            gate = gate * present[..., None]
        total: Tensor = (gate.mT @ self.linear(states))[:, 0]
        return total


class SvgeEncoder(nn.Module):
    """Cells to the parameters of a Gaussian in latent space (Lukasik et al. 2020, arXiv 2010.04683).

    Nothing depends on the number or the order of the vertices, so relabelling does not change the result.

    Args:
        vocabulary_size: Number of vertex labels.
        latent_dim: `d`.
        hidden: Width `h` of the vertex states, an even number.
        rounds: Rounds of message passing in each direction.

    Raises:
        ValueError: if `hidden` is odd.
    """

    def __init__(self, vocabulary_size: int, *, latent_dim: int = 56, hidden: int = 250, rounds: int = 2) -> None:
        super().__init__()
        self.settings = {"latent_dim": latent_dim, "hidden": hidden, "rounds": rounds}
        self.network = GatedGraphNetwork(hidden, rounds)
        self.operation = nn.Embedding(vocabulary_size, hidden // 2)
        self.mu = GatedSum(hidden, latent_dim)
        self.logvar = GatedSum(hidden, latent_dim)

    def forward(self, ops: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            ops: `n x v` vocabulary codes, -1 for padding.
            adjacency: `n x v x v` edges as floats.

        Returns:
            `n x d` mean and log-variance.
        """
        start = self.operation(ops.clamp(min=0))
        states = self.network(torch.cat([start, start], dim=-1), adjacency, self.network.merged())
        present = (ops >= 0).to(states.dtype)
        return self.mu(states, present), self.logvar(states, present)
