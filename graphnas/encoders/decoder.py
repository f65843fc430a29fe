"""The decoder: a latent point to the derivation of a canonical cell, under the topology's exact masks.

Operations are scored from the state of the vertex under construction. An edge is scored from the states of both its
ends plus an interaction with the predecessors already chosen; there is no table with a row for each set of
predecessors, so the same weights serve any number of vertices. Where a vertex has exactly one predecessor, the same
scores of its candidates compete in one softmax.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graphnas.cell import BoolArray, CellArrays
from graphnas.encoders.positions import position_codes
from graphnas.spaces import Topology


class TrainingCells(NamedTuple):
    """Canonical cells as tensors, as the decoder derives them and as the encoder reads them, with masks."""

    ops: Tensor
    """`n x v` vocabulary codes of the decoder."""
    adjacency: Tensor
    """`n x v x v` edges."""
    read_ops: Tensor
    """`n x w` vocabulary codes of the encoder."""
    read_adjacency: Tensor
    """`n x w x w` edges."""
    op_masks: Tensor
    """`n x p x k` from `decision_masks`."""
    pair_masks: Tensor
    """`n x e` from `decision_masks`."""

    def take(self, rows: Tensor) -> TrainingCells:
        """The cells at the given rows."""
        return TrainingCells(*(part[rows] for part in self))

    def to(self, device: torch.device | str) -> TrainingCells:
        """The same on another device."""
        return TrainingCells(*(part.to(device) for part in self))


@dataclass(frozen=True)
class ScoredDecisions:
    """Which vertices and pairs of vertices the decisions of a topology need scores for."""

    vertices: Tensor
    """`p` vertices whose operation is decided."""
    targets: Tensor
    """`e` vertices that an edge may lead into, pairs in the order of the decisions."""
    sources: Tensor
    """`e` vertices that it may come from."""
    at: Tensor
    """`e` places of the targets among `vertices`."""
    alone: Tensor
    """`e`: whether exactly one of the target's pairs becomes an edge (a source decision)."""
    groups: Tensor
    """`s x m` pairs between which each source decision chooses; rows are filled up with their first pair."""
    group_size: Tensor
    """`s` numbers of choices."""

    @classmethod
    @functools.lru_cache(maxsize=64)
    def of(cls, topology: Topology, device: torch.device) -> ScoredDecisions:
        """The vertices and pairs of a topology, as tensors on a device."""
        vertices = [decision.vertex for decision in topology.decisions if decision.kind == "operation"]
        pairs: list[tuple[int, int, bool]] = []
        groups: list[list[int]] = []
        for decision in topology.decisions:
            if decision.kind != "operation":
                if decision.kind == "source":
                    groups.append([*range(len(pairs), len(pairs) + len(decision.codes))])
                pairs += [(decision.vertex, source, decision.kind == "source") for source in decision.codes]
        targets, sources, alone = torch.tensor(pairs, dtype=torch.long).reshape(-1, 3).T
        widest = max(map(len, groups), default=0)
        filled = [group + group[:1] * (widest - len(group)) for group in groups]
        return cls(
            vertices=torch.tensor(vertices, device=device),
            targets=targets.to(device),
            sources=sources.to(device),
            at=torch.tensor([vertices.index(target) for target, _, _ in pairs], dtype=torch.long, device=device),
            alone=alone.bool().to(device),
            groups=torch.tensor(filled, dtype=torch.long, device=device).reshape(len(groups), widest),
            group_size=torch.tensor([len(group) for group in groups], dtype=torch.long, device=device),
        )


