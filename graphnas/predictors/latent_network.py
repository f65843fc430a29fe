"""An autoencoder's encoder and a head on its latent means, fitted to targets together."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from graphnas.encoders import CellAutoencoder
from graphnas.encoders.performance import EnsembleHead
from graphnas.predictors.graph_networks import GraphNetworkPredictor
from graphnas.predictors.learning import Schedule, minimise

_SCHEDULE = Schedule(epochs=200, batch_size=64, learning_rate=1e-3, cosine=True, largest_gradient=5.0)


class LatentNetworkPredictor(GraphNetworkPredictor):
    """SVGe's predictor (Lukasik et al. 2020, arXiv 2010.04683, Sec. 3.3): encoder and predictor are tuned jointly.

    The encoder starts as it was fitted without labels and moves by a tenth of the head's learning rate. In place of the
    paper's one perceptron the head is an ensemble of small ones.

    Args:
        encoder: A fitted autoencoder; it stays as it is.
        members: Perceptrons of the head.
        schedule: Of the fit.
        seed: Of initial weights and the order of rows.
    """

    def __init__(
        self, encoder: CellAutoencoder, *, members: int = 8, schedule: Schedule = _SCHEDULE, seed: int = 0
    ) -> None:
        super().__init__(encoder.space, schedule=schedule, seed=seed)
        self.encoder, self.members = encoder, members

    def learn(self, x: Tensor, y: Tensor) -> nn.Module:
        """Fit by squared error of each member."""
        network = _Joint(self.encoder, self.members)
        generator = torch.Generator().manual_seed(self.seed)

        def loss(rows: Tensor) -> Tensor:
            errors: Tensor = network(x[rows]) - y[rows]
            return errors.square().mean(1).sum()

        minimise(network, len(x), loss, self.schedule, generator, slowly=network.body)
        return network


class _Joint(nn.Module):
    """`n x cells x v x (1 + v)` labels and edges to `members x n` outputs."""

    def __init__(self, encoder: CellAutoencoder, members: int) -> None:
        super().__init__()
        self.body = copy.deepcopy(encoder.encoder)
        self.register_buffer("shift", encoder.shift.clone())
        self.register_buffer("scale", encoder.scale.clone())
        self.head = EnsembleHead(encoder.latent_dim, members=members)

    def forward(self, x: Tensor) -> Tensor:
        n, cells = x.shape[:2]
        flat = x.reshape(n * cells, *x.shape[2:])
        mu, _ = self.body(flat[..., 0].long(), flat[..., 1:].float())
        means, _ = self.head.members(((mu - self.shift) / self.scale).reshape(n, -1))
        outputs: Tensor = means
        return outputs
