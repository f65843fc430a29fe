"""Performance heads: from a latent point to the performance of its architecture, differentiable."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

LARGEST_LABEL = 1e15
"""Labels are at most so large, and their standard deviation is 0 or at least the reciprocal, that variances stay finite
in single precision."""


class PerformanceHead(nn.Module, ABC):
    """From latent points to the mean and the variance of a label.

    Inside, labels are standardised: mean 0 and variance 1 over those learned from.
    """

    settings: dict[str, Any]
    """Keyword arguments that make the same head again."""

    def __init__(self) -> None:
        super().__init__()
        self.label_mean: Tensor
        self.label_std: Tensor
        self.variance_factor: Tensor
        self.register_buffer("label_mean", torch.zeros(()))
        self.register_buffer("label_std", torch.ones(()))
        self.register_buffer("variance_factor", torch.ones(()))

    @abstractmethod
    def standardised(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`n x d` latent points to `n` means and variances of standardised labels."""

    @abstractmethod
    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        """Loss at `n x d` latent points of `n` standardised labels."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`n x d` latent points to `n` means and variances, in the units of the labels."""
        mean, variance = self.standardised(z)
        return mean * self.label_std + self.label_mean, variance * self.variance_factor * self.label_std.square()

    @torch.no_grad()
    def calibrate(self, z: Tensor, labels: Tensor) -> None:
        """Multiply all variances such that squared errors on labels that were not learned from are as large on average.

        A head that claims no variances keeps that.

        Args:
            z: `n x d` latent points.
            labels: `n` standardised labels.
        """
        mean, variance = self.standardised(z)
        if bool((variance > 0).all()):
            self.variance_factor.fill_(float(((labels - mean).square() / variance).mean().clamp(min=1e-3)))


class EnsembleHead(PerformanceHead):
    """A deep ensemble on the latent mean: small MLPs, each with a mean and a variance (Lakshminarayanan et al. 2017).

    The ensemble's variance is the members' own plus the spread of their means, so it grows away from labelled cells.

    Args:
        latent_dim: `d` of an architecture.
        members: Number of MLPs.
        hidden: Width of their two hidden layers.
    """

    def __init__(self, latent_dim: int, *, members: int = 8, hidden: int = 64) -> None:
        super().__init__()
        self.settings = {"members": members, "hidden": hidden}
        widths = [latent_dim, hidden, hidden, 2]
        self.weights = nn.ParameterList(
            torch.randn(members, wide, narrow) / math.sqrt(wide) for wide, narrow in itertools.pairwise(widths)
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, narrow) for narrow in widths[1:])

    def members(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`n x d` points to `members x n` means and log-variances."""
        states = z.expand(len(self.weights[0]), *z.shape)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            states = torch.baddbmm(bias, states, weight)
            if number < len(self.weights) - 1:
                states = nn.functional.silu(states)
        return states[..., 0], states[..., 1].clamp(-8.0, 4.0)

    def standardised(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        means, logvars = self.members(z)
        return means.mean(0), logvars.exp().mean(0) + means.var(0, unbiased=False)

    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        """Mean negative log-likelihood of `n` standardised labels, in nats a label, over the members."""
        means, logvars = self.members(z)
        return ((means - labels).square() / (2 * logvars.exp()) + logvars / 2).mean()


class MlpHead(PerformanceHead):
    """SVGe's predictor: linear layers of halving width with ReLU on the latent mean; squared error.

    It knows nothing of its uncertainty: its variances are 0, which is not to say that it is sure.

    Args:
        latent_dim: `d` of an architecture.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.settings = {}
        widths = [latent_dim, *(max(latent_dim // part, 1) for part in (2, 4, 8))]
        layers: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def standardised(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class; the variances are zero."""
        mean = self.layers(z)[..., 0]
        return mean, torch.zeros_like(mean)

    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of `n` standardised labels."""
        return (self.standardised(z)[0] - labels).square().mean()