class DerivationDecoder(nn.Module):
    """Scores of every decision of a derivation given `z` and the decisions before it.

    Args:
        vocabulary_size: Number of vertex labels; label 0 is the input, the others are what an operation decision
            chooses from.
        latent_dim: `d`.
        width: Width `h` of the states.
        pair: Width of the pointer and interaction terms of an edge.
    """

    def __init__(self, vocabulary_size: int, *, latent_dim: int = 32, width: int = 128, pair: int = 32) -> None:
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

    def _tables(self, place: Tensor) -> Tensor:
        """`(k v + 1) x 2 h`: what each label says at each place, and to its successors; the last row is padding's."""
        named = (self.operation.weight[:, None] + place[:, : self.width]).flatten(0, 1)
        table = torch.cat([named, self.predecessor(named)], dim=1)
        return torch.cat([table, table.new_zeros(1, 2 * self.width)])

    def _edge_logits(self, aim: Tensor, spoken: Tensor, chosen: Tensor) -> Tensor:
        """Logits of edges from what their target asks for, what their source says, and what earlier sources said.

        Args:
            aim: `batch_shape x 3 pair` of the targets.
            spoken: `batch_shape x 4 pair` of the sources.
            chosen: `batch_shape x pair` sum over the predecessors that the target has already.
        """
        query, asked, gate = aim.chunk(3, dim=-1)
        key, told, _, factor = spoken.chunk(4, dim=-1)
        hidden = nn.functional.gelu(asked + told + self.interaction(chosen))
        joint = (query * key + gate * factor * chosen).sum(-1)
        logits: Tensor = self.edge_score(hidden)[..., 0] + joint / self.pair**0.5
        return logits

    def forward(self, z: Tensor, ops: Tensor, adjacency: Tensor, scored: ScoredDecisions) -> tuple[Tensor, Tensor]:
        """Scores along the given derivations (teacher forcing), all steps at once.

        Args:
            z: `n x d` latent points.
            ops: `n x v` vocabulary codes in canonical order, -1 for padding.
            adjacency: `n x v x v` edges as floats.
            scored: What to score.

        Returns:
            `n x p x k` operation logits, over all labels but the first, and `n x e` logits of edges.
        """
        v = ops.shape[1]
        place = self.position(position_codes(v, self.width, device=z.device))
        table = self._tables(place)
        rows = torch.where(ops >= 0, ops * v + torch.arange(v, device=ops.device), table.shape[0] - 1)
        named, told = nn.functional.embedding(rows, table).chunk(2, dim=-1)
        states = nn.functional.gelu(named + adjacency.mT @ told)
        before = self.memory(states).cumsum(1)[:, scored.vertices - 1]
        context = self.context(self.latent(z)[:, None] + before + place[scored.vertices])
        aim = self.target(context) + self.target_op(ops[:, scored.vertices].clamp(min=0))
        spoken = self.source(states)
        # What the predecessors before i of j say when edge (i, j) is decided; a source decision is j's only one.
        earlier = torch.arange(v, device=z.device) < scored.sources[:, None]
        earlier = earlier & ~scored.alone[:, None]
        chosen = (adjacency.mT[:, scored.targets] * earlier) @ spoken[..., 2 * self.pair : 3 * self.pair]
        return self.op_score(context), self._edge_logits(aim[:, scored.at], spoken[:, scored.sources], chosen)

    def loss(self, z: Tensor, cells: TrainingCells, topology: Topology) -> Tensor:
        """Mean negative log-likelihood of the cells' derivations under the masks, in nats a cell.

        Args:
            z: `n x d` latent points.
            cells: The `n` cells.
            topology: Theirs.
        """
        scored = ScoredDecisions.of(topology, z.device)
        op_logits, pair_logits = self(z, cells.ops.long(), cells.adjacency.to(z.dtype), scored)
        return decision_loss(op_logits, pair_logits, cells, scored)

    @torch.no_grad()
    def derive(
        self,
        z: Tensor,
        topology: Topology,
        *,
        codes: Tensor | None = None,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> CellArrays:
        """Decode latent points under the topology's masks: every result is a legal cell.

        Args:
            z: `n x d` latent points.
            topology: Gives the decisions and their masks; may allow more vertices than were trained on.
            codes: For each label of the topology its code in the decoder's vocabulary; they are the same if None.
            sample: Draw every decision from its distribution; otherwise take the likeliest.
            generator: Source of the draws; the global one if None.

        Returns:
            The cells, their vertices in the order of the derivation.
        """
        n, v, device = z.shape[0], topology.max_vertices, z.device
        # The last one is padding's.
        named = torch.arange(len(topology.vocabulary), device=device) if codes is None else codes.to(device)
        named = torch.cat([named, named.new_full((1,), -1)])
        derivation = topology.start(n)
        place = self.position(position_codes(v, self.width, device=device))
        table = self._tables(place)
        latent = self.latent(z)
        told = torch.zeros(n, v, self.width, device=device)
        spoken = torch.zeros(n, v, 4 * self.pair, device=device)
        memory = torch.zeros(n, 2 * self.width, device=device)
        said = slice(2 * self.pair, 3 * self.pair)
        aim = chosen = context = z.new_zeros(0)
        finished, current = 0, -1
        for decision in topology.decisions:
            # Vertices before the one under construction enter the memory, those without a decision of their own too.
            for vertex in range(finished, decision.vertex):
                ops = named[torch.from_numpy(derivation.cells.ops[:, vertex]).to(device).long()]
                rows = torch.where(ops >= 0, ops * v + vertex, table.shape[0] - 1)
                state, told[:, vertex] = nn.functional.embedding(rows, table).chunk(2, dim=-1)
                if vertex:
                    fed = torch.from_numpy(derivation.cells.adjacency[:, :vertex, vertex]).to(z)
                    state = state + (fed[:, None] @ told[:, :vertex])[:, 0]
                state = nn.functional.gelu(state)
                memory = memory + self.memory(state)
                spoken[:, vertex] = self.source(state)
            finished = decision.vertex
            if decision.vertex != current:
                current = decision.vertex
                context = self.context(latent + memory + place[current])
            legal = torch.from_numpy(derivation.legal()).to(device)
            offered = torch.tensor(decision.codes, device=device)
            if decision.kind == "operation":
                labels = named[offered]
                choice = _choose(self.op_score(context)[:, labels - 1], legal, sample, generator)
                aim = self.target(context) + self.target_op(labels[choice])
                chosen = torch.zeros(n, self.pair, device=device)
            elif decision.kind == "edge":
                score = self._edge_logits(aim, spoken[:, decision.codes[0]], chosen)
                choice = _choose(torch.stack([torch.zeros_like(score), score], dim=-1), legal, sample, generator)
                chosen = chosen + choice[:, None] * spoken[:, decision.codes[0], said]
            else:
                scores = self._edge_logits(aim[:, None], spoken[:, offered], chosen[:, None])
                choice = _choose(scores, legal, sample, generator)
            derivation.choose(choice.cpu().numpy())
        return derivation.cells


def _choose(logits: Tensor, legal: Tensor, sample: bool, generator: torch.Generator | None) -> Tensor:
    logits = logits.masked_fill(~legal, -torch.inf)
    if not sample:
        return logits.argmax(-1)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def decision_masks(
    topology: Topology, arrays: CellArrays, codes: NDArray[np.int8] | None = None, size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Legal choices along the derivations of canonical cells.

    Args:
        topology: Theirs.
        arrays: The `n` cells.
        codes: For each label of the topology its code in the decoder's vocabulary; they are the same if None.
        size: Number `k + 1` of labels of that vocabulary; the topology's if None.

    Returns:
        `n x p x k` legal labels of the operation decisions, over all labels but the first, and `n x e` marks of pairs:
        of an edge decision, whether both choices are legal; of a source decision, whether the source is.
    """
    masks = topology.masks(topology.encode(arrays))
    size = len(topology.vocabulary) if size is None else size
    named = np.arange(size) if codes is None else codes
    operations: list[BoolArray] = []
    pairs: list[BoolArray] = [np.zeros((arrays.n, 0), dtype=bool)]
    for step, decision in enumerate(topology.decisions):
        legal = masks[:, step, : len(decision.choices)]
        if decision.kind == "operation":
            labels = np.zeros((arrays.n, size - 1), dtype=bool)
            labels[:, named[list(decision.codes)] - 1] = legal
            operations.append(labels)
        else:
            pairs.append(legal if decision.kind == "source" else (legal[:, :1] & legal[:, 1:]))
    return torch.from_numpy(np.stack(operations, axis=1)), torch.from_numpy(np.concatenate(pairs, axis=1))


def decision_loss(op_logits: Tensor, pair_logits: Tensor, cells: TrainingCells, scored: ScoredDecisions) -> Tensor:
    """Mean negative log-likelihood of the cells' derivations under the masks, in nats a cell.

    Args:
        op_logits: `n x p x k` from `DerivationDecoder.forward`.
        pair_logits: `n x e` from there.
        cells: The `n` cells.
        scored: What was scored.
    """
    n, last = cells.ops.shape[0], -torch.inf
    # A step beyond the end has one legal choice: its loss is zero.
    ops = cells.ops[:, scored.vertices].long()
    labels = torch.where(ops < 0, cells.op_masks.byte().argmax(-1), ops - 1)
    logits = op_logits.masked_fill(~cells.op_masks, last)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    edges = cells.adjacency[:, scored.sources, scored.targets]
    apart = ~scored.alone
    if apart.any():
        loss = loss + nn.functional.binary_cross_entropy_with_logits(
            pair_logits[:, apart],
            edges[:, apart].to(pair_logits.dtype),
            weight=cells.pair_masks[:, apart].to(pair_logits.dtype),
            reduction="sum",
        )
    if scored.groups.numel():
        filled = torch.arange(scored.groups.shape[1], device=pair_logits.device) >= scored.group_size[:, None]
        legal = cells.pair_masks[:, scored.groups] & ~filled
        logits = pair_logits[:, scored.groups].masked_fill(~legal, last)
        wanted = (edges[:, scored.groups] & ~filled).byte().argmax(-1)
        loss = loss + nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
    return loss / n
