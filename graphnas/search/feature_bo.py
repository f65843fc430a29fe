"""Bayesian optimisation on hand-made features of cells, as an Optuna sampler."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from linear_operator.utils.errors import NanError, NotPSDError

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.features import one_hot, path_counts, wl_counts
from graphnas.encoders.statistics import graph_statistics, path_sketch, principal_axes
from graphnas.predictors.gaussian_process import ModelFittingError, fit_gaussian_process
from graphnas.predictors.posterior import Posterior
from graphnas.search.pool import FloatArray, PoolSampler, expected_improvement
from graphnas.search.sampler import CandidateList
from graphnas.spaces import Space

_COMPONENTS = 32
_BASIS_OF = 2_000  # random architectures to which units and principal components are fitted

FEATURES = ("adjacency", "statistics", "paths", "wl", "structure")
"""Names of the features: `one_hot`, `graph_statistics`, path counts, Weisfeiler-Leman counts, and 32 principal
components of the last three."""


class FeatureBOSampler(PoolSampler):
    """Bayesian optimisation on hand-made features: a Gaussian process judges a pool of mutations.

    Args:
        space: The space to propose from.
        features: One of `FEATURES`.
        acquisition: `ei`, expected improvement, or `ucb`, mean and twice the standard deviation.
        n_startup_trials: Number of random architectures before the first model.
        candidates: Proposes only these architectures, all of which are judged.
        seed: Makes proposals a function of the study's trials.
    """

    def __init__(
        self,
        space: Space,
        *,
        features: str = "wl",
        acquisition: str = "ei",
        n_startup_trials: int = 10,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space, n_startup_trials=n_startup_trials, candidates=candidates, seed=seed)
        if features not in FEATURES:
            raise ValueError(f"Expected features to be one of {', '.join(FEATURES)}, but got {features!r}")
        if acquisition not in ("ei", "ucb"):
            raise ValueError(f"Expected acquisition to be ei or ucb, but got {acquisition!r}")
        self.features, self.acquisition = features, acquisition

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """Features of architectures, in units that do not depend on them."""
        return encoding(self.space, self.features)(self.space.to_arrays(architectures))

    def fit(self, features: FloatArray, scores: FloatArray, seed: int) -> Any:
        """An isotropic Gaussian process."""
        del seed
        try:
            return Posterior(fit_gaussian_process(torch.from_numpy(features), torch.from_numpy(scores)[:, None]))
        except (NotPSDError, NanError) as error:
            raise ModelFittingError(str(error)) from error

    def judge(self, model: Any, features: FloatArray, best: float, rng: np.random.Generator) -> FloatArray:
        """Expected improvement or upper confidence bound."""
        del rng
        with torch.no_grad():
            mean, deviation = (one.numpy() for one in model.moments(torch.from_numpy(features)))
        return expected_improvement(mean, deviation, best) if self.acquisition == "ei" else mean + 2 * deviation


@functools.lru_cache(maxsize=16)
def encoding(space: Space, features: str) -> Callable[[CellArrays], FloatArray]:
    """A function from the cells of `n` architectures to `n x f` features.

    Columns are centred and in common units such that the variance of all is that of as many standard normal ones, over
    random architectures of the space.
    """
    parts, vocabulary = len(space.cell_names), space.vocabulary
    basis = space.sample_arrays(_BASIS_OF, np.random.default_rng(0))

    def raw(cells: CellArrays) -> list[FloatArray]:
        cells = space.topology.canonical(cells).padded(space.topology.max_vertices)
        blocks = {
            "adjacency": lambda: [one_hot(cells, vocabulary)],
            "statistics": lambda: [graph_statistics(cells, vocabulary)],
            "paths": lambda: [_paths(space, cells)],
            "wl": lambda: [wl_counts(cells, vocabulary)],
            "structure": lambda: [
                graph_statistics(cells, vocabulary),
                _paths(space, cells),
                wl_counts(cells, vocabulary),
            ],
        }[features]()
        return [block.reshape(cells.n // parts, -1) for block in blocks]

    fitted = raw(basis)
    means = [block.mean(0) for block in fitted]
    units = [np.ones(block.shape[1]) for block in fitted]
    if features in ("statistics", "structure"):
        # Statistics have units of their own; the blocks get equal total variance.
        units[0] = np.where(fitted[0].std(0) > 1e-9, fitted[0].std(0), 1.0)
    for block, mean, unit in zip(fitted, means, units, strict=True):
        unit *= float(np.sqrt((((block - mean) / unit) ** 2).sum(1).mean())) or 1.0

    def joined(cells: CellArrays) -> FloatArray:
        blocks = zip(raw(cells), means, units, strict=True)
        return np.concatenate([(block - mean) / unit for block, mean, unit in blocks], axis=1)

    points = joined(basis)
    axes = np.eye(points.shape[1])
    if features == "structure":
        axes = principal_axes(points)[1][:_COMPONENTS].T
    spread = float((points @ axes).var(0).sum())
    axes = axes * np.sqrt(axes.shape[1] / spread)
    return lambda cells: joined(cells) @ axes


def _paths(space: Space, cells: CellArrays) -> FloatArray:
    """Path counts in columns that are the same for all cells of the space, or their sketch if these are too many."""
    try:
        return path_counts(cells, space.vocabulary)
    except ValueError:
        return path_sketch(cells, space.vocabulary)
