"""The product of two Matern kernels, one of latent points and one of hyperparameters."""

from __future__ import annotations

from typing import Any

from gpytorch.kernels import Kernel, MaternKernel
from torch import Tensor


class MaternProduct(Kernel):  # type: ignore[misc]
    """`k(x, y) = latent(x, y) settings(x, y)`, each of its own columns.

    GPyTorch's product of kernels becomes a product of roots where it is multiplied by that of several budgets, which is
    slow and inexact; this one is a plain matrix.

    Args:
        latent: Of the columns in its `active_dims`.
        settings: Likewise.
    """

    def __init__(self, latent: MaternKernel, settings: MaternKernel) -> None:
        super().__init__()
        self.latent, self.settings = latent, settings

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """`batch_shape x n x m` covariances, or with `diag` the `batch_shape x n` of equal rows."""
        parts = [kernel(x1, x2, diag=diag, **params) for kernel in (self.latent, self.settings)]
        first, second = (part if diag else part.to_dense() for part in parts)
        product: Tensor = first * second
        return product
