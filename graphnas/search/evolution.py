"""Regularized (aging) evolution as an Optuna sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphnas.cell import Architecture
from graphnas.search.sampler import CandidateList, CellSampler, History, Proposal
from graphnas.spaces import Space


class RegularizedEvolutionSampler(CellSampler):
    """Regularized evolution (Real et al. 2019, arXiv 1802.01548, Alg. 1).

    The population is the last `population` successful trials: the oldest leaves whatever its value. A parent is the
    best of `sample_size` members drawn without replacement; the child is a neighbour of it drawn uniformly. Departures
    from the paper: only architectures that the study does not know are proposed (source `mutation`), since repeating
    one tells a search nothing, so members without a new neighbour do not compete; members are judged by the mean of
    all trials of their architecture; and the tournament is larger (the paper's is a quarter of the population), which
    is stronger in short runs.

    Args:
        space: The space to propose from.
        candidates: Proposes only these architectures; mutations that lead elsewhere do not count.
        population: Size of the population; as many random architectures come first.
        sample_size: Size of the tournament; three quarters of the population if None.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        *,
        population: int = 20,
        sample_size: int | None = None,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, candidates=candidates, seed=seed)
        sample_size = max(1, 3 * population // 4) if sample_size is None else sample_size
        if not 1 <= sample_size <= population:
            raise ValueError(
                f"Expected 1 <= sample_size <= population, but got sample_size {sample_size}, population {population}"
            )
        self.population = population
        self.sample_size = sample_size

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture until the population is full, then a mutation of a tournament's winner."""
        members = [one for one in history.finished.values() if math.isfinite(one.value)][-self.population :]
        if len(history.hashes) < self.population:
            return self.random_proposal(history, rng)
        if not members:
            return self.random_proposal(history, rng, "fallback: no finished trials")
        litters = [(one.value, self.new_neighbours(one.architecture, one.hash, history)) for one in members]
        parents = [(value, litter) for value, litter in litters if litter]
        if not parents:
            return self.random_proposal(history, rng, "fallback: no new neighbour")
        drawn = rng.choice(len(parents), min(self.sample_size, len(parents)), replace=False)
        _, litter = max((parents[row] for row in drawn), key=lambda parent: parent[0])
        child, key = litter[int(rng.integers(len(litter)))]
        return Proposal(child, key, "mutation")
