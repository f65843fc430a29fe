"""The product of two Matern kernels, one of latent points and one of hyperparameters."""

from __future__ import annotations

from typing import Any

import torch
from gpytorch.constraints import Interval
from gpytorch.kernels import Kernel, MaternKernel
from torch import Tensor, nn

_COMMON = 0.5  # at first
_MOST_COMMON = 0.98  # so that architectures never count for nothing


class MaternProduct(Kernel):  # type: ignore[misc]
    """`k(x, y) = (c + (1 - c) latent(x, y)) settings(x, y)`, each of its own columns.

    What hyperparameters do is the same for all architectures in a share `c` of it, which is learnt from 0 to 0.98: with
    a plain product, what is known of a learning rate would say little of it beside another architecture.

    GPyTorch's product of kernels becomes a product of roots where it is multiplied by that of several budgets, which is
    slow and inexact; this one is a plain matrix.

    Args:
        latent: Of the columns in its `active_dims`.
        settings: Likewise.
    """

    def __init__(self, latent: MaternKernel, settings: MaternKernel) -> None:
        super().__init__()
        self.latent, self.settings = latent, settings
        self.register_parameter("common", nn.Parameter(torch.tensor(_COMMON)))
        self.register_constraint("common", Interval(0.0, _MOST_COMMON, transform=None, initial_value=_COMMON))

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """`batch_shape x n x m` covariances, or with `diag` the `batch_shape x n` of equal rows."""
        parts = [kernel(x1, x2, diag=diag, **params) for kernel in (self.latent, self.settings)]
        first, second = (part if diag else part.to_dense() for part in parts)
        product: Tensor = (self.common + (1 - self.common) * first) * second
        return product
