"""BOHB's proposals: densities of good and bad candidates, budget by budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr, ndtri

from graphnas.cell import Architecture
from graphnas.search.sampler import CandidateList, CellSampler, History, Proposal, split_key
from graphnas.spaces import HyperparameterSpace, Space

FloatArray = NDArray[np.float64]

_DRAWS = 64  # draws from the good density, the best of which is proposed
_WIDENED = 3.0  # bandwidths of numbers when they are drawn
_LEAST = 1e-3  # bandwidth
_FLOOR = math.log(1e-32)  # of a density


class BOHBSampler(CellSampler):
    """The model of BOHB (Falkner et al. 2018, arXiv 1807.01774): kernel densities that never mix budgets.

    At the largest budget that has enough candidates, three more than there are decisions and hyperparameters, one
    density is fitted to the best 15 % and one to the worst 85 %, each to at least one candidate more than there are
    decisions and hyperparameters, so that both share some while candidates are few. Of 64 draws from the first,
    widened, the one with the best ratio of both is proposed; a third of all proposals is random. Until a budget has
    enough, all are. Trials without budgets count as having one. The source of a proposal is `model` or `random`.

    Optuna's TPE differs: it calls 10 % and at most 25 trials good, draws 24 times, and has one model, in which a trial
    that ended early counts by the step that it reached. What ends trials is the study's pruner: with
    `studies.Fidelity`, Optuna's asynchronous Hyperband, where BOHB waits for all candidates of a rung.

    Decisions are those of the canonical cell; a draw that is not legal becomes the nearest legal one before it is
    judged.

    Args:
        space: The space to search.
        hyperparameters: What else is searched.
        random_share: Share of random proposals.
        good_share: Share of candidates that are good.
        candidates: Proposes only these architectures, which count as choices of one decision.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        hyperparameters: HyperparameterSpace | None = None,
        *,
        random_share: float = 1 / 3,
        good_share: float = 0.15,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, candidates=candidates, hyperparameters=hyperparameters, seed=seed)
        for name, share in (("random_share", random_share), ("good_share", good_share)):
            if not 0 <= share <= 1:
                raise ValueError(f"Expected {name} to be a number from 0 to 1, but got {share!r}")
        self.random_share, self.good_share = random_share, good_share
        if self.candidates is not None:
            choices = [len(self.candidates.hashes)]
        else:
            choices = [len(decision.choices) for decision in space.topology.decisions] * len(space.cell_names)
        self._decisions = len(choices)
        parameters = () if hyperparameters is None else hyperparameters.parameters
        # Numbers have no levels.
        self._levels = np.array([*choices, *(len(parameter.choices) for parameter in parameters)])
        self._vectors: dict[str, FloatArray] = {}

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """The most promising of some draws from the good density, or a random candidate."""
        # Apart, so that a search without the model is that of `RandomCellSampler`, trial for trial.
        (chance,) = rng.spawn(1)
        densities = self._fit(history, chance)
        if densities is None or chance.random() < self.random_share:
            return self.random_proposal(history, rng)
        good, bad = densities
        drawn = self._legal(good.draw(_DRAWS, rng))
        ratio = np.maximum(good.log(drawn), _FLOOR) - np.maximum(bad.log(drawn), _FLOOR)
        for row in np.argsort(-ratio, kind="stable"):
            proposal = self._proposal(drawn[row])
            if proposal.key not in history.hashes:
                return proposal
        return self.random_proposal(history, rng)

    def _fit(self, history: History, rng: np.random.Generator) -> tuple[_Density, _Density] | None:
        """Densities of the good and the bad at the largest budget that has enough; None if none has."""
        least = len(self._levels) + 1
        known = {**history.running, **{key: one.architecture for key, one in history.finished.items()}}
        for _, reached in sorted(history.by_budget().items(), reverse=True):
            # An enqueued architecture need not be among the candidates.
            told = {key: value for key, value in reached.items() if self._is_candidate(key)}
            n = len(told)
            if n < least + 2:
                continue
            values = np.array(list(told.values()))
            order = np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")
            vectors = self._encoded({key: known[key] for key in told})[order]
            parts = (
                vectors[: max(least, int(self.good_share * n))],
                vectors[-max(least, int((1 - self.good_share) * n)) :],
            )
            good, bad = (_Density.of(_imputed(part, self._levels, rng), self._levels) for part in parts)
            return good, bad
        return None

    def _is_candidate(self, key: str) -> bool:
        return self.candidates is None or split_key(key)[0] in self.candidates.architectures

    def _encoded(self, architectures: Mapping[str, Architecture]) -> FloatArray:
        """`n x t` codes of decisions, choices and numbers, by key; NaN where a hyperparameter has no value."""
        new = {key: one for key, one in architectures.items() if key not in self._vectors}
        for key, decisions in zip(new, self._decided(new), strict=True):
            hyper: list[float] = []
            settings = split_key(key)[1]
            for parameter in () if self.hyperparameters is None else self.hyperparameters.parameters:
                if parameter.name not in settings:
                    hyper.append(math.nan)
                elif parameter.choices:
                    hyper.append(parameter.choices.index(settings[parameter.name]))
                else:
                    hyper.append(float(parameter.to_unit(settings[parameter.name])[0]))
            self._vectors[key] = np.array([*decisions, *hyper])
        return np.stack([self._vectors[key] for key in architectures])

    def _decided(self, architectures: Mapping[str, Architecture]) -> FloatArray:
        if not architectures:
            return np.zeros((0, self._decisions))
        if self.candidates is not None:
            places = {key: place for place, key in enumerate(self.candidates.hashes)}
            return np.array([[float(places[split_key(key)[0]])] for key in architectures])
        topology, cells = self.space.topology, self.space.to_arrays(list(architectures.values()))
        return topology.encode(topology.canonical(cells)).reshape(len(architectures), -1).astype(np.float64)

    def _legal(self, vectors: FloatArray) -> FloatArray:
        """Draws with the decisions of the nearest legal architectures, in canonical order."""
        if self.candidates is None:
            topology = self.space.topology
            cells = topology.canonical(self.space.nearest(vectors[:, : self._decisions].astype(np.int64)))
            vectors[:, : self._decisions] = topology.encode(cells).reshape(len(vectors), -1)
        return vectors

    def _proposal(self, vector: FloatArray) -> Proposal:
        codes = vector[: self._decisions].astype(np.int64)
        if self.candidates is not None:
            key = self.candidates.hashes[codes[0]]
            architecture = self.candidates.architectures[key]
        else:
            architecture = self.space.build(codes)
            key = self.space.hash(architecture)
        settings = {}
        if self.hyperparameters is not None:
            point = np.zeros((1, self.hyperparameters.width))
            for parameter, value in zip(self.hyperparameters.parameters, vector[self._decisions :], strict=True):
                columns = self.hyperparameters.columns[parameter.name]
                point[0, columns] = np.eye(parameter.width)[int(value)] if parameter.choices else value
            (settings,) = self.hyperparameters.from_unit(point)
        return Proposal(architecture, key, "model", settings)


