"""What an autoencoder is fitted to: the evidence lower bound, and what a graph says about itself without any label."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphnas.encoders.autoencoder import CellAutoencoder, kl_to_standard_normal
from graphnas.encoders.decoder import TrainingCells
from graphnas.spaces import Space


@dataclass(frozen=True)
class Recipe:
    """How an autoencoder is fitted; the defaults are those of the default model."""

    batch_size: int = 512
    """Cells a step."""
    learning_rate: float = 3e-3
    """Adam's step size, its peak where the schedule is one-cycle."""
    schedule: Literal["one_cycle", "plateau"] = "one_cycle"
    """`one_cycle`: step size and the KL's weight warm up over a tenth of the run, the step size then follows a cosine
    to zero; gradients are clipped to norm 1, and Adam forgets faster (second beta 0.98). `plateau`, SVGe's: constant, a
    tenth of it when the loss of an epoch has not fallen for ten epochs, and none of the rest."""
    noise: float = 1.0
    """Factor of the posterior's standard deviation when `z` is drawn."""
    beta: float = 0.02
    """Weight of the KL divergence (nats a cell)."""
    auxiliary: float = 8.0
    """Weight of the squared error of the label-free targets, predicted linearly from `z` and summed over them."""
    metric: float = 3.0
    """Weight of how far distances between latent means are from proportional to those between cells."""
    edits: float = 0.72
    """Share of the edit distance in the squared distance between cells, against that between targets; where cells are
    too large for an exact edit distance, targets alone count."""
    places: float = 0.2
    """Size of the labels and edges by place among the targets, against that of the graph's statistics."""
    reconstruction: float = 1.0
    """Weight of all of the above against the performance head."""
    performance: float = 1.0
    """Weight of the performance head's loss on labelled cells."""

    def __post_init__(self) -> None:
        if self.schedule not in ("one_cycle", "plateau"):
            raise ValueError(f"Expected schedule to be one_cycle or plateau, but got {self.schedule!r}")
        if self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(
                f"Expected batch_size and learning_rate to be positive, but got {self.batch_size} and "
                f"{self.learning_rate}"
            )

    @classmethod
    def for_space(cls, space: Space) -> Recipe:
        """The default recipe with what the space's file says otherwise."""
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = {key: float(value) for key, value in space.encoder.items() if key in known}
        return cls(**given)


SVGE = Recipe(
    batch_size=32,
    learning_rate=1e-4,
    schedule="plateau",
    noise=0.01,
    # The published 0.005 multiplies a KL summed over the batch of 32, while the reconstruction is its mean.
    beta=0.005 * 32,
    auxiliary=0.0,
    metric=0.0,
)
"""The published recipe of SVGe (Lukasik et al. 2020, arXiv 2010.04683), but for its length: 300 epochs."""

SVGE_FINE_TUNING = replace(SVGE, learning_rate=1e-3, reconstruction=0.1, performance=0.9)
"""How SVGe fine-tunes a fitted encoder and decoder together with its predictor on labelled cells; here labels are
standardised, where the published program predicts raw accuracies, and every step takes labelled cells beside a batch
of any cells, where it takes labelled cells alone."""

TERMS = ("loss", "reconstruction_nats", "kl_nats", "auxiliary_error", "metric_error", "performance_loss")
"""Names of what `Objective` returns."""


