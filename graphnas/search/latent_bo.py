"""Bayesian optimisation in the latent space of an autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from botorch.models.model import Model
from linear_operator.utils.errors import NanError, NotPSDError
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.encoders.protocol import Encoder
from graphnas.predictors.catalogue import make_predictor
from graphnas.predictors.gaussian_process import ModelFittingError, fit_budgets_process, normal_scores, with_input_noise
from graphnas.predictors.posterior import Posterior
from graphnas.predictors.processes import FitProcess
from graphnas.predictors.protocol import Predictor
from graphnas.search.acquisition import ACQUISITIONS, Acquisition, make_acquisition, uncertainty_weight
from graphnas.search.candidates import Candidates
from graphnas.search.judging import (
    JUDGES,
    ScoreArchitectures,
    best_of_half,
    check_judge,
    check_predictor,
    means_of,
    own_autoencoder,
    proxy_scores_of,
    upper_bounds,
)
from graphnas.search.latent_sampler import LatentSampler, edit_distance, feasibility, new_rows
from graphnas.search.retraining import check_retrainable, retrained
from graphnas.search.sampler import CandidateList, History, Proposal
from graphnas.spaces import Space

SOURCES = ("acquisition", "sample", "edit")
"""Names of what proposes candidates."""

# Chosen on NAS-Bench-101 with seeds apart from those reported.
_INCUMBENTS = 8  # best architectures that trust regions and edits surround
_STARTS = 16  # starting points of the acquisition's ascent
_STEPS = 12  # gradient steps of the ascent
_PASSED = 3  # every so many steps of the ascent the points are decoded
_BOLDNESS = (1.0, 2.0)  # factors of the weight of the uncertainty among the points ascended
_RADIUS = 2.5  # of a trust region, in median distances from an incumbent to its one-edit neighbours
_SAMPLES = 48  # points drawn around incumbents and from the prior
_JUDGED = 512  # listed candidates judged at once
_SHORTLIST = 8  # best candidates, half of which a filter passes over
_EXPANSIONS = 2  # best edits whose own edits join the candidates
_INFEASIBLE = -1e6  # in place of the acquisition, beside the probability of meeting all constraints


class LatentBOSampler(LatentSampler):
    """Bayesian optimisation over the latent points of an encoder.

    After random architectures, a Gaussian process on latent means predicts the normal scores of the outcomes (failed
    trials are worst), and candidates come from three sources:

    - `acquisition`: the acquisition function is ascended by gradient from several starts, within trust regions
      around the best architectures, and the points reached are decoded;
    - `sample`: points drawn around the best architectures and from the prior are decoded;
    - `edit`: architectures one edit away from the best, and from the most promising of these.

    A decoder is not the inverse of its encoder, so every candidate is encoded again and judged where it truly lies.
    Known architectures are dropped, and the best of all others is proposed. Running trials count as observed at their
    predicted mean (Desautels et al. 2014, GP-BUCB), so proposals made in parallel differ and spread. Where trials are
    compared at several budgets (`studies.Fidelity`), one process learns from all of them. Trials may have
    constraints, as `optuna.trial.Trial.set_constraint` keeps them: candidates that likely violate one are proposed only
    where there are no others.

    Where this is impossible the sampler proposes a random architecture, and the source says why: `fallback: fewer
    than two finite values`, `fallback: all values are equal`, `fallback: the model could not be fitted`, `fallback:
    no new candidate`.

    Args:
        space: The space to search.
        encoder: Encodes and decodes its architectures.
        acquisition: What candidates are judged by, one of `acquisition.ACQUISITIONS`: `ucb`, `log-ei`, `log-nei` or
            `thompson`, which `make_acquisition` describes; the last not where trials have several budgets.
        kappa: Weight of the uncertainty in `ucb` at first, which falls with the observations.
        sources: Which of the sources propose candidates.
        input_noise: Whether observations count the less, the more an architecture's latent variance makes the model
            uncertain of them (`surrogate.with_input_noise`); not where there are several budgets.
        retrain_every: Fit the encoder anew to the best architectures with every so many finished trials
            (`retraining.retrained`); never if None. A search that is resumed retrains on the trials that it finds.
        predictor: Fits a BoTorch model with one outcome to `n x d` latent points and `n x 1` normal scores in double
            precision; an isotropic Gaussian process if None. Several budgets have a model of their own. Or a
            `graphnas.predictors.Predictor`, or the name of one, which needs to be told of nothing but architectures
            and targets: the process still proposes candidates, and the predictor, fitted to normal scores, judges them
            by its mean and as many of its standard deviations as `ucb` takes. It learns from finished trials alone, and
            not from several budgets.
        prefilter: Scores architectures before any training, larger is better: of the few best candidates the half that
            it likes least is passed over. Or the name of a zero-cost proxy, for networks of the digits' size, or a
            predictor as above, or its name.
        metric: Whether latent points are given in the coordinates of `MetricEncoder`, in which directions count by what
            they say of a cell's structure, or as they are.
        candidates: Proposes only from these architectures, all of which are judged by the acquisition. With those of
            `Space.enumerate` this is the upper bound of what better candidates could find; the space is never
            enumerated otherwise.
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
        acquisition: str = "ucb",
        kappa: float = 3.0,
        sources: Sequence[str] = SOURCES,
        input_noise: bool = False,
        retrain_every: int | None = None,
        predictor: FitProcess | Predictor | str | None = None,
        prefilter: ScoreArchitectures | Predictor | str | None = None,
        metric: bool = True,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        n_startup_trials: int = 10,
        seed: int | None = None,
    ) -> None:
        if isinstance(predictor, str):
            check_judge(predictor)
            predictor = make_predictor(predictor, space, encoder=own_autoencoder(encoder), seed=seed or 0)
        if isinstance(prefilter, str) and prefilter in JUDGES:
            prefilter = make_predictor(prefilter, space, encoder=own_autoencoder(encoder), seed=seed or 0)
        self.judging = predictor if isinstance(predictor, Predictor) else None
        self._learning = [one for one in (predictor, prefilter) if isinstance(one, Predictor)]
        for one in self._learning:
            check_predictor(one)
            if retrain_every is not None:
                raise ValueError("Expected retrain_every to be None beside a predictor, which keeps its encoder")
        if isinstance(prefilter, str):
            prefilter = proxy_scores_of(space, prefilter)
        self.prefilter = means_of(prefilter) if isinstance(prefilter, Predictor) else prefilter
        super().__init__(
            space,
            encoder,
            predictor=None if isinstance(predictor, Predictor) else predictor,
            metric=metric,
            candidates=candidates,
            n_startup_trials=n_startup_trials,
            seed=seed,
        )
        if acquisition not in ACQUISITIONS:
            raise ValueError(f"Expected acquisition to be one of {', '.join(ACQUISITIONS)}, but got {acquisition!r}")
        if not 0 < kappa < math.inf:
            raise ValueError(f"Expected kappa to be a finite number above 0, but got {kappa}")
        if isinstance(sources, str) or not sources or not set(sources) <= set(SOURCES):
            raise ValueError(f"Expected sources to be one or more of {', '.join(SOURCES)}, but got {sources!r}")
        if retrain_every is not None:
            if retrain_every < 2:
                raise ValueError(f"Expected retrain_every to be None or at least 2, but got {retrain_every}")
            check_retrainable(encoder)
        self.acquisition, self.sources = acquisition, frozenset(sources)
        self.kappa = kappa
        self.input_noise, self.retrain_every = input_noise, retrain_every
        self._metric, self._pretrained, self._retrained = metric, encoder, ""
        self._bounds: tuple[Any, Tensor] | None = None

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the best new candidate under the acquisition."""
        first = self.startup_proposal(history, rng)
        if first is not None:
            return first
        self._retrain(history)
        try:
            best = self._choose(self._judge(history, rng), history, rng)
        except (ModelFittingError, NotPSDError, NanError):
            return self.random_proposal(history, rng, "fallback: the model could not be fitted")
        return best or self.random_proposal(history, rng, "fallback: no new candidate")

    def _choose(self, judge: Judge, history: History, rng: np.random.Generator) -> Proposal | None:
        """The best new candidate, None if there is none."""
        if self._listed is not None:
            return self._best_listed(self._listed, judge, history)
        return self._best(judge, self._candidates(judge, history, rng), history, last=True)

    def _retrain(self, history: History) -> None:
        """Once more with every so many finished trials, always from the encoder that was given."""
        if self.retrain_every is None or len(history.finished) < self.retrain_every:
            return
        n = len(history.finished) // self.retrain_every * self.retrain_every
        told = list(history.finished.values())[:n]
        signature = tuple((one.hash, one.value) for one in told)
        if repr(signature) == self._retrained:  # as text, since NaN equals nothing
            return
        architectures, values = [one.architecture for one in told], [one.value for one in told]
        encoder = retrained(self._pretrained, self.space, architectures, values, seed=self.seed)
        self.use_encoder(encoder, metric=self._metric)
        self._retrained = repr(signature)

    def _judge(self, history: History, rng: np.random.Generator) -> Judge:
        """What judges candidates; running trials count as observed at their predicted mean."""
        known = self.encoded({key: one.architecture for key, one in history.finished.items()})
        signature = (repr(history.budgets), *((key, repr(one)) for key, one in history.finished.items()))
        if self._fitted is None or self._fitted[0] != signature:
            model = self._of_budgets(history) if history.budgets else self._of_values(known, history)
            if self._learning:
                self._fit_predictors(history)
            self._fitted = signature, (Posterior(model), self.constraint_models(history))
        posterior, constraints = self._fitted[1]
        if history.running:
            posterior = posterior.believing(self.encoded(dict(sorted(history.running.items()))))
        seed = 0 if self.acquisition == "ucb" else int(rng.integers(2**31))
        feasible = torch.from_numpy(history.feasible())
        best_of = known[feasible] if feasible.any() else known
        acquisition = self._acquisition(posterior, best_of, observed=len(known), seed=seed)
        return Judge(posterior, constraints, acquisition)

    def _fit_predictors(self, history: History) -> None:
        told = list(history.finished.values())
        scores = self.scores([one.value for one in told])[:, 0].numpy()
        for predictor in self._learning:
            predictor.fit([one.architecture for one in told], scores)
        self._weight = uncertainty_weight(self.kappa, len(told))

    def scores(self, values: Sequence[float]) -> Tensor:
        """`n x 1` outcomes as a model sees them."""
        return normal_scores(values)

    def _of_values(self, known: Tensor, history: History) -> Model:
        model = self.predictor(known, self.scores([one.value for one in history.finished.values()]))
        if not self.input_noise:
            return model
        return with_input_noise(model, self._source.variance([one.architecture for one in history.finished.values()]))

    def _of_budgets(self, history: History) -> Model:
        """A model of what was reached at all budgets; a failed trial has reached nothing at the smallest."""
        if self.acquisition == "thompson":
            # BoTorch draws no paths of a process of several budgets.
            raise ValueError("Expected acquisition ucb, log-ei or log-nei where trials have budgets, but got thompson")
        if self._learning:
            raise ValueError("Expected no predictor where trials have budgets: it learns from one budget only")
        told = history.by_budget()
        known = {**history.running, **{key: one.architecture for key, one in history.finished.items()}}
        points = [self.encoded({key: known[key] for key in reached}) for reached in told.values()]
        scores = [self.scores(list(reached.values())) for reached in told.values()]
        if len(told) == 1:
            return self.predictor(points[0], scores[0])
        budgets = [budget for budget, reached in told.items() for _ in reached]
        return fit_budgets_process(torch.cat(points), budgets, torch.cat(scores), settings=self.settings_width)

    def _acquisition(self, posterior: Posterior, known: Tensor, *, observed: int, seed: int) -> Acquisition:
        return make_acquisition(self.acquisition, posterior, known, observed=observed, kappa=self.kappa, seed=seed)

    def _candidates(self, judge: Judge, history: History, rng: np.random.Generator) -> list[Candidates]:
        """Candidates by source, those of the acquisition first."""
        finished = {key: one.architecture for key, one in history.finished.items()}
        z = self.encoded(finished)
        with torch.no_grad():
            top = judge.mean(z).argsort(descending=True, stable=True)[:_INCUMBENTS]
        keys = list(finished)
        edits = [block for i in top.tolist() if (block := self._source.edits(finished[keys[i]], keys[i]))]
        scale = edit_distance(z[top], edits)
        found: dict[str, Tensor] = {}
        samples = self.around(z[top], scale, rng, _SAMPLES)
        if "acquisition" in self.sources:
            starts = torch.cat([samples, *(block.z for block in edits)])
            found["acquisition"] = self._ascend(judge, z[top], _RADIUS * scale, starts)
        if "sample" in self.sources:
            found["sample"] = samples
        decoded = self._source.decode(found) if found else []
        return [*decoded, *(self._expanded(judge, edits, history) if "edit" in self.sources else ())]

    def _ascend(self, judge: Judge, centres: Tensor, radius: float, starts: Tensor) -> Tensor:
        """Ascend the acquisition by projected gradient steps (Adam) in balls around centres.

        Its maximum often decodes to an architecture that is known, where a point passed on the way, or reached with
        more weight on the uncertainty, does not: these are returned too.

        Args:
            judge: Chooses the starts; constraints count for nothing on the way.
            centres: `c x d` best latent points.
            radius: Of the balls.
            starts: `n x d` points; the ascent begins at the best of them and of the centres.

        Returns:
            `_ x d` points reached, the last ones first.
        """
        starts = torch.cat([centres, starts])
        with torch.no_grad():
            best = judge(starts).argsort(descending=True, stable=True)[:_STARTS]
        start = starts[best]
        home = centres[torch.cdist(start, centres).argmin(-1)]
        boldness = torch.linspace(*_BOLDNESS, 4, dtype=start.dtype).repeat(len(start))[: len(start)]
        # Steps are taken in units of the spread: Adam moves all coordinates alike, and idle dimensions must stay put.
        spread = self.spread()
        u = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([u], lr=2.0 * radius / _STEPS / float(spread.norm()))
        path = []
        for step in range(1, _STEPS + 1):
            (u.grad,) = torch.autograd.grad(-judge.acquisition(start + spread * u, boldness).sum(), u)
            optimizer.step()
            with torch.no_grad():
                offset = start + spread * u - home
                inside = home + offset * (radius / offset.norm(dim=-1, keepdim=True)).clamp(max=1.0)
                u.copy_((inside - start) / spread)
            if step % _PASSED == 0:
                path.append(inside)
        return torch.cat(path[::-1])

    def _expanded(self, judge: Judge, edits: list[Candidates], history: History) -> list[Candidates]:
        """Edits of incumbents, and the edits of the most promising of them."""
        found = list(edits)
        for _ in range(_EXPANSIONS if edits else 0):
            best = self._best(judge, found, history)
            # Edits whose own edits are among the candidates already do not count again.
            if best is None:
                break
            block = self._source.edits(best.architecture, best.hash)
            if block is None or any(block is one for one in found):
                break
            found.append(block)
        return found

    def _best(self, judge: Judge, blocks: list[Candidates], history: History, *, last: bool = False) -> Proposal | None:
        """The best new candidate; the last word is the predictor's and the filter's, where there are any."""
        fresh = new_rows(blocks, history)
        if not fresh:
            return None
        with torch.no_grad():
            values = judge(torch.stack([block.z[row] for block, row in fresh]))
        if last and self.judging is not None:
            architectures = [block.architecture(row, self.space) for block, row in fresh]
            values = judge.heeding(torch.from_numpy(upper_bounds(self.judging, architectures, self._weight)), fresh)
        block, row = fresh[int(values.argmax())]
        if last and self.prefilter is not None:
            shortlist = [fresh[i] for i in values.argsort(descending=True, stable=True)[:_SHORTLIST].tolist()]
            block, row = shortlist[
                best_of_half(self.prefilter, [one.architecture(i, self.space) for one, i in shortlist])
            ]
        return block.proposal(row, self.space)

    def _best_listed(self, listed: Candidates, judge: Judge, history: History) -> Proposal | None:
        """The best of the given candidates that is new.

        Running trials lower the upper confidence bound of a candidate and never raise it, since they are believed to
        have their predicted means. So its values without any are kept for as long as no trial finishes, and candidates
        are judged in their order until none that is left can be the best.
        """
        if self.acquisition != "ucb" or self.judging is not None or self.prefilter is not None:
            return self._best(judge, [listed], history, last=True)
        if self._bounds is None or self._bounds[0] is not self._fitted:
            assert self._fitted is not None
            posterior, n = self._fitted[1][0], len(history.finished)
            alone = judge._replace(acquisition=self._acquisition(posterior, listed.z[:0], observed=n, seed=0))
            with torch.no_grad():
                self._bounds = self._fitted, alone(listed.z)
        bounds = self._bounds[1]
        order = bounds.argsort(descending=True, stable=True).tolist()
        rows = [row for row in order if listed.hashes[row] not in history.hashes]
        best, largest = None, -math.inf
        for start in range(0, len(rows), _JUDGED):
            part = rows[start : start + _JUDGED]
            if float(bounds[part[0]]) <= largest:
                break
            with torch.no_grad():
                values = judge(listed.z[part])
            if float(values.max()) > largest:
                best, largest = part[int(values.argmax())], float(values.max())
        return None if best is None else listed.proposal(best, self.space)


class Judge(NamedTuple):
    """What candidates are judged by; those that likely violate a constraint lie below all others."""

    posterior: Posterior
    """Of the outcomes."""
    constraints: list[Posterior]
    acquisition: Acquisition

    def __call__(self, z: Tensor) -> Tensor:
        """The acquisition at `n x d` points."""
        return self._feasible(self.acquisition(z, 1.0), z)

    def mean(self, z: Tensor) -> Tensor:
        """Predicted outcomes at `n x d` points."""
        return self._feasible(self.posterior.mean(z), z)

    def heeding(self, values: Tensor, candidates: Sequence[tuple[Candidates, int]]) -> Tensor:
        """Other values of `n` candidates, those that likely violate a constraint below all others."""
        return self._feasible(values, torch.stack([block.z[row] for block, row in candidates]))

    def _feasible(self, values: Tensor, z: Tensor) -> Tensor:
        if not self.constraints:
            return values
        probability = feasibility(self.constraints, z)
        return torch.where(probability >= 0.5, values.clamp_min(_INFEASIBLE + 2), probability + _INFEASIBLE)