class _Density(NamedTuple):
    """A kernel density of numbers in `[0, 1]` and codes (Falkner et al. 2018, Sec. 3.2; Aitchison & Aitken 1976)."""

    data: FloatArray
    """`n x t` points."""
    levels: NDArray[np.int64]
    """How many codes each of the `t` columns has; 0 for a number."""
    bandwidth: FloatArray

    @classmethod
    def of(cls, data: FloatArray, levels: NDArray[np.int64]) -> Self:
        """With bandwidths by the normal reference rule; those of codes not beyond what makes all of them equal."""
        n, t = data.shape
        bandwidth = np.maximum(1.06 * data.std(0) * n ** (-1 / (4 + t)), _LEAST)
        uniform = 1 - 1 / np.maximum(levels, 1)
        return cls(data, levels, np.where(levels > 0, np.minimum(bandwidth, uniform), bandwidth))

    def log(self, points: FloatArray) -> FloatArray:
        """Logarithm of the density at `m x t` points."""
        total = np.zeros((len(points), len(self.data)))
        for column, (levels, width) in enumerate(zip(self.levels, self.bandwidth, strict=True)):
            apart = points[:, column, None] - self.data[:, column]
            if levels == 0:
                total += -0.5 * (apart / width) ** 2 - math.log(width * math.sqrt(2 * math.pi))
            elif levels > 1:
                total += np.where(apart == 0, np.log1p(-width), np.log(width / (levels - 1)))
        found: FloatArray = logsumexp(total, axis=1) - math.log(len(self.data))
        return found

    def draw(self, m: int, rng: np.random.Generator) -> FloatArray:
        """`m x t` points, each near one of the data; numbers are spread more widely than the density."""
        points = self.data[rng.integers(len(self.data), size=m)].copy()
        for column, (levels, width) in enumerate(zip(self.levels, self.bandwidth, strict=True)):
            uniform = rng.random(m)
            if levels == 0:
                points[:, column] = _truncated(points[:, column], _WIDENED * width, uniform)
            else:
                changed = uniform < width
                points[changed, column] = rng.integers(levels, size=m)[changed]
        return points


def _truncated(mean: FloatArray, deviation: float, uniform: FloatArray) -> FloatArray:
    """Quantiles of normal distributions cut off beyond `[0, 1]`."""
    low, high = ndtr(-mean / deviation), ndtr((1 - mean) / deviation)
    return (mean + deviation * ndtri(low + uniform * (high - low))).clip(0.0, 1.0)


def _imputed(vectors: FloatArray, levels: NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
    """With the value of a random other row where a hyperparameter has none, or any value if it has none anywhere."""
    vectors = vectors.copy()
    for column in np.flatnonzero(np.isnan(vectors).any(0)):
        missing = np.isnan(vectors[:, column])
        known = vectors[~missing, column]
        if not known.size:
            known = rng.random(len(vectors)) if levels[column] == 0 else np.arange(float(levels[column]))
        vectors[missing, column] = rng.choice(known, size=int(missing.sum()))
    return vectors
