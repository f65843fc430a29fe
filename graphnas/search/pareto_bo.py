"""Bayesian optimisation of several objectives at once in the latent space of an autoencoder."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
from botorch.models.gpytorch import GPyTorchModel
from botorch.models.model import Model
from botorch.models.model_list_gp_regression import ModelListGP
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated
from botorch.utils.sampling import manual_seed
from linear_operator.utils.errors import NanError, NotPSDError
from linear_operator.utils.warnings import NumericalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.encoders.protocol import Encoder
from graphnas.predictors.gaussian_process import ModelFittingError
from graphnas.search.candidates import Candidates
from graphnas.search.latent_sampler import LatentSampler, edit_distance, new_rows
from graphnas.search.sampler import CandidateList, History, Proposal
from graphnas.spaces import Space

REFERENCE_POINT_KEY = "graphnas:reference_point"
"""Attribute of a study: the reference point that was given, in the units and directions of the objectives."""

_PARENTS = 12  # architectures of the Pareto set whose edits are candidates
_SAMPLES = 48  # points drawn around these and from the prior
_DRAWS = 64  # from the models' joint posterior, over which improvements are averaged
_CHUNK = 128  # candidates judged at once


class LatentParetoSampler(LatentSampler):
    """Bayesian optimisation of several objectives over the latent points of an encoder.

    After random architectures, one Gaussian process on latent points models each objective, and the candidate with the
    largest expected improvement of the dominated hypervolume is proposed, noise and running trials integrated over
    (qLogNEHVI: Daulton et al. 2021, arXiv 2105.08195, Ament et al. 2023, arXiv 2310.20708). Candidates are the edits
    of architectures of the Pareto set (source `edit`), and what points around them and from the prior decode to
    (`sample`), encoded again; or all that were given (`acquisition`). Failed trials count as worst in all objectives.

    Fallbacks are those of `LatentBOSampler`.

    Args:
        space: The space to search.
        encoder: Encodes and decodes its architectures.
        reference_point: One value for each objective, in its own units and direction, that bounds the hypervolume from
            below; a tenth of the Pareto set's range beyond its worst values if None. The study keeps one that is given
            as its attribute `graphnas:reference_point`, by which `studies.hypervolume` measures what was found.
        predictor: Fits a BoTorch model with one outcome to `n x d` latent points and `n x 1` standardised outcomes in
            double precision; an isotropic Gaussian process if None.
        metric: As in `LatentBOSampler`.
        candidates: Proposes only from these architectures, all of which are judged by the acquisition.
        n_startup_trials: Number of random architectures before the first models.
        seed: Makes proposals a function of the study's trials.

    Raises:
        ValueError: if the reference point is not finite, and from a study with one objective, or another number of them
            than `reference_point` has.
    """

    _serves_several = True

    def __init__(
        self,
        space: Space,
        encoder: Encoder,
        *,
        reference_point: Sequence[float] | None = None,
        predictor: Callable[[Tensor, Tensor], Model] | None = None,
        metric: bool = True,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        n_startup_trials: int = 10,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            space,
            encoder,
            predictor=predictor,
            metric=metric,
            candidates=candidates,
            n_startup_trials=n_startup_trials,
            seed=seed,
        )
        self.reference_point = None if reference_point is None else tuple(float(one) for one in reference_point)
        if not all(map(math.isfinite, self.reference_point or ())):
            raise ValueError(f"Expected reference_point to be finite, but got {self.reference_point}")
        self._signs: tuple[float, ...] = ()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Refuse a study that this sampler cannot serve, and name an enqueued architecture's source."""
        n = len(study.directions)
        if n < 2:
            raise ValueError(f"Expected a study with several objectives for {type(self).__name__}, but got one")
        if self.reference_point is not None and len(self.reference_point) != n:
            raise ValueError(
                f"Expected a reference_point of {n} values, one for each objective, but got {self.reference_point}"
            )
        reference = None if self.reference_point is None else list(self.reference_point)
        if study.user_attrs.get(REFERENCE_POINT_KEY) != reference:
            study.set_user_attr(REFERENCE_POINT_KEY, reference)
        self._signs = tuple(-1.0 if direction.name == "MINIMIZE" else 1.0 for direction in study.directions)
        super().before_trial(study, trial)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the candidate that promises most hypervolume."""
        first = self.startup_proposal(history, rng)
        if first is not None:
            return first
        try:
            outcomes = self._outcomes(history)
            fresh = new_rows(self._candidates(outcomes, history, rng), history)
            if not fresh:
                return self.random_proposal(history, rng, "fallback: no new candidate")
            z = torch.stack([block.z[row] for block, row in fresh])
            values = self._improvement(outcomes, z, history, seed=int(rng.integers(2**31)))
        except (ModelFittingError, NotPSDError, NanError):
            return self.random_proposal(history, rng, "fallback: the model could not be fitted")
        block, row = fresh[int(values.argmax())]
        return block.proposal(row, self.space)

    def _outcomes(self, history: History) -> Tensor:
        """`n x m` objectives, larger is better; those of failed trials are the worst of each."""
        told = [one.values for one in history.finished.values()]
        m = max(map(len, told))
        outcomes = torch.tensor([values or (torch.nan,) * m for values in told], dtype=torch.float64)
        worst = outcomes.nan_to_num(torch.inf).amin(0)
        return torch.where(outcomes.isnan(), worst, outcomes)

    def _candidates(self, outcomes: Tensor, history: History, rng: np.random.Generator) -> list[Candidates]:
        if self._listed is not None:
            return [self._listed]
        keys, known = list(history.finished), list(history.finished.values())
        feasible = torch.from_numpy(history.feasible())
        rows = feasible.nonzero()[:, 0] if feasible.any() else torch.arange(len(keys))
        rows = rows[is_non_dominated(outcomes[rows])]
        # Parents of a large Pareto set are drawn anew for every proposal.
        parents = rows[torch.from_numpy(rng.permutation(len(rows)))[:_PARENTS]].tolist()
        edits = [block for i in parents if (block := self._source.edits(known[i].architecture, keys[i]))]
        z = self.encoded({keys[i]: known[i].architecture for i in parents})
        samples = self.around(z, edit_distance(z, edits), rng, _SAMPLES)
        return [*edits, *self._source.decode({"sample": samples})]

    def _improvement(self, outcomes: Tensor, z: Tensor, history: History, *, seed: int) -> Tensor:
        """Logarithm of the expected hypervolume improvement of each of `n x d` points."""
        m = outcomes.shape[1]
        centre, scale = outcomes.mean(0), outcomes.std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        standard = (outcomes - centre) / scale
        known = self.encoded({key: one.architecture for key, one in history.finished.items()})
        signature = tuple((key, repr(one)) for key, one in history.finished.items())
        if self._fitted is None or self._fitted[0] != signature:
            models = [self.predictor(known, standard[:, [i]]) for i in range(m)]
            models += [posterior.model for posterior in self.constraint_models(history)]
            self._fitted = signature, ModelListGP(*cast(list[GPyTorchModel], models))
        model = self._fitted[1]
        feasible = torch.from_numpy(history.feasible())
        if self.reference_point is None:
            front = standard[feasible] if feasible.any() else standard
            reference = infer_reference_point(front[is_non_dominated(front)])
        else:
            signs = torch.tensor(self._signs, dtype=torch.float64)
            reference = (signs * torch.tensor(self.reference_point, dtype=torch.float64) - centre) / scale
        bounds: list[Callable[[Tensor], Tensor]] = [
            functools.partial(_outcome, column=i) for i in range(m, model.num_outputs)
        ]
        with manual_seed(seed):  # which known points may be on the front is found by draws of BoTorch's own
            acquisition = qLogNoisyExpectedHypervolumeImprovement(
                model,
                reference,
                known,
                sampler=SobolQMCNormalSampler(torch.Size([_DRAWS]), seed=seed),
                objective=IdentityMCMultiOutputObjective(outcomes=list(range(m))),
                constraints=bounds or None,
                X_pending=self.encoded(dict(sorted(history.running.items()))) if history.running else None,
                prune_baseline=True,
            )
        with torch.no_grad(), warnings.catch_warnings():
            # Points close to known ones need a little jitter.
            warnings.simplefilter("ignore", NumericalWarning)
            return torch.cat([acquisition(part[:, None]) for part in torch.split(z, _CHUNK)])


def _outcome(samples: Tensor, column: int) -> Tensor:
    return samples[..., column]
