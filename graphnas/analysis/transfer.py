"""Whether what is known of one space's cells tells the good cells of another."""

from __future__ import annotations

import math
import warnings
from typing import Any, cast

import numpy as np
import torch
from botorch.exceptions.warnings import BotorchWarning, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.kernels import LinearKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from numpy.typing import NDArray
from torch import Tensor

from graphnas.analysis.ranking import fit_ranking_model, ranking_kernel
from graphnas.cell import IntArray

FloatArray = NDArray[np.float64]


class SourceModel:
    """A Gaussian process of the labels in one space, asked about the cells of another.

    Args:
        x: `n x d` points of the source's cells, in coordinates that both spaces share.
        y: `n` labels.
        seed: Seed of the labels that hyperparameters are fitted to, where there are many.
    """

    def __init__(self, x: FloatArray, y: FloatArray, *, seed: int = 0) -> None:
        self.unit = math.sqrt(x.var(0).mean()) or 1.0
        self.centre, self.scale = float(y.mean()), float(y.std(ddof=1)) or 1.0
        with warnings.catch_warnings():
            _silence()
            self.model = fit_ranking_model(self._scaled(x), self._standard(y)[:, None], seed=seed)

    def condition(self, x: FloatArray, y: FloatArray) -> None:
        """Know other labels, of `n x d` points; hyperparameters stay as they are."""
        cast(Any, self.model).set_train_data(self._scaled(x), self._standard(y), strict=False)

    def _standard(self, y: FloatArray) -> Tensor:
        return torch.from_numpy((y - self.centre) / self.scale)

    def _scaled(self, x: FloatArray) -> Tensor:
        return torch.from_numpy(np.asarray(x, dtype=np.float64) / self.unit)

    def predict(self, x: FloatArray) -> FloatArray:
        """`n` predictions in standard deviations of the source's labels."""
        return self.moments(x)[0]

    def moments(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """`n` means and standard deviations of labels, noise included, in those of the source's labels."""
        with warnings.catch_warnings(), torch.no_grad():
            _silence()
            posterior = self.model.posterior(self._scaled(x), observation_noise=True)
            mean, std = posterior.mean[:, 0], posterior.variance[:, 0].sqrt()
        return mean.detach().numpy(), std.detach().numpy()


def predict_transferred(
    source: FloatArray | None, x: FloatArray, y: FloatArray, train_rows: IntArray, test_rows: IntArray
) -> FloatArray:
    """Predictions of a space's cells from another space's labels and few of their own.

    With no labels of their own, what the source's model says. Otherwise a Gaussian process that adds to a multiple of
    it a function of the points, both fitted to the labels known.

    Args:
        source: `n` predictions of a `SourceModel`; None for the space's own labels alone.
        x: `n x d` points of the cells.
        y: `n` labels, of which those of `train_rows` are used.
        train_rows: Rows whose labels are known, none or two and more.
        test_rows: Rows to predict.

    Raises:
        ValueError: if there is neither a source nor a label, or one label alone.
    """
    if len(train_rows) == 1 or (source is None and not len(train_rows)):
        raise ValueError(f"Expected a source, or two or more labels, but got {len(train_rows)} labels")
    if not len(train_rows):
        assert source is not None
        return source[test_rows]
    d = x.shape[1]
    unit = math.sqrt(x.var(0).mean()) or 1.0
    columns, kernel = [x / unit], ranking_kernel(d)
    if source is not None:
        columns.append(((source - source.mean()) / (source.std() or 1.0))[:, None])
        kernel.base_kernel.active_dims = torch.arange(d)
        kernel = kernel + ScaleKernel(_DenseLinearKernel(active_dims=[d]))
    points = torch.from_numpy(np.column_stack(columns).astype(np.float64))
    known = y[train_rows]
    standard = torch.from_numpy((known - known.mean()) / (known.std(ddof=1) or 1.0))[:, None]
    with warnings.catch_warnings():
        _silence()
        model = SingleTaskGP(points[train_rows], standard, covar_module=kernel, outcome_transform=None)
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": 60}}
        )
        return model.posterior(points[test_rows]).mean[:, 0].detach().numpy()


class _DenseLinearKernel(LinearKernel):  # type: ignore[misc]
    """A linear kernel whose sum with another is computed as such.

    Of a low-rank one the sum is taken by roots of both, for which eigenvalues are sought that may not be found.
    """

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """`n x m` products of points, or `n` of them."""
        found = super().forward(x1, x2, diag=diag, **params)
        return found if isinstance(found, Tensor) else found.to_dense()


def _silence() -> None:
    """No warnings of fits that end at their last step, and of points outside the unit cube."""
    warnings.simplefilter("ignore", OptimizationWarning)
    warnings.simplefilter("ignore", BotorchWarning)