class Objective(nn.Module):
    """The loss of a batch, as one module that can be compiled or wrapped for several devices.

    Args:
        model: The autoencoder.
        recipe: Weights of the terms.
        targets: Number of label-free targets.
    """

    def __init__(self, model: CellAutoencoder, recipe: Recipe, targets: int) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        # A linear map, so that the latent space takes the shape of the targets instead of only containing them.
        self.head = nn.Linear(model.cell_dim, targets) if recipe.auxiliary else None

    def forward(
        self,
        cells: TrainingCells,
        targets: Tensor,
        noise: Tensor,
        warm: Tensor,
        edits: Tensor | None = None,
        labelled: TrainingCells | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Weighted and single terms.

        Args:
            cells: `n` cells.
            targets: `n x t` label-free targets.
            noise: `n x d` standard normal draws.
            warm: Share of the KL's weight that is in force, 0 to 1.
            edits: Edit distances of the first half of the cells from the second half; None where they are not known.
            labelled: Cells with a label, those of one architecture in consecutive rows; none without a performance
                head.
            labels: Their standardised labels, one for each architecture.

        Returns:
            The six `TERMS`; all but the first without gradients.
        """
        recipe, model = self.recipe, self.model
        _, bound, parts = self.bound(cells, targets, noise, warm, edits)
        performance = bound.new_zeros(())
        if labelled is not None and labels is not None and model.performance is not None:
            means = model.encoder(labelled.read_ops.long(), labelled.read_adjacency.to(noise.dtype))[0]
            performance = model.performance.loss(means.float().reshape(len(labels), -1), labels)
        loss = recipe.reconstruction * bound + recipe.performance * performance
        return torch.cat([loss[None], parts, performance.detach()[None]])

    def bound(
        self, cells: TrainingCells, targets: Tensor, noise: Tensor, warm: Tensor, edits: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is fitted without labels; arguments as of `forward`.

        Returns:
            `n x d` latent points as drawn, the weighted sum, and `TERMS` from the second to the fifth, without
            gradients.
        """
        recipe, model = self.recipe, self.model
        mu, logvar = model.encoder(cells.read_ops.long(), cells.read_adjacency.to(noise.dtype))
        # Differences of nearly equal numbers follow, which half precision would lose.
        mu, logvar = mu.float(), logvar.float()
        z = mu + recipe.noise * noise * (logvar / 2).exp()
        nll = model.decoder.loss(z, cells, model.space.topology)
        kl = kl_to_standard_normal(mu, logvar).sum(-1).mean()
        zero = nll.new_zeros(())
        auxiliary = zero if self.head is None else (self.head(z) - targets).square().sum(-1).mean()
        metric = metric_error(mu, logvar, self._distances(targets, edits)) if recipe.metric else zero
        total = nll + recipe.beta * warm * kl + recipe.auxiliary * auxiliary + recipe.metric * metric
        return z, total, torch.stack([nll, kl, auxiliary, metric]).detach()

    def _distances(self, targets: Tensor, edits: Tensor | None) -> Tensor:
        """Distances of the first half of the cells from the second half."""
        half = len(targets) // 2
        squared = (targets[:half] - targets[half : 2 * half]).square().sum(1)
        if edits is None:
            return squared.sqrt()
        # In a cube of decisions the squared distance is the number of those that differ.
        share = self.recipe.edits
        mixed = (1 - share) * squared / squared.mean().clamp(min=1e-9) + share * edits / edits.mean().clamp(min=1e-9)
        return mixed.sqrt()


def metric_error(mu: Tensor, logvar: Tensor, wanted: Tensor) -> Tensor:
    """How far distances between latent means are from proportional to given ones.

    `(1 - (a . b)^2 / (|a|^2 |b|^2)) / (var(b) / mean(b^2))` of both distances over the pairs of a cell of the first
    half of the batch with one of the second: 0 where they are proportional, 1 where the latent distances are all the
    same. Latents are compared as they will be standardised. It is 0 where there are fewer than two pairs, or all given
    distances are the same.

    Args:
        mu: `n x d` means.
        logvar: `n x d` log-variances.
        wanted: `n / 2` distances.
    """
    half = len(wanted)
    if half < 2:
        return mu.new_zeros(())
    mu = mu / (mu.var(0) + logvar.exp().mean(0)).sqrt()
    latent = ((mu[:half] - mu[half : 2 * half]).square().sum(1) + 1e-6).sqrt()
    size = latent.square().sum() * wanted.square().sum()
    apart = 1 - (latent * wanted).sum().square() / size.clamp(min=1e-12)
    share = wanted.var(unbiased=False) / wanted.square().mean().clamp(min=1e-12)
    # Cells that are all equally far apart say nothing about the shape.
    return torch.where(share > 1e-4, apart / share.clamp(min=1e-4), 0.0)
