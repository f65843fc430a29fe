"""Bayesian optimisation in the latent space of an autoencoder."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from botorch.models.model import Model
from linear_operator.utils.errors import NanError, NotPSDError
from torch import Tensor

from graphnas.search.candidates import Candidates
from graphnas.search.latent_sampler import LatentSampler, edit_distance, feasibility, new_rows
from graphnas.search.sampler import History, Proposal
from graphnas.search.surrogate import ModelFittingError, normal_scores, predicted_mean, upper_confidence_bound

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
_INFEASIBLE = -1e6  # below all values of the acquisition


class LatentBOSampler(LatentSampler):
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
        encoder: Encodes and decodes its architectures.
        predictor: Fits a BoTorch model with one outcome to `n x d` latent points and `n x 1` normal scores in double
            precision; an isotropic Gaussian process if None.
        metric: Whether latent points are given in the coordinates of `MetricEncoder`, in which directions count by what
            they say of a cell's structure, or as they are.
        candidates: Proposes only from these architectures, all of which are judged by the acquisition.
        constraints_func: From a finished trial to numbers that are at most 0 where it meets its constraints, as
            Optuna's own samplers take it. Candidates that likely violate one are proposed only where there are no
            others.
        n_startup_trials: Number of random architectures before the first model.
        seed: Makes proposals a function of the study's trials.

    Example:
        >>> import optuna
        >>> from graphnas.spaces import Space
        >>> def search(encoder: Encoder) -> optuna.Study:
        ...     sampler = LatentBOSampler(Space.load("nasbench101"), encoder, seed=0)
        ...     return optuna.create_study(direction="maximize", sampler=sampler)
    """

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the best new candidate under the upper confidence bound."""
        first = self.startup_proposal(history, rng)
        if first is not None:
            return first
        try:
            kappa = max(1.0, _KAPPA * min(1.0, math.sqrt(_KAPPA_FALLS / len(history.finished))))
            acquisition = _Acquisition(*self._models(history), kappa)
            best = self._best(acquisition, self._candidates(acquisition, history, rng), history)
        except (ModelFittingError, NotPSDError, NanError):
            return self.random_proposal(history, rng, "fallback: the model could not be fitted")
        return best or self.random_proposal(history, rng, "fallback: no new candidate")

    def _models(self, history: History) -> tuple[Model, list[Model]]:
        """Models of outcomes and constraints; running trials count as observed at their predicted mean."""
        signature = tuple((key, repr(one)) for key, one in history.finished.items())
        if self._fitted is None or self._fitted[0] != signature:
            z = self.encoded({key: one.architecture for key, one in history.finished.items()})
            model = self.predictor(z, normal_scores([one.value for one in history.finished.values()]))
            model.eval()
            with torch.no_grad():
                predicted_mean(model, z[:1])  # fills the caches that conditioning extends
            self._fitted = signature, (model, self.constraint_models(history))
        model, constraints = self._fitted[1]
        if history.running:
            pending = self.encoded(dict(sorted(history.running.items())))
            with torch.no_grad():
                model = model.condition_on_observations(pending, predicted_mean(model, pending))
        return model, constraints

    def _candidates(self, acquisition: _Acquisition, history: History, rng: np.random.Generator) -> list[Candidates]:
        """Candidates by source, those of the acquisition first."""
        if self._listed is not None:
            return [self._listed]
        finished = {key: one.architecture for key, one in history.finished.items()}
        z = self.encoded(finished)
        with torch.no_grad():
            order = acquisition._replace(kappa=0.0)(z).argsort(descending=True, stable=True)
        top = order[:_INCUMBENTS]
        keys = list(finished)
        edits = [block for i in top.tolist() if (block := self._source.edits(finished[keys[i]], keys[i]))]
        scale = edit_distance(z[top], edits)
        samples = self.around(z[top], scale, rng, _SAMPLES)
        path = self._ascend(acquisition, z[top], _RADIUS * scale, torch.cat([samples, *(block.z for block in edits)]))
        return [
            *self._source.decode({"acquisition": path, "sample": samples}),
            *self._expanded(acquisition, edits, history),
        ]

    def _ascend(self, acquisition: _Acquisition, centres: Tensor, radius: float, starts: Tensor) -> Tensor:
        """Ascend the upper confidence bound by projected gradient steps (Adam) in balls around centres.

        Its maximum often decodes to an architecture that is known, where a point passed on the way, or reached with
        more weight on the uncertainty, does not: these are returned too.

        Args:
            acquisition: Chooses the starts; constraints count for nothing on the way.
            centres: `c x d` best latent points.
            radius: Of the balls.
            starts: `n x d` points; the ascent begins at the best of them and of the centres.

        Returns:
            `_ x d` points reached, the last ones first.
        """
        starts = torch.cat([centres, starts])
        with torch.no_grad():
            best = acquisition(starts).argsort(descending=True, stable=True)[:_STARTS]
        start = starts[best]
        home = centres[torch.cdist(start, centres).argmin(-1)]
        model, _, kappa = acquisition
        weights = kappa * torch.linspace(*_ASCENT_KAPPAS, 4, dtype=start.dtype).repeat(len(start))[: len(start)]
        # Steps are taken in units of the spread: Adam moves all coordinates alike, and idle dimensions must stay put.
        spread = self.spread()
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

    def _expanded(self, acquisition: _Acquisition, edits: list[Candidates], history: History) -> list[Candidates]:
        """Edits of incumbents, and the edits of the most promising of them."""
        found = list(edits)
        for _ in range(_EXPANSIONS if edits else 0):
            best = self._best(acquisition, found, history)
            # Edits whose own edits are among the candidates already do not count again.
            if best is None:
                break
            block = self._source.edits(best.architecture, best.hash)
            if block is None or any(block is one for one in found):
                break
            found.append(block)
        return found

    def _best(self, acquisition: _Acquisition, blocks: list[Candidates], history: History) -> Proposal | None:
        """The best new candidate."""
        fresh = new_rows(blocks, history)
        if not fresh:
            return None
        with torch.no_grad():
            values = acquisition(torch.stack([block.z[row] for block, row in fresh]))
        block, row = fresh[int(values.argmax())]
        return block.proposal(row, self.space)


class _Acquisition(NamedTuple):
    """What candidates are judged by."""

    model: Model
    constraints: list[Model]
    kappa: float

    def __call__(self, z: Tensor) -> Tensor:
        """The upper confidence bound at `n x d` points that are likely to meet the constraints.

        Others lie below all of these, and are judged by how likely they are to.
        """
        values = upper_confidence_bound(self.model, z, self.kappa)
        if not self.constraints:
            return values
        probability = feasibility(self.constraints, z)
        return torch.where(probability >= 0.5, values, probability + _INFEASIBLE)
