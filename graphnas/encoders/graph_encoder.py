"""The graph encoder: message passing over the DAG in both directions, then one gated sum over the vertices."""

from __future__ import annotations

from torch import Tensor, nn

from graphnas.encoders.positions import position_codes


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


class GraphEncoder(nn.Module):
    """Cells in canonical order to the parameters of a Gaussian in latent space.

    A vertex starts as its operation, its place in canonical order, and the same of its neighbours. Canonical order is
    a function of the isomorphism class, so the encoder is invariant to relabelling. No weight depends on the number
    of vertices.

    Args:
        vocabulary_size: Number of vertex labels.
        latent_dim: `d`.
        width: Width `h` of the vertex states.
        rounds: Rounds of message passing.
        readout: Width of the graph state.
    """

    def __init__(
        self, vocabulary_size: int, *, latent_dim: int = 32, width: int = 128, rounds: int = 2, readout: int = 384
    ) -> None:
        super().__init__()
        self.settings = {"latent_dim": latent_dim, "width": width, "rounds": rounds, "readout": readout}
        self.width = width
        self.operation = nn.Embedding(vocabulary_size, width)
        self.position = nn.Linear(width, width, bias=False)
        self.rounds = nn.ModuleList(MessagePassing(width) for _ in range(rounds))
        self.vertex = nn.Linear(width, readout)
        # The place multiplies the vertex's state, which keeps the vertices apart in the sum over them.
        self.gate = nn.Linear(width, readout)
        self.graph = nn.Sequential(nn.LayerNorm(readout), nn.Linear(readout, readout), nn.GELU())
        self.mu = nn.Linear(readout, latent_dim)
        self.logvar = nn.Linear(readout, latent_dim)
        nn.init.constant_(self.logvar.bias, -3.0)

    def forward(self, ops: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            ops: `n x v` vocabulary codes in canonical order, -1 for padding.
            adjacency: `n x v x v` edges as floats.

        Returns:
            `n x d` mean and log-variance.
        """
        place = position_codes(ops.shape[1], self.width, device=ops.device)
        present = (ops >= 0).to(adjacency.dtype)[:, :, None]
        states = (self.operation(ops.clamp(min=0)) + self.position(place)) * present
        for layer in self.rounds:
            states = layer(states, adjacency)
        vertices = nn.functional.gelu(self.vertex(states)) * self.gate(place) * present
        graph = self.graph(vertices.sum(1))
        return self.mu(graph), self.logvar(graph).clamp(-12.0, 6.0)
