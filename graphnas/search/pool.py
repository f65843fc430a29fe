"""What predictor-guided searches share: a pool of mutations of the best, and a model that judges it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from graphnas.cell import Architecture, CellArrays
from graphnas.predictors.gaussian_process import ModelFittingError, normal_scores
from graphnas.search.sampler import CandidateList, CellSampler, History, Proposal
from graphnas.spaces import Space

FloatArray = NDArray[np.float64]

_PARENTS = 10  # best architectures whose neighbours are in the pool
_RANDOM = 100  # random architectures in the pool


class PoolSampler(CellSampler):
    """Base of samplers that judge a pool of candidates with a model of the finished trials.

    After random architectures, the pool is made of all new neighbours of the best architectures (source `mutation`) and
    of random ones (source `sample`), or else of all given candidates. Outcomes are normal scores, failed trials the
    worst. Trials in parallel take the best of the pool that is neither finished nor running.

    Args:
        space: The space to propose from.
        n_startup_trials: Number of random architectures before the first model.
        candidates: Proposes only these architectures, all of which are judged.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        *,
        n_startup_trials: int = 10,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, candidates=candidates, seed=seed)
        if n_startup_trials < 0:
            raise ValueError(f"Expected n_startup_trials to be at least 0, but got {n_startup_trials}")
        self.n_startup_trials = n_startup_trials
        self._features: dict[str, FloatArray] = {}
        self._fitted: tuple[Any, Any] | None = None

    @abstractmethod
    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """`n x f` features of architectures, each row a function of its architecture alone."""

    @abstractmethod
    def fit(self, features: FloatArray, scores: FloatArray, seed: int) -> Any:
        """A model of `n` normal scores, larger is better.

        Raises:
            ModelFittingError: if there is none.
        """

    @abstractmethod
    def judge(self, model: Any, features: FloatArray, best: float, rng: np.random.Generator) -> FloatArray:
        """How promising `n` candidates are, larger is better.

        Args:
            model: What `fit` returned.
            features: `n x f` features of the candidates.
            best: The best score observed.
            rng: Source of what is random in it.
        """

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the most promising of a pool."""
        if len(history.hashes) < self.n_startup_trials:
            return self.random_proposal(history, rng)
        finished = history.finished
        finite = [one.value for one in finished.values() if math.isfinite(one.value)]
        if len(finite) < 2:
            return self.random_proposal(history, rng, "fallback: fewer than two finite values")
        if len({one.value for one in finished.values()}) < 2:
            return self.random_proposal(history, rng, "fallback: all values are equal")
        pool, sources = self._pool(history, rng)
        if not pool:
            return self.random_proposal(history, rng, "fallback: no new candidate")
        signature = tuple((key, repr(one.value)) for key, one in finished.items())
        scores = normal_scores([one.value for one in finished.values()])[:, 0].numpy()
        try:
            if self._fitted is None or self._fitted[0] != signature:
                known = self._encoded({key: one.architecture for key, one in finished.items()})
                # The model of a state of the study is the same whichever trial asks first.
                seed = int(np.random.SeedSequence((self.seed, len(signature))).generate_state(1)[0])
                self._fitted = signature, self.fit(known, scores, seed)
            values = self.judge(self._fitted[1], self._encoded(pool), float(scores.max()), rng)
        except ModelFittingError:
            return self.random_proposal(history, rng, "fallback: the model could not be fitted")
        key = list(pool)[int(values.argmax())]
        return Proposal(pool[key], key, sources[key])

    def _pool(self, history: History, rng: np.random.Generator) -> tuple[dict[str, Architecture], dict[str, str]]:
        """New candidates and their sources, by hash."""
        if self.candidates is not None:
            listed = self.candidates.architectures
            pool = {key: one for key, one in listed.items() if key not in history.hashes}
            return pool, dict.fromkeys(pool, "acquisition")
        pool, sources = {}, {}
        ranked = sorted(
            (one for one in history.finished.values() if math.isfinite(one.value)),
            key=lambda one: one.value,
            reverse=True,
        )
        for parent in ranked[:_PARENTS]:
            for child, key in self.new_neighbours(parent.architecture, parent.hash, history):
                pool[key], sources[key] = child, "mutation"
        for architecture, key in zip(*self._draw(_RANDOM, rng), strict=True):
            if key not in history.hashes and key not in pool:
                pool[key], sources[key] = architecture, "sample"
        return pool, sources

    def _encoded(self, architectures: dict[str, Architecture]) -> FloatArray:
        new = {key: one for key, one in architectures.items() if key not in self._features}
        if new:
            self._features.update(zip(new, self.encode(list(new.values())), strict=True))
        return np.stack([self._features[key] for key in architectures])


def flat_cells(space: Space, architectures: Sequence[Architecture]) -> FloatArray:
    """`n x f` labels and edges of canonical cells."""
    topology = space.topology
    cells = topology.canonical(space.to_arrays(architectures)).padded(topology.max_vertices)
    flat = np.concatenate([cells.ops, cells.adjacency.reshape(cells.n, -1)], axis=1)
    return flat.reshape(len(architectures), -1).astype(np.float64)


def cells_of(space: Space, flat: FloatArray) -> CellArrays:
    """Inverse of `flat_cells`."""
    v = space.topology.max_vertices
    rows = flat.reshape(len(flat) * len(space.cell_names), -1)
    ops = rows[:, :v].astype(np.int8)
    return CellArrays(ops, rows[:, v:].reshape(-1, v, v) > 0, (ops >= 0).sum(1).astype(np.int8))


def expected_improvement(mean: FloatArray, deviation: FloatArray, best: float) -> FloatArray:
    """Expected improvement over `best` of normal beliefs (Jones et al. 1998, Eq. 15).

    Args:
        mean: `n` means.
        deviation: `n` standard deviations, 0 where nothing is uncertain.
        best: The value to improve on.
    """
    safe = np.maximum(deviation, 1e-9)
    u = (mean - best) / safe
    improvement: FloatArray = safe * (u * norm.cdf(u) + norm.pdf(u))
    # Far below the best all improvements are 0 in double precision, where the least unlikely should still win.
    return np.where(improvement > 0, improvement, u * 1e-300)
