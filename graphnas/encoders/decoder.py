"""The decoder: a latent point to the derivation of a canonical cell, under the topology's exact masks.

Operations are scored from the state of the vertex under construction. An edge is scored from the states of both its
ends plus an interaction with the predecessors already chosen; there is no table with a row for each set of
predecessors, so the same weights serve any number of vertices.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.cell import CellArrays
from graphnas.encoders.positions import position_codes
from graphnas.spaces import Topology


@functools.lru_cache(maxsize=64)
def _pairs(v: int) -> tuple[Tensor, Tensor]:
    """Targets and sources of all edges `(i, j)` with `i < j`, target by target."""
    targets, sources = torch.tril_indices(v, v, -1)
    return targets, sources


class DerivationDecoder(nn.Module):
    """Scores of every decision of a derivation given `z` and the decisions before it.

    Args:
        vocabulary_size: Number of vertex labels; label 0 is the input, the others are what an operation decision
            chooses from.
        latent_dim: `d`.
        width: Width `h` of the states.
        pair: Width of the pointer and interaction terms of an edge.
    """

    def __init__(self, vocabulary_size: int, *, latent_dim: int = 32, width: int = 192, pair: int = 48) -> None:
        super().__init__()
        self.settings = {"latent_dim": latent_dim, "width": width, "pair": pair}
        self.width, self.pair = width, pair
        self.operation = nn.Embedding(vocabulary_size, width)
        self.position = nn.Linear(width, 2 * width, bias=False)
        self.predecessor = nn.Linear(width, width, bias=False)
        self.latent = nn.Linear(latent_dim, 2 * width)
        self.memory = nn.Linear(width, 2 * width)
        self.context = nn.Sequential(
            nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.op_score = nn.Linear(width, vocabulary_size - 1)
        self.target = nn.Linear(width, 3 * pair)
        self.target_op = nn.Embedding(vocabulary_size, 3 * pair)
        self.source = nn.Linear(width, 4 * pair)
        self.interaction = nn.Linear(pair, pair, bias=False)
        self.edge_score = nn.Linear(pair, 1)

    def _vertices(self, ops: Tensor, adjacency: Tensor, place: Tensor) -> Tensor:
        """`n x v x h` states of finished vertices: operation, place, and the same of the predecessors."""
        named = self.operation(ops.clamp(min=0)) + place[..., : self.width]
        return nn.functional.gelu(named + adjacency.mT @ self.predecessor(named))

    def forward(self, z: Tensor, ops: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """Scores along the given derivations (teacher forcing), all steps at once.

        Args:
            z: `n x d` latent points.
            ops: `n x v` vocabulary codes in canonical order, -1 for padding.
            adjacency: `n x v x v` edges as floats.

        Returns:
            `n x (v - 1) x (k)` operation logits of the vertices 1 to `v - 1`, over all labels but the first, and
            `n x e` logits of the edges, target by target.
        """
        v = ops.shape[1]
        place = self.position(position_codes(v, self.width, device=z.device))
        states = self._vertices(ops, adjacency, place)
        memory = self.memory(states).cumsum(1)
        context = self.context(self.latent(z)[:, None] + memory[:, :-1] + place[1:])
        op_logits = self.op_score(context)
        aim = self.target(context) + self.target_op(ops[:, 1:].clamp(min=0))
        query, asked, gate = aim.chunk(3, dim=-1)
        key, told, weight, factor = self.source(states).chunk(4, dim=-1)
        targets, sources = _pairs(v)
        # n x v x v x v @ n x 1 x v x pair: what the predecessors i' < i of j say when the edge (i, j) is decided.
        earlier = adjacency.mT[:, :, None, :] * torch.ones(v, v, device=z.device).tril(-1)
        chosen = (earlier[:, targets, sources] @ weight).contiguous()
        hidden = nn.functional.gelu(asked[:, targets - 1] + told[:, sources] + self.interaction(chosen))
        pointer = (query[:, targets - 1] * key[:, sources]).sum(-1)
        interaction = (gate[:, targets - 1] * factor[:, sources] * chosen).sum(-1)
        edge_logits = self.edge_score(hidden)[..., 0] + (pointer + interaction) / self.pair**0.5
        return op_logits, edge_logits

    def derive(
        self, z: Tensor, topology: Topology, *, sample: bool = False, generator: torch.Generator | None = None
    ) -> CellArrays:
        """Decode latent points under the topology's masks: every result is a legal cell.

        Args:
            z: `n x d` latent points.
            topology: Gives the decisions and their masks; may allow more vertices than were trained on.
            sample: Draw every decision from its distribution; otherwise take the likeliest.
            generator: Source of the draws; the global one if None.

        Returns:
            The cells, their vertices in the order of the derivation.
        """
        n, v = z.shape[0], topology.max_vertices
        device = z.device
        derivation = topology.start(n)
        place = self.position(position_codes(v, self.width, device=device))
        latent = self.latent(z)
        ops = torch.zeros(n, dtype=torch.long, device=device)
        named = torch.zeros(n, v, self.width, device=device)
        parents = torch.zeros(n, v, device=device)
        memory = torch.zeros(n, 2 * self.width, device=device)
        spoken = torch.zeros(n, v, 4 * self.pair, device=device)
        query = asked = gate = chosen = z.new_zeros(n, self.pair)
        context = z.new_zeros(n, self.width)

        def finish(vertex: int) -> None:
            """Enter a finished vertex into the memory."""
            nonlocal memory
            named[:, vertex] = self.operation(ops) + place[vertex, : self.width]
            heard = (parents[:, None, :vertex] @ self.predecessor(named[:, :vertex]))[:, 0] if vertex else 0.0
            state = nn.functional.gelu(named[:, vertex] + heard)
            memory = memory + self.memory(state)
            spoken[:, vertex] = self.source(state)

        finish(0)
        current = 0
        for decision in topology.decisions:
            legal = torch.from_numpy(derivation.legal()).to(device)
            if decision.vertex != current:
                if current:
                    finish(current)
                current = decision.vertex
                context = self.context(latent + memory + place[current])
            if decision.source is None:
                choice = _choose(self.op_score(context), legal, sample, generator)
                ops = choice + 1
                query, asked, gate = (self.target(context) + self.target_op(ops)).chunk(3, dim=-1)
                parents = torch.zeros(n, v, device=device)
                chosen = torch.zeros(n, self.pair, device=device)
            else:
                key, told, weight, factor = spoken[:, decision.source].chunk(4, dim=-1)
                hidden = nn.functional.gelu(asked + told + self.interaction(chosen))
                joint = ((query * key).sum(-1) + (gate * factor * chosen).sum(-1)) / self.pair**0.5
                score = self.edge_score(hidden)[..., 0] + joint
                choice = _choose(torch.stack([torch.zeros_like(score), score], dim=-1), legal, sample, generator)
                parents[:, decision.source] = choice.to(z.dtype)
                chosen = chosen + choice[:, None] * weight
            derivation.choose(choice.cpu().numpy())
        return derivation.arrays()


def _choose(logits: Tensor, legal: Tensor, sample: bool, generator: torch.Generator | None) -> Tensor:
    logits = logits.masked_fill(~legal, -torch.inf)
    if not sample:
        return logits.argmax(-1)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def decision_masks(topology: Topology, arrays: CellArrays) -> tuple[Tensor, Tensor]:
    """Legal choices along the derivations of canonical cells.

    Returns:
        `n x (v - 1) x k` masks of the operation decisions and `n x e` marks of the edges that are free, that is where
        both choices are legal.
    """
    decisions = topology.encode(arrays)
    masks = topology.masks(decisions)
    op_steps = np.array([decision.source is None for decision in topology.decisions])
    edges = masks[:, ~op_steps]
    return torch.from_numpy(masks[:, op_steps]), torch.from_numpy(edges[..., 0] & edges[..., 1])
