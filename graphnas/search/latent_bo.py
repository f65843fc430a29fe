"""Bayesian optimisation in the latent space of an autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from botorch.models.model import Model
from linear_operator.utils.errors import NanError, NotPSDError
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.search.candidates import Candidates, CandidateSource, Encoder
from graphnas.search.metric import MetricEncoder
from graphnas.search.sampler import CandidateList, CellSampler, History, Proposal
from graphnas.search.surrogate import (
    ModelFittingError,
    fit_gaussian_process,
    normal_scores,
    predicted_mean,
    upper_confidence_bound,
)
from graphnas.spaces import Space

# Chosen on NAS-Bench-101 with seeds apart from those reported (runs/search_nasbench101.py).
_KAPPA = 3.0  # weight of the standard deviation in the upper confidence bound at first,
_KAPPA_FALLS = 25  # falling with the square root of the observations beyond this number, to at least 1
_INCUMBENTS = 8  # best architectures that trust regions and edits surround
_STARTS = 16  # starting points of the acquisition's ascent
_STEPS = 12  # gradient steps of the ascent
_PASSED = 3  # every so many steps of the ascent the points are decoded
_ASCENT_KAPPAS = (1.0, 2.0)  # factors of that weight among the points ascended, the larger the further from known ones
_RADIUS = 2.5  # of a trust region, in median distances from an incumbent to its one-edit neighbours
_SAMPLES = 48  # points drawn around incumbents and from the prior
_EXPANSIONS = 2  # best edits whose own edits join the candidates
_SPREAD_OF = 256  # random architectures that show how far each latent dimension spreads


class LatentBOSampler(CellSampler):
    """Bayesian optimisation over the latent points of an encoder.

    After random architectures, a Gaussian process on latent means predicts the normal scores of the outcomes (failed
    trials are worst), and candidates come from three sources:

    - `acquisition`: the upper confidence bound is ascended by gradient from several starts, within trust regions
      around the best architectures, and the points reached are decoded;
    - `sample`: points drawn around the best architectures and from the prior are decoded;
    - `edit`: architectures one edit away from the best, and from the most promising of these.

    A decoder is not the inverse of its encoder, so every candidate is encoded again and judged where it truly lies.
    Known architectures are dropped, and the best of all others is proposed. Running trials count as observed at their
    predicted mean (Desautels et al. 2014, GP-BUCB), so proposals made in parallel differ and spread.

    Where this is impossible the sampler proposes a random architecture, and the source says why: `fallback: fewer
    than two finite values`, `fallback: all values are equal`, `fallback: the model could not be fitted`, `fallback:
    no new candidate`.

    Args:
        space: The space to search.
        encoder: Its latent means should be about standard normal over the space.
        predictor: Fits a BoTorch model with one outcome to `n x d` latent means and `n x 1` normal scores in double
            precision; an isotropic Gaussian process if None.
        metric: Whether latent points are given in the coordinates of `MetricEncoder`, in which directions count by what
            they say of a cell's structure, or as they are.
        candidates: Proposes only from these architectures, all of which are judged by the acquisition.
        n_startup_trials: Number of random architectures before the first model.
        seed: Makes proposals a function of the study's trials.

    Example:
        >>> import optuna
        >>> from graphnas.spaces import Space
        >>> def search(encoder: Encoder) -> optuna.Study:
        ...     sampler = LatentBOSampler(Space.load("nasbench101"), encoder, seed=0)
        ...     return optuna.create_study(direction="maximize", sampler=sampler)
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
        self._source = CandidateSource(space, MetricEncoder(space, encoder) if metric else encoder)
        self._listed = None if self.candidates is None else self._source.listed(self.candidates, "acquisition")
        self._latents: dict[str, Tensor] = {}
        self._deviation: Tensor | None = None
        self._fitted: tuple[Any, Model] | None = None

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the best new candidate under the upper confidence bound."""
        if len(history.hashes) < self.n_startup_trials:
            return self.random_proposal(history, rng)
        values = [one.value for one in history.finished.values()]
        finite = [value for value in values if math.isfinite(value)]
        if len(finite) < 2:
            return self.random_proposal(history, rng, "fallback: fewer than two finite values")
        if len(set(values)) < 2:
            return self.random_proposal(history, rng, "fallback: all values are equal")
        try:
            model = self._model(history)
            kappa = max(1.0, _KAPPA * min(1.0, math.sqrt(_KAPPA_FALLS / len(values))))
            blocks = self._candidates(model, kappa, history, rng)
            best = self._best(model, kappa, blocks, history)
        except (ModelFittingError, NotPSDError, NanError):
            return self.random_proposal(history, rng, "fallback: the model could not be fitted")
        return best or self.random_proposal(history, rng, "fallback: no new candidate")

    def _encoded(self, architectures: dict[str, Architecture]) -> Tensor:
        """`n x d` latent means of known architectures, by hash."""
        new = {key: one for key, one in architectures.items() if key not in self._latents}
        if new:
            self._latents.update(zip(new, self._source.encode(list(new.values())), strict=True))
        return torch.stack([self._latents[key] for key in architectures])

    def _model(self, history: History) -> Model:
        """The model of the finished trials, in which running ones count as observed at their predicted mean."""
        signature = tuple((key, repr(one.value)) for key, one in history.finished.items())
        if self._fitted is None or self._fitted[0] != signature:
            z = self._encoded({key: one.architecture for key, one in history.finished.items()})
            model = self.predictor(z, normal_scores([one.value for one in history.finished.values()]))
            model.eval()
            with torch.no_grad():
                predicted_mean(model, z[:1])  # fills the caches that conditioning extends
            self._fitted = signature, model
        model = self._fitted[1]
        if history.running:
            pending = self._encoded(dict(sorted(history.running.items())))
            with torch.no_grad():
                model = model.condition_on_observations(pending, predicted_mean(model, pending))
        return model

    def _candidates(self, model: Model, kappa: float, history: History, rng: np.random.Generator) -> list[Candidates]:
        """Candidates by source, those of the acquisition first."""
        if self._listed is not None:
            return [self._listed]
        finished = {key: one.architecture for key, one in history.finished.items()}
        z = self._encoded(finished)
        with torch.no_grad():
            order = upper_confidence_bound(model, z, 0.0).argsort(descending=True, stable=True)
        top = order[:_INCUMBENTS]
        keys = list(finished)
        edits = [block for i in top.tolist() if (block := self._source.edits(finished[keys[i]], keys[i]))]
        scale = _edit_distance(z[top], edits)
        samples = self._around(z[top], scale, rng, _SAMPLES)
        path = self._ascend(model, kappa, z[top], _RADIUS * scale, torch.cat([samples, *(block.z for block in edits)]))
        return [
            *self._source.decode({"acquisition": path, "sample": samples}),
            *self._expanded(model, kappa, edits, history),
        ]

    def _spread(self) -> Tensor:
        """`d` standard deviations of the latent means over the space, small where the encoder left a dimension idle."""
        if self._deviation is not None:
            return self._deviation
        architectures, _ = self._draw(_SPREAD_OF, np.random.default_rng(self.seed))
        deviation: Tensor = self._source.encode(architectures).std(0, correction=0).clamp_min(1e-3)
        self._deviation = deviation
        return deviation

    def _around(self, z: Tensor, scale: float, rng: np.random.Generator, n: int) -> Tensor:
        """`n x d` points around the given ones, a quarter to one and a half scales away, and from the prior."""
        noise = torch.from_numpy(rng.standard_normal((n, z.shape[-1]))) * self._spread()
        centre = z[torch.from_numpy(rng.integers(len(z), size=n))]
        length = scale * torch.from_numpy(rng.uniform(0.25, 1.5, size=(n, 1)))
        points: Tensor = centre + noise / noise.norm(dim=-1, keepdim=True) * length
        points[: n // 8] = noise[: n // 8]
        return points

    def _ascend(self, model: Model, kappa: float, centres: Tensor, radius: float, starts: Tensor) -> Tensor:
        """Ascend the upper confidence bound by projected gradient steps (Adam) in balls around centres.

        Its maximum often decodes to an architecture that is known, where a point passed on the way, or reached with
        more weight on the uncertainty, does not: these are returned too.

        Args:
            model: The fitted model.
            kappa: Weight of the standard deviation.
            centres: `c x d` best latent points.
            radius: Of the balls.
            starts: `n x d` points; the ascent begins at the best of them and of the centres.

        Returns:
            `_ x d` points reached, the last ones first.
        """
        starts = torch.cat([centres, starts])
        with torch.no_grad():
            best = upper_confidence_bound(model, starts, kappa).argsort(descending=True, stable=True)[:_STARTS]
        start = starts[best]
        home = centres[torch.cdist(start, centres).argmin(-1)]
        weights = kappa * torch.linspace(*_ASCENT_KAPPAS, 4, dtype=start.dtype).repeat(len(start))[: len(start)]
        # Steps are taken in units of the spread: Adam moves all coordinates alike, and idle dimensions must stay put.
        spread = self._spread()
        u = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([u], lr=2.0 * radius / _STEPS / float(spread.norm()))
        path = []
        for step in range(1, _STEPS + 1):
            (u.grad,) = torch.autograd.grad(-upper_confidence_bound(model, start + spread * u, weights).sum(), u)
            optimizer.step()
            with torch.no_grad():
                offset = start + spread * u - home
                inside = home + offset * (radius / offset.norm(dim=-1, keepdim=True)).clamp(max=1.0)
                u.copy_((inside - start) / spread)
            if step % _PASSED == 0:
                path.append(inside)
        return torch.cat(path[::-1])

    def _expanded(self, model: Model, kappa: float, edits: list[Candidates], history: History) -> list[Candidates]:
        """Edits of incumbents, and the edits of the most promising of them."""
        found = list(edits)
        for _ in range(_EXPANSIONS if edits else 0):
            best = self._best(model, kappa, found, history)
            # Edits whose own edits are among the candidates already do not count again.
            if best is None:
                break
            block = self._source.edits(best.architecture, best.hash)
            if block is None or any(block is one for one in found):
                break
            found.append(block)
        return found

    def _best(self, model: Model, kappa: float, blocks: list[Candidates], history: History) -> Proposal | None:
        """The best new candidate; one that several sources found belongs to the first."""
        seen = set(history.hashes)
        fresh: list[tuple[Candidates, int]] = []
        for block in blocks:
            rows = [row for row, key in enumerate(block.hashes) if key not in seen]
            seen.update(block.hashes[row] for row in rows)
            fresh += [(block, row) for row in rows]
        if not fresh:
            return None
        with torch.no_grad():
            values = upper_confidence_bound(model, torch.stack([block.z[row] for block, row in fresh]), kappa)
        block, row = fresh[int(values.argmax())]
        return Proposal(block.architecture(row, self.space), block.hashes[row], block.source)


def _edit_distance(centres: Tensor, edits: list[Candidates]) -> float:
    """Median latent distance of the centres to their one-edit neighbours; 1 where there are none."""
    if not edits or len(edits) != len(centres):
        return 1.0
    distances = [(block.z - centre).norm(dim=-1) for centre, block in zip(centres, edits, strict=True)]
    return float(torch.cat(distances).median().clamp_min(1e-3))
