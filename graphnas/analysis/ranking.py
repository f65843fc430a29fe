"""How well performance follows from an encoding: a Gaussian process learns from few labels and ranks other cells."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from botorch.exceptions.warnings import BotorchWarning, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.kernels import Kernel, MaternKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from graphnas.cell import IntArray
from graphnas.predictors.processes import kernel_weights, weighted_mean

FloatArray = NDArray[np.float64]

MOST_FITTED = 2_000
"""Labels that hyperparameters are fitted to at most; the posterior mean takes in all."""

SCORES = ("spearman", "pearson", "rmse")
"""Rank correlation, linear correlation, and root mean squared error in standard deviations of the training labels."""

_FEW = 500  # labels of a first fit, from which the one to more of them starts


def ranking_kernel(d: int) -> Kernel:
    """The kernel with its priors and initial values, for points of `d` columns whose variances add up to `d`.

    Matern-5/2 with one lengthscale for all dimensions, whose prior grows with `sqrt(d)` as distances do (Hvarfner et
    al. 2024, arXiv 2402.02229, with their constants).
    """
    kernel = ScaleKernel(MaternKernel(nu=2.5, lengthscale_prior=LogNormalPrior(math.sqrt(2) + math.log(d) / 2, 1.73)))
    kernel.base_kernel.lengthscale = 2 * math.sqrt(d)
    return kernel


def fit_ranking_model(X: Tensor, Y: Tensor, *, seed: int = 0) -> SingleTaskGP:
    """A Gaussian process with a constant mean, hyperparameters by MAP on at most `MOST_FITTED` of the labels.

    Args:
        X: `n x d` points in double precision, with variances that add up to about `d`.
        Y: `n x 1` standardised labels.
        seed: Seed of the choice of labels where there are more.

    Raises:
        ModelFittingError: if no fit succeeds.
    """
    order = np.random.default_rng(seed).permutation(len(X))
    few, many = order[:_FEW], order[:MOST_FITTED]
    model = _fit(X[few], Y[few], steps=60)
    # A fit to few labels takes a second and brings the slow one to within some steps of its optimum.
    return _fit(X[many], Y[many], steps=10, start=model) if len(many) > len(few) else model


def _fit(X: Tensor, Y: Tensor, *, steps: int, start: SingleTaskGP | None = None) -> SingleTaskGP:
    model = SingleTaskGP(X, Y, covar_module=ranking_kernel(X.shape[1]), outcome_transform=None)
    if start is not None:
        model.load_state_dict(start.state_dict())
    fit_gpytorch_mll(
        ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": steps}}
    )
    return model


def gp_ranking(
    x: FloatArray, y: FloatArray, train_rows: IntArray, test_rows: IntArray, *, seed: int = 0
) -> dict[str, float]:
    """How well a Gaussian process that knows the labels of some cells predicts those of others.

    Args:
        x: `n x d` encodings; they are scaled as a whole, which leaves the scales of columns to one another as they are.
        y: `n` labels.
        train_rows: Rows whose labels it knows; their mean and standard deviation standardise all.
        test_rows: Rows to predict.
        seed: Seed of the labels that hyperparameters are fitted to, where there are many.

    Returns:
        `SCORES`; correlations are 0 where all predictions or all labels are the same.

    Raises:
        ValueError: if `x` and `y` differ in length, or there are fewer than two labels to learn from or to predict.
    """
    if len(x) != len(y):
        raise ValueError(f"Expected as many labels as encodings, {len(x)}, but got {len(y)}")
    if min(len(train_rows), len(test_rows)) < 2:
        raise ValueError(
            f"Expected two or more rows to train on and to test on, but got {len(train_rows)} and {len(test_rows)}"
        )
    standard = (y - y[train_rows].mean()) / (y[train_rows].std(ddof=1) or 1.0)
    unit = math.sqrt(x[train_rows].var(0).mean()) or 1.0
    X, Z = (torch.from_numpy(np.asarray(x[rows], dtype=np.float64) / unit) for rows in (train_rows, test_rows))
    Y = torch.from_numpy(standard[train_rows])[:, None]
    with warnings.catch_warnings():
        # Of fits that end at their last step, and of points outside the unit cube.
        warnings.simplefilter("ignore", OptimizationWarning)
        warnings.simplefilter("ignore", BotorchWarning)
        model = fit_ranking_model(X, Y, seed=seed)
        predicted = weighted_mean(model, X, kernel_weights(model, X, Y[:, 0]), Z).numpy()
    truth = standard[test_rows]
    rmse = float(np.sqrt(np.mean((predicted - truth) ** 2)))
    if predicted.min() == predicted.max() or truth.min() == truth.max():
        return {"spearman": 0.0, "pearson": 0.0, "rmse": rmse}
    return {
        "spearman": float(spearmanr(predicted, truth).statistic),
        "pearson": float(pearsonr(predicted, truth).statistic),
        "rmse": rmse,
    }


class LabelDraw(NamedTuple):
    """Which cells' labels are known, and which are to be predicted."""

    seed: int
    """Seed of the draw."""
    train: IntArray
    """Rows with known labels."""
    test: IntArray
    """Rows to predict."""


