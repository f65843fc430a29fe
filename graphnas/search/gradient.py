"""Gradient search in the latent space: as a function, and as an Optuna sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from botorch.models.model import Model
from linear_operator.utils.errors import NanError, NotPSDError
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.encoders.protocol import Encoder
from graphnas.predictors.gaussian_process import ModelFittingError, normal_scores
from graphnas.predictors.posterior import Posterior
from graphnas.search.candidates import Candidates, CandidateSource
from graphnas.search.latent_sampler import LatentSampler
from graphnas.search.sampler import CandidateList, History, Proposal
from graphnas.spaces import Space

_STARTS = 10  # best architectures that the sampler ascends from
_LISTED_STEPS = 20  # of an ascent among given candidates
_HALVINGS = 6  # a step that leads down is halved so often before a point stops


class Ascended(NamedTuple):
    """An architecture that an ascent passed."""

    architecture: Architecture
    hash: str
    """`Space.hash` of the architecture."""
    value: float
    """Of the objective where the architecture truly lies."""
    z: Tensor
    """`d` latent mean of the architecture, in double precision."""


def gradient_search(
    objective: Callable[[Tensor], Tensor],
    encoder: Encoder,
    starts: Tensor,
    *,
    space: Space,
    n: int = 10,
    steps: int = 20,
    step_size: float | None = None,
    apart: float = 0.0,
    known: Sequence[str] = (),
) -> list[Ascended]:
    """Climb a differentiable objective from several latent points, and decode along the way.

    Steps follow the normalised gradient. One that leads down is halved until it does not, and the length grows again
    after it. All points passed are decoded, encoded again and judged where they truly lie, since a decoder is not the
    inverse of its encoder.

    Args:
        objective: `m x d` latent points in double precision to `m` values, larger is better, with gradients; each value
            a function of its point alone. For instance the mean of a model, or `lambda z: encoder.predict(z)[0]`.
        encoder: Decodes and encodes.
        starts: `m x d` latent points.
        space: The space to decode into.
        n: Number of architectures to return at most.
        steps: Steps of the ascent.
        step_size: Length of the first step; a tenth of the median distance between starts, or of `sqrt(d)` for one.
        apart: Least latent distance between two of the architectures returned.
        known: Hashes of architectures not to return.

    Returns:
        Different architectures, best first.

    Raises:
        ValueError: if `starts` has another shape, or a number is not positive.
    """
    if starts.dim() != 2 or starts.shape[1] != encoder.latent_dim or not len(starts):
        raise ValueError(f"Expected starts to be m x {encoder.latent_dim}, but got shape {tuple(starts.shape)}")
    if n < 1 or steps < 1:
        raise ValueError(f"Expected n and steps to be at least 1, but got {n} and {steps}")
    if step_size is not None and not step_size > 0:
        raise ValueError(f"Expected step_size to be above 0, but got {step_size}")
    source = CandidateSource(space, encoder)
    points = climb(objective, starts.double(), steps=steps, step_size=step_size or _first_step(starts.double()))
    (found,) = source.decode({"gradient": points})
    with torch.no_grad():
        values = objective(found.z)
    chosen: list[Ascended] = []
    seen = set(known)
    for row in values.argsort(descending=True, stable=True).tolist():
        z = found.z[row]
        if found.hashes[row] in seen or any(float((z - other.z).norm()) < apart for other in chosen):
            continue
        chosen.append(Ascended(found.architecture(row, space), found.hashes[row], float(values[row]), z))
        if len(chosen) == n:
            break
    return chosen


def climb(objective: Callable[[Tensor], Tensor], starts: Tensor, *, steps: int, step_size: float) -> Tensor:
    """Points passed on an ascent along the normalised gradient, with step control.

    Args:
        objective: `m x d` points to `m` values, each a function of its point alone.
        starts: `m x d` points.
        steps: Number of steps.
        step_size: Length of the first.

    Returns:
        `(steps + 1) m x d`: where every ascent was after each step, the starts first. Values never fall along the way.
    """
    z = starts.detach()
    length = torch.full((len(z), 1), step_size, dtype=z.dtype)
    passed = [z]
    for _ in range(steps):
        at = z.clone().requires_grad_(True)
        value = objective(at)
        (gradient,) = torch.autograd.grad(value.sum(), at)
        direction = gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)
        value = value.detach()
        waiting = torch.ones(len(z), dtype=torch.bool)
        with torch.no_grad():
            for _ in range(_HALVINGS):
                there = z + length * direction
                up = waiting & (objective(there) > value)
                z = torch.where(up[:, None], there, z)
                length = torch.where(up[:, None], length * 1.5, torch.where(waiting[:, None], length / 2, length))
                waiting &= ~up
                if not waiting.any():
                    break
        passed.append(z)
    return torch.cat(passed)


def _first_step(starts: Tensor) -> float:
    """A tenth of the median distance between the starts; of the typical norm of a normal point if there is one."""
    distances = torch.pdist(starts)
    typical = float(distances.median()) if len(distances) else math.sqrt(starts.shape[1])
    return max(typical, 1e-3) / 10


class GradientSearchSampler(LatentSampler):
    """Gradient search from the best architectures as an Optuna sampler.

    After random architectures, a model of the finished trials is climbed from the best of them, and the best new
    architecture passed is proposed (source `gradient`). Where none is new, the best new neighbour of a start is, of the
    best one that has any (source `edit`). Among given candidates, the new ones nearest to the points passed are judged.

    Args:
        space: The space to search.
        encoder: Encodes and decodes its architectures; the ascent is in the coordinates of `MetricEncoder`.
        predictor: Fits a BoTorch model with one outcome to `n x d` latent points and `n x 1` normal scores in double
            precision; an isotropic Gaussian process if None.
        kappa: Weight of the model's standard deviation beside its mean.
        candidates: Proposes only these architectures.
        performance_head: Climb the encoder's performance head instead, in the latent space as it is; the head knows the
            labels it was fitted to and nothing of the study's values.
        n_startup_trials: Number of random architectures before the first ascent.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        encoder: Encoder,
        *,
        predictor: Callable[[Tensor, Tensor], Model] | None = None,
        kappa: float = 1.0,
        performance_head: bool = False,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        n_startup_trials: int = 10,
        seed: int | None = None,
    ) -> None:
        if not 0 <= kappa < math.inf:
            raise ValueError(f"Expected kappa to be a finite number of at least 0, but got {kappa}")
        if n_startup_trials < 1:
            raise ValueError(f"Expected n_startup_trials to be at least 1, but got {n_startup_trials}")
        if performance_head and getattr(encoder, "performance", None) is None:
            raise ValueError("Expected an encoder that was fitted with labels, but it has no performance head")
        super().__init__(
            space,
            encoder,
            predictor=predictor,
            metric=not performance_head,
            candidates=candidates,
            n_startup_trials=n_startup_trials,
            seed=seed,
        )
        self.kappa, self.performance_head = kappa, performance_head

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the best new one on the way up."""
        first = self.startup_proposal(history, rng)
        if first is not None:
            return first
        finite = [one for one in history.finished.values() if math.isfinite(one.value)]
        best = sorted(finite, key=lambda one: one.value, reverse=True)[:_STARTS]
        try:
            objective = self._objective(history)
            starts = self.encoded({one.hash: one.architecture for one in best})
            if self._listed is not None:
                return self._nearest(objective, starts, self._listed, history) or self.random_proposal(
                    history, rng, "fallback: no new candidate"
                )
            encoder, known = self._source.encoder, list(history.hashes)
            found = gradient_search(objective, encoder, starts, space=self.space, n=1, known=known)
            if found:
                return Proposal(found[0].architecture, found[0].hash, "gradient")
            edits = (self._edit(objective, one.architecture, one.hash, history) for one in best)
            return next(filter(None, edits), None) or self.random_proposal(history, rng, "fallback: no new candidate")
        except (ModelFittingError, NotPSDError, NanError):
            return self.random_proposal(history, rng, "fallback: the model could not be fitted")

    def _objective(self, history: History) -> Callable[[Tensor], Tensor]:
        if self.performance_head:

            def predicted(z: Tensor) -> Tensor:
                mean, variance = self._source.encoder.predict(z.float())  # type: ignore[attr-defined]
                value: Tensor = mean + self.kappa * variance.sqrt()
                return value.double()

            return predicted
        z = self.encoded({key: one.architecture for key, one in history.finished.items()})
        posterior = Posterior(self.predictor(z, normal_scores([one.value for one in history.finished.values()])))
        return lambda points: posterior.upper_bound(points, self.kappa)

    def _nearest(
        self, objective: Callable[[Tensor], Tensor], starts: Tensor, listed: Candidates, history: History
    ) -> Proposal | None:
        """The best of the new candidates that lie nearest to the points of an ascent."""
        rows = [row for row, key in enumerate(listed.hashes) if key not in history.hashes]
        if not rows:
            return None
        points = climb(objective, starts.double(), steps=_LISTED_STEPS, step_size=_first_step(starts.double()))
        near = sorted({rows[i] for i in torch.cdist(points, listed.z[rows]).argmin(1).tolist()})
        with torch.no_grad():
            values = objective(listed.z[near])
        return listed.proposal(near[int(values.argmax())], self.space, source="gradient")

    def _edit(
        self, objective: Callable[[Tensor], Tensor], architecture: Architecture, key: str, history: History
    ) -> Proposal | None:
        neighbours = self.new_neighbours(architecture, key, history)
        if not neighbours:
            return None
        with torch.no_grad():
            values = objective(self._source.encode([one for one, _ in neighbours]))
        return Proposal(*neighbours[int(values.argmax())], "edit")
