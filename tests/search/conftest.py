from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
import pytest
import torch
from torch import Tensor

from graphnas.cell import Architecture, CellArrays, canonical_arrays
from graphnas.spaces import Space

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # linear_operator uses torch.jit.script
    import botorch  # noqa: F401


class NearestCell:
    """A tiny autoencoder: random projections of the canonical cell; a point decodes to the nearest of a few cells."""

    latent_dim = 6

    def __init__(self, space: Space, codebook: int = 2000) -> None:
        self.space = space
        self.cells = space.sample_arrays(codebook, np.random.default_rng(0))
        self.projection = np.random.default_rng(1).standard_normal((self._features(self.cells).shape[1], 6))
        features = self._features(self.cells) @ self.projection
        self.mean, self.deviation = features.mean(0), features.std(0) + 1e-9
        self.latents = self.encode(self.cells)[0]

    def _features(self, cells: CellArrays) -> np.ndarray:
        v = self.space.topology.max_vertices
        ops = np.full((cells.n, v), -1)
        ops[:, : cells.ops.shape[1]] = cells.ops[:, :v]
        edges = cells.adjacency.sum(1)[:, :v], cells.adjacency.sum(2)[:, :v]
        kinds = [(ops == code).sum(1, keepdims=True) for code in range(2, len(self.space.vocabulary))]
        padded = [np.pad(part, ((0, 0), (0, v - part.shape[1]))) for part in edges]
        return np.concatenate([*kinds, *padded, cells.size[:, None]], 1).astype(np.float64)

    def encode(self, architectures: Sequence[Architecture] | CellArrays) -> tuple[Tensor, Tensor]:
        cells = architectures if isinstance(architectures, CellArrays) else self.space.to_arrays(architectures)
        cells = canonical_arrays(cells, self.space.vocabulary)
        z = torch.from_numpy((self._features(cells) @ self.projection - self.mean) / self.deviation).float()
        return z, torch.full_like(z, -4.0)

    def decode_arrays(self, z: Tensor, *, space: Space | None = None) -> CellArrays:
        return self.cells.take(torch.cdist(z, self.latents).argmin(-1).numpy())


@pytest.fixture(scope="session")
def space() -> Space:
    return Space.load("nasbench101")


@pytest.fixture(scope="session")
def small() -> Space:
    """A space of 7 classes."""
    return Space.load("nasbench101", max_vertices=3)


@pytest.fixture(scope="session")
def encoder(space: Space) -> NearestCell:
    return NearestCell(space)


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def score(architecture: Architecture) -> float:
    """A made-up accuracy: convolutions help, poolings hurt, depth helps."""
    (cell,) = architecture.cells
    return 0.8 + 0.03 * cell.ops.count("conv3x3") - 0.02 * cell.ops.count("maxpool3x3") + 0.004 * len(cell.edges)
