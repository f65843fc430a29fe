"""What searches in the latent space of an autoencoder share: latent means, points around the best, constraints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from botorch.models.model import Model
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.encoders.protocol import Encoder
from graphnas.predictors.gaussian_process import fit_gaussian_process
from graphnas.predictors.metric import MetricEncoder
from graphnas.predictors.posterior import Posterior
from graphnas.search.candidates import Candidates, CandidateSource
from graphnas.search.sampler import CandidateList, CellSampler, History, Proposal
from graphnas.spaces import Space

_SPREAD_OF = 256  # random architectures that show how far each latent dimension spreads


class LatentSampler(CellSampler):
    """Base of samplers that judge candidates by models of latent points.

    Args:
        space: The space to search.
        encoder: Encodes and decodes its architectures.
        predictor: Fits a BoTorch model with one outcome to `n x d` latent points and `n x 1` outcomes in double
            precision; an isotropic Gaussian process if None.
        metric: Whether latent points are given in the coordinates of `MetricEncoder`, in which directions count by what
            they say of a cell's structure, or as they are.
        candidates: Proposes only from these architectures, all of which are judged by the acquisition.
        n_startup_trials: Number of random architectures before the first model.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        encoder: Encoder,
        *,
        predictor: Callable[[Tensor, Tensor], Model] | None = None,
        metric: bool = True,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        n_startup_trials: int = 10,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, candidates=candidates, seed=seed)
        if n_startup_trials < 0:
            raise ValueError(f"Expected n_startup_trials to be at least 0, but got {n_startup_trials}")
        self.predictor = fit_gaussian_process if predictor is None else predictor
        self.n_startup_trials = n_startup_trials
        self.use_encoder(encoder, metric=metric)

    @property
    def settings_width(self) -> int:
        """How many coordinates of a candidate are hyperparameters, the last ones."""
        return 0 if self.hyperparameters is None else self.hyperparameters.width

    def use_encoder(self, encoder: Encoder, *, metric: bool) -> None:
        """Place architectures by an encoder from now on, and forget where another had them."""
        self._source = CandidateSource(self.space, MetricEncoder(self.space, encoder) if metric else encoder)
        self._listed = None if self.candidates is None else self._source.listed(self.candidates, "acquisition")
        self._latents: dict[str, Tensor] = {}
        self._deviation: Tensor | None = None
        self._fitted: tuple[Any, Any] | None = None

    def startup_proposal(self, history: History, rng: np.random.Generator) -> Proposal | None:
        """A random architecture as long as there is nothing to model; None from then on."""
        if len(history.hashes) < self.n_startup_trials:
            return self.random_proposal(history, rng)
        told = [one.values for one in history.finished.values()]
        told += [(value,) for reached in history.budgets.values() for value in reached.values()]
        finite = [values for values in told if values]
        if len(finite) < 2 or not history.finished:
            return self.random_proposal(history, rng, "fallback: fewer than two finite values")
        if len(set(told)) < 2:
            return self.random_proposal(history, rng, "fallback: all values are equal")
        return None

    def encoded(self, architectures: dict[str, Architecture]) -> Tensor:
        """`n x d` points of known candidates, by key: the latent points of their architectures."""
        new = {key: one for key, one in architectures.items() if key not in self._latents}
        if new:
            self._latents.update(zip(new, self._source.encode(list(new.values())), strict=True))
        return torch.stack([self._latents[key] for key in architectures])

    def constraint_models(self, history: History) -> list[Posterior]:
        """A model of each constraint, in its standard deviations, so that 0 remains the bound."""
        known = history.finished.values()
        models = []
        for name in sorted({name for one in known for name in one.constraints}):
            told = {key: one for key, one in history.finished.items() if name in one.constraints}
            z = self.encoded({key: one.architecture for key, one in told.items()})
            values = torch.tensor([[one.constraints[name]] for one in told.values()], dtype=z.dtype)
            deviation = values.std(0, correction=0)
            if deviation > 0:
                models.append(Posterior(self.predictor(z, values / deviation)))
        return models

    def spread(self) -> Tensor:
        """`d` standard deviations of the latent points of the space, small where the encoder left a dimension idle."""
        if self._deviation is None:
            architectures, _ = self._draw(_SPREAD_OF, np.random.default_rng(self.seed))
            self._deviation = self._source.encode(architectures).std(0, correction=0).clamp_min(1e-3)
        return self._deviation

    def around(self, z: Tensor, scale: float, rng: np.random.Generator, n: int) -> Tensor:
        """`n x d` points around the given ones, a quarter to one and a half scales away, and from the prior."""
        noise = torch.from_numpy(rng.standard_normal((n, z.shape[-1]))) * self.spread()
        centre = z[torch.from_numpy(rng.integers(len(z), size=n))]
        length = scale * torch.from_numpy(rng.uniform(0.25, 1.5, size=(n, 1)))
        points: Tensor = centre + noise / noise.norm(dim=-1, keepdim=True) * length
        points[: n // 8] = noise[: n // 8]
        return points


def feasibility(models: Sequence[Posterior], z: Tensor) -> Tensor:
    """Probability that `n x d` points meet all constraints, by independent models of them; `n` ones if there are none.

    A constraint is met at 0 and below.
    """
    probability = torch.ones(len(z), dtype=z.dtype)
    for model in models:
        mean, deviation = model.moments(z)
        probability = probability * torch.special.ndtr(-mean / deviation)
    return probability


def new_rows(blocks: Sequence[Candidates], history: History) -> list[tuple[Candidates, int]]:
    """Candidates that the study does not know; one that several sources found belongs to the first."""
    seen = set(history.hashes)
    fresh: list[tuple[Candidates, int]] = []
    for block in blocks:
        rows = [row for row, key in enumerate(block.hashes) if key not in seen]
        seen.update(block.hashes[row] for row in rows)
        fresh += [(block, row) for row in rows]
    return fresh


def edit_distance(centres: Tensor, edits: Sequence[Candidates]) -> float:
    """Median latent distance of the centres to their one-edit neighbours; 1 where there are none."""
    if not edits or len(edits) != len(centres):
        return 1.0
    distances = [(block.z - centre).norm(dim=-1) for centre, block in zip(centres, edits, strict=True)]
    return float(torch.cat(distances).median().clamp_min(1e-3))
