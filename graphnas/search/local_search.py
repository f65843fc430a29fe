"""Local search as an Optuna sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphnas.cell import Architecture
from graphnas.search.sampler import CandidateList, CellSampler, History, Observation, Proposal
from graphnas.spaces import Space


class LocalSearchSampler(CellSampler):
    """Local search (White et al. 2021, arXiv 2004.08996, Alg. 1), taking the first improvement.

    From the best of some random architectures, neighbours are tried in random order (source `neighbour`); one that is
    better takes its place at once. Where no untried neighbour is left, the search starts again from a random
    architecture (source `restart`). The paper tries all neighbours before it moves; moving at once is stronger.

    Where the search stands is read off the order of the study's trials, so it goes on from any study.

    Args:
        space: The space to propose from.
        n_startup_trials: Number of random architectures of which the best is the first start.
        candidates: Proposes only these architectures; neighbours beyond them do not count.
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
        if n_startup_trials < 1:
            raise ValueError(f"Expected n_startup_trials to be at least 1, but got {n_startup_trials}")
        self.n_startup_trials = n_startup_trials

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then an untried neighbour of where the search stands."""
        if len(history.hashes) < self.n_startup_trials:
            return self.random_proposal(history, rng)
        here = self._here(history)
        if here is None:
            return self.random_proposal(history, rng, "fallback: no finished trials")
        neighbours = self.new_neighbours(here.architecture, here.hash, history)
        if not neighbours:
            return self.random_proposal(history, rng, "restart")
        architecture, key = neighbours[int(rng.integers(len(neighbours)))]
        return Proposal(architecture, key, "neighbour")

    def _here(self, history: History) -> Observation | None:
        """Where the search stands: the walk is taken again from the first trial on."""
        here: Observation | None = None
        around: set[str] = set()
        tried: set[str] = set()
        for number, one in enumerate(history.finished.values()):
            better = math.isfinite(one.value) and (here is None or one.value > here.value)
            if here is not None and number >= self.n_startup_trials and one.hash not in around:
                # Only a restart leads away, and only when all around had been tried.
                better = math.isfinite(one.value) and around <= tried
            tried.add(one.hash)
            if better:
                here = one
                if number + 1 >= self.n_startup_trials:
                    around = {key for _, key in self.neighbours(one.architecture, one.hash)}
            if here is not None and number + 1 == self.n_startup_trials:
                around = {key for _, key in self.neighbours(here.architecture, here.hash)}
        return here
