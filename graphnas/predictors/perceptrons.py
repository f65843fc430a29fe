"""Perceptrons on encodings: one, and ensembles."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from graphnas.predictors.encodings import Encoding
from graphnas.predictors.learning import NetworkPredictor, Schedule, minimise
from graphnas.predictors.protocol import Architectures
from graphnas.spaces import Space

_SCHEDULE = Schedule(epochs=500, batch_size=32, learning_rate=1e-3, betas=(0.9, 0.99))


class Perceptrons(nn.Module):
    """Several rectified perceptrons at once: `n x f` features to `members x n` outputs.

    Args:
        members: How many there are.
        widths: Of the features, the hidden layers and the output.
    """

    def __init__(self, members: int, widths: list[int]) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.weights = nn.ParameterList(
            torch.randn(members, before, after) * (2 / before) ** 0.5 for before, after in pairs
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, after) for _, after in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of all members."""
        hidden = x.expand(len(self.weights[0]), *x.shape)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, torch.relu(hidden) if number else hidden, weight)
        return hidden[..., 0]


class PerceptronPredictor(NetworkPredictor):
    """Perceptrons of 20 layers of 20 units with mean absolute error, as White et al. 2021 fit them, but for a penalty.

    Args:
        space: Space of the architectures.
        encode: Their features.
        members: Perceptrons that differ in their first weights, three in BANANAS (White et al. 2021, arXiv 1910.11858);
            one alone does not say how sure it is.
        layers: Hidden layers.
        width: Of a hidden layer.
        schedule: Of the fit.
        seed: Of initial weights and the order of rows.
    """

    def __init__(
        self,
        space: Space,
        encode: Encoding,
        *,
        members: int = 1,
        layers: int = 20,
        width: int = 20,
        schedule: Schedule = _SCHEDULE,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed=seed)
        self.encode, self.members, self.hidden, self.schedule = encode, members, [width] * layers, schedule

    def inputs(self, architectures: Architectures) -> Tensor:
        """`n x f` features."""
        return torch.from_numpy(self.encode(architectures)).float()

    def learn(self, x: Tensor, y: Tensor) -> nn.Module:
        """Fit all members to the same batches."""
        network = Perceptrons(self.members, [x.shape[1], *self.hidden, 1])
        generator = torch.Generator().manual_seed(self.seed)
        minimise(
            network, len(x), lambda rows: (network(x[rows]) - y[rows]).abs().mean(1).sum(), self.schedule, generator
        )
        return network if self.members > 1 else _Only(network)


class _Only(nn.Module):
    """The output of a single member."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(x)[0]
        return outputs
