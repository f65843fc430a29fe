"""The graph encoder: message passing over the DAG beside a sum over places, both for any number of vertices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphnas.encoders.positions import position_codes

_CODES = 32  # width of the codes of places


class MessagePassing(nn.Module):
    """One residual round: every vertex hears from its predecessors and, apart from them, from its successors.

    `h_j <- h_j + MLP(norm(h_j + W_in sum_i A_ij h_i + W_out sum_i A_ji h_i))`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.messages = nn.Linear(width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.update = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, states: Tensor, adjacency: Tensor) -> Tensor:
        """`n x v x h` states and `n x v x v` edges to `n x v x h` states."""
        forward, backward = self.messages(states).chunk(2, dim=-1)
        heard = adjacency.mT @ forward + adjacency @ backward
        result: Tensor = states + self.update(self.norm(states + heard))
        return result


class VertexBranch(nn.Module):
    """Rounds of message passing, then one sum over the vertices, each gated by its place.

    The first round is a table look-up: before it a state depends on label and place alone, so its messages are
    computed once for all pairs of these.
    """

    def __init__(self, vocabulary_size: int, *, width: int, rounds: int, readout: int) -> None:
        super().__init__()
        self.operation = nn.Embedding(vocabulary_size, width)
        self.position = nn.Linear(_CODES, width, bias=False)
        self.messages = nn.Linear(width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.rounds = nn.ModuleList(MessagePassing(width) for _ in range(rounds - 1))
        self.vertex = nn.Linear(width, readout)
        # The place multiplies the vertex's state, which keeps the vertices apart in the sum over them.
        self.gate = nn.Linear(_CODES, readout)

    def forward(self, rows: Tensor, adjacency: Tensor, codes: Tensor) -> Tensor:
        """`n x v` rows of the table of labels and places, the last one for padding, to `n x readout` sums."""
        table = (self.operation.weight[:, None] + self.position(codes)).flatten(0, 1)
        table = torch.cat([torch.cat([table, self.messages(table)], dim=1), table.new_zeros(1, 3 * table.shape[1])])
        # The embedding's backward pass adds up by rows, which is faster than that of plain indexing.
        states, forward, backward = nn.functional.embedding(rows, table).chunk(3, dim=-1)
        states = nn.functional.gelu(self.norm(states + adjacency.mT @ forward + adjacency @ backward))
        for layer in self.rounds:
            states = layer(states, adjacency)
        gates = self.gate(codes) * (rows < table.shape[0] - 1)[:, :, None]
        summed: Tensor = (nn.functional.gelu(self.vertex(states)) * gates).sum(1)
        return summed


class PlaceBranch(nn.Module):
    """A sum of one vector for each label at its place and one for each edge between two places.

    It sees the whole graph at once, as an MLP on the one-hot graph does, but its weights are functions of the places.
    """

    def __init__(self, vocabulary_size: int, *, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.labels = vocabulary_size
        self.of_vertex = nn.Sequential(nn.Linear(_CODES + vocabulary_size, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.of_edge = nn.Sequential(nn.Linear(2 * _CODES, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, rows: Tensor, adjacency: Tensor, codes: Tensor) -> Tensor:
        """`n x v` rows of the table of labels and places, the last one for padding, to `n x width` sums."""
        v, k = len(codes), self.labels
        labels = torch.eye(k, device=codes.device)[:, None].expand(k, v, k)
        vertices = self.of_vertex(torch.cat([labels, codes.expand(k, v, _CODES)], dim=-1)).flatten(0, 1)
        ends = torch.cat([codes[:, None].expand(v, v, _CODES), codes.expand(v, v, _CODES)], dim=-1)
        edges = self.of_edge(ends).flatten(0, 1)
        present = adjacency.new_zeros(len(rows), k * v + 1).scatter_(1, rows, 1.0)[:, :-1]
        return nn.functional.gelu(torch.cat([present, adjacency.flatten(1)], dim=1) @ torch.cat([vertices, edges]))


class GraphEncoder(nn.Module):
    """Cells in canonical order to the parameters of a Gaussian in latent space.

    Two branches meet in one MLP: message passing, which generalises, and the sum over places, which tells every two
    cells apart at once. Canonical order is a function of the isomorphism class, so the encoder is invariant to
    relabelling. No weight depends on the number of vertices.

    Args:
        vocabulary_size: Number of vertex labels.
        latent_dim: `d`.
        width: Width `h` of the vertex states.
        rounds: Rounds of message passing, the first included.
        readout: Width of the sum over the vertices' states; no message passing if 0.
        places: Width of the sum over places; none if 0.
        graph: Width of the graph state.

    Raises:
        ValueError: if there is neither branch, or no round of message passing.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        latent_dim: int = 32,
        width: int = 64,
        rounds: int = 2,
        readout: int = 128,
        places: int = 384,
        graph: int = 384,
    ) -> None:
        super().__init__()
        if readout + places < 1 or rounds < 1:
            raise ValueError(
                f"Expected a branch (readout or places) and a round or more, but got {readout=}, {places=}, {rounds=}"
            )
        self.settings = {
            "latent_dim": latent_dim,
            "width": width,
            "rounds": rounds,
            "readout": readout,
            "places": places,
            "graph": graph,
        }
        self.branches = nn.ModuleList()
        if readout:
            self.branches.append(VertexBranch(vocabulary_size, width=width, rounds=rounds, readout=readout))
        if places:
            self.branches.append(PlaceBranch(vocabulary_size, width=places))
        self.labels = vocabulary_size
        self.graph = nn.Sequential(
            nn.LayerNorm(readout + places),
            nn.Linear(readout + places, graph),
            nn.GELU(),
            nn.Linear(graph, graph),
            nn.GELU(),
        )
        self.mu = nn.Linear(graph, latent_dim)
        self.logvar = nn.Linear(graph, latent_dim)
        nn.init.constant_(self.logvar.bias, -3.0)

    def forward(self, ops: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            ops: `n x v` vocabulary codes in canonical order, -1 for padding.
            adjacency: `n x v x v` edges as floats.

        Returns:
            `n x d` mean and log-variance.
        """
        v = ops.shape[1]
        codes = position_codes(v, _CODES, device=ops.device)
        rows = torch.where(ops >= 0, ops * v + torch.arange(v, device=ops.device), self.labels * v)
        graph = self.graph(torch.cat([branch(rows, adjacency, codes) for branch in self.branches], dim=1))
        return self.mu(graph), self.logvar(graph).clamp(-12.0, 6.0)