def label_draws(
    rows: IntArray, counts: Sequence[int], seeds: Sequence[int], *, test: IntArray | None = None
) -> dict[int, list[LabelDraw]]:
    """Random rows to label, the same for every encoding.

    For one seed, fewer labels are among the more.

    Args:
        rows: Rows to draw from.
        counts: Numbers of labels.
        seeds: One draw for each.
        test: Rows to predict, not among `rows`; if None, a tenth of `rows`, another one for each seed.

    Returns:
        For each number of labels, the draws in the order of their seeds.

    Raises:
        ValueError: if there are too few rows.
    """
    kept = len(rows) // 10 if test is None else 0
    if max(counts, default=0) > len(rows) - kept:
        raise ValueError(f"Expected at most {len(rows) - kept} labels, but got {max(counts)}")
    draws: dict[int, list[LabelDraw]] = {count: [] for count in counts}
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(rows)
        predicted = order[len(order) - kept :] if test is None else test
        for count in counts:
            draws[count].append(LabelDraw(seed, order[:count], predicted))
    return draws


def compare_encodings(
    encodings: Mapping[str, FloatArray],
    y: FloatArray,
    draws: Mapping[int, Sequence[LabelDraw]],
    *,
    reference: str,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """`gp_ranking` of every encoding over the same draws, and its paired difference to one of them.

    Args:
        encodings: `n x d` points by name.
        y: `n` labels.
        draws: From `label_draws`.
        reference: The encoding that the others are compared with.
        progress: Called before each fit with what it is, how many are done and how many there are.

    Returns:
        One row for each number of labels and encoding: `labels`, `encoding`, `draws`, and for each of `SCORES` its
        `mean`, `sd` (None of one draw) and `by_draw`; of the others also `difference`, the mean of their score minus
        the reference's, and `standard_error` of that mean.

    Raises:
        ValueError: if the reference is none of the encodings.
    """
    if reference not in encodings:
        raise ValueError(f"Expected a reference among {', '.join(encodings)}, but got {reference!r}")
    ordered = [reference, *(name for name in encodings if name != reference)]
    total, done = sum(map(len, draws.values())) * len(ordered), 0
    table: list[dict[str, Any]] = []
    for count, drawn in draws.items():
        base: dict[str, FloatArray] = {}
        for name in ordered:
            scores = []
            for draw in drawn:
                if progress is not None:
                    progress(f"{name}, {count:,} labels", done, total)
                scores.append(gp_ranking(encodings[name], y, draw.train, draw.test, seed=draw.seed))
                done += 1
            row: dict[str, Any] = {"labels": count, "encoding": name, "draws": len(drawn)}
            for score in SCORES:
                values = np.array([one[score] for one in scores])
                row[score] = {**_summary(values), "by_draw": values.tolist()}
                if name == reference:
                    base[score] = values
                else:
                    row[score] |= _paired(values - base[score])
            table.append(row)
    return table


def _summary(values: FloatArray) -> dict[str, float | None]:
    return {"mean": float(values.mean()), "sd": float(values.std(ddof=1)) if len(values) > 1 else None}


def _paired(differences: FloatArray) -> dict[str, float | None]:
    n = len(differences)
    error = float(differences.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    return {"difference": float(differences.mean()), "standard_error": error}
