"""The metric of the latent search: which directions of the latent space count how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.features import FloatArray, varying
from graphnas.encoders.objective import Recipe
from graphnas.encoders.protocol import Encoder, check_encoder
from graphnas.encoders.statistics import principal_axes, structure_targets
from graphnas.networks import log_costs
from graphnas.predictors.flow import flow_paths, flow_statistics
from graphnas.spaces import Space

# Chosen on NAS-Bench-101 and 201 with seeds apart from those reported.
_SHARPNESS = 1.25  # power of the spread of the structure's principal components; above 1 the widest count more
_ISOTROPIC = 0.35  # share of the latent means themselves, in standard deviations of the structure's part
_RANDOM = 2_000  # architectures that the metric is fitted to


class MetricEncoder:
    """An encoder whose latent points are given in coordinates in which distances mean more to a Gaussian process.

    A standard normal prior makes an autoencoder use all latent directions about equally, while few of them hold most
    of what tells good cells from bad ones. The structure of cells knows which: the label-free targets that the encoder
    was trained to predict and, where the space asks for it, what a cell computes along its paths (`flow`), in a total
    variance of `encoder.flow` times that of the targets, all predicted linearly from `z`. Coordinates are `u = z A`,
    with `A A^T` proportional to the sum of the metric of those predictions, principal components sharpened, and a share
    of the metric of `z`. `A` is invertible, so points decode as before. No accuracy is involved; the metric is a
    function of the space, the encoder and nothing else.

    Args:
        space: Random architectures of it show what the structure is, and how latent means spread.
        encoder: Encodes and decodes `z`.

    Raises:
        TypeError, ValueError: as `check_encoder`.
    """

    def __init__(self, space: Space, encoder: Encoder) -> None:
        check_encoder(space, encoder)
        self.encoder = encoder
        self.space = getattr(encoder, "space", space)
        self.latent_dim = encoder.latent_dim
        self.axes, self.centre = _fit(space, encoder)
        """`d x d` matrix `A`, and the mean of `u` over the space, which is subtracted."""
        self._inverse = torch.linalg.inv(self.axes)

    def encode(self, architectures: Sequence[Architecture] | CellArrays) -> tuple[Tensor, Tensor]:
        """Coordinates of the latent means, `n x d`, and logarithms of their variances."""
        mu, log_variance = self.encoder.encode(architectures)
        variance = log_variance.double().cpu().exp() @ self.axes.square()
        return mu.double().cpu() @ self.axes - self.centre, variance.log()

    def decode_arrays(self, u: Tensor, *, space: Space | None = None) -> CellArrays:
        """The cells that `n x d` coordinates decode to."""
        return self.encoder.decode_arrays(((u.double() + self.centre) @ self._inverse).float(), space=space)


def _fit(space: Space, encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Coordinates whose total variance over the space is the number of dimensions, widest first."""
    cells = space.topology.canonical(space.sample_arrays(_RANDOM, np.random.default_rng(0)))
    with torch.no_grad():
        z = encoder.encode(cells)[0].double().cpu().numpy()
    targets = structure_targets(
        cells, space.vocabulary, log_costs(space, cells), places_size=Recipe.for_space(space).places
    )
    blocks, flow = [(targets, 1.0)], space.encoder.get("flow", 0.0)
    if flow:
        blocks.append((_flow(space, cells), math.sqrt(flow)))
    structure = np.concatenate([_scaled(block.reshape(len(z), -1), size) for block, size in blocks], axis=1)
    centred = z - z.mean(0)
    weights = np.linalg.lstsq(centred, structure, rcond=1e-6)[0]
    # Principal components of the predictions, as a map of z: there are no more of them than dimensions of z, while path
    # counts may have thousands of columns, so what the eigenvectors are taken of is d x d.
    root = np.linalg.qr(centred, mode="r") @ weights
    spread, turned = principal_axes(root.T)
    relative = spread / max(float(spread[0]), 1e-12)
    kept = relative > 1e-6
    components = (turned[kept] @ root) / spread[kept, None]
    predicted = weights @ components.T * relative[kept] ** (_SHARPNESS - 1)
    parts = [
        share * part / _size(centred @ part) for part, share in ((predicted, 1.0), (np.eye(z.shape[1]), _ISOTROPIC))
    ]
    # The metric is that of both parts side by side; a square root of it keeps the number of dimensions.
    values, vectors = np.linalg.eigh(sum(part @ part.T for part in parts))
    axes = (vectors * np.sqrt(values))[:, ::-1].copy()
    axes *= math.sqrt(z.shape[1]) / _size(centred @ axes)
    return torch.from_numpy(axes), torch.from_numpy(z.mean(0) @ axes)


def _flow(space: Space, cells: CellArrays) -> FloatArray:
    """Statistics and label sequences of the paths that something flows through, in equal total variance."""
    statistics = varying(flow_statistics(space, cells))
    return np.column_stack([_scaled(statistics / statistics.std(0), 1.0), _scaled(flow_paths(space, cells), 1.0)])


def _scaled(points: FloatArray, size: float) -> FloatArray:
    """Centred points of that size."""
    scaled: FloatArray = (points - points.mean(0)) * (size / _size(points))
    return scaled


def _size(points: FloatArray) -> float:
    """Root of the total variance of `n x d` points; 1 if they are all the same."""
    return math.sqrt(float(points.var(0).sum())) or 1.0
