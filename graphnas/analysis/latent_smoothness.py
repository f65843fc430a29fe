"""How smooth an encoding is: whether cells that differ by few edits lie close to one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from graphnas.analysis.walks import random_walks
from graphnas.cell import BoolArray, CellArrays, IntArray, stack_arrays
from graphnas.encoders import CellAutoencoder
from graphnas.spaces import Space
from graphnas.spaces.edit_distance import cell_distance

FloatArray = NDArray[np.float64]
Encoding = Callable[[CellArrays], FloatArray]
"""From canonical cells of `n` architectures, those of one in consecutive rows, to `n x d` points."""

MOST_STEPS = 5
"""Edits of a walk at most."""


@dataclass(frozen=True)
class EditPairs:
    """Pairs of architectures whose edit distance is known."""

    first: CellArrays
    """Canonical cells of the first architectures of all `n` pairs, those of one in consecutive rows."""
    second: CellArrays
    """Likewise of the second ones, of the same width."""
    distance: IntArray
    """`n` exact edit distances."""
    walked: BoolArray
    """`n`: whether the second architecture was reached by a walk from the first, or else drawn independently."""


def draw_pairs(space: Space, cells: CellArrays, *, seed: int = 0, pairs: int = 10_000) -> EditPairs:
    """Random pairs of different architectures, and as many ends of walks of 0 to 5 random single edits.

    Distances are those of `cell_distance`, summed over the cells of an architecture.

    Args:
        space: The space.
        cells: Cells of two or more architectures, those of one in consecutive rows.
        seed: Seed of the pairs and walks.
        pairs: Number of pairs of either sort.

    Raises:
        ValueError: if there are fewer than two architectures, or too large ones (see the two distances).
    """
    n = cells.n // len(space.cell_names)
    if n < 2:
        raise ValueError(f"Expected cells of two or more architectures, but got {n}")
    rng = np.random.default_rng(seed)
    starts = rng.integers(n, size=2 * pairs)
    first = space.topology.canonical(space.take(cells, starts)).padded(space.topology.max_vertices)
    other = (starts[:pairs] + rng.integers(1, n, size=pairs)) % n
    drawn = space.topology.canonical(space.take(cells, other)).padded(space.topology.max_vertices)
    walking = first.take(slice(pairs * len(space.cell_names), None))
    reached = random_walks(space, walking, rng.integers(MOST_STEPS + 1, size=pairs), rng)
    second = stack_arrays([drawn, reached])
    distance = cell_distance(space.topology, first, second).reshape(-1, len(space.cell_names)).sum(1)
    return EditPairs(first, second, distance, np.arange(2 * pairs) >= pairs)


def smoothness(encoding: Encoding, pairs: EditPairs) -> dict[str, float]:
    """Spearman's rank correlation of Euclidean distance in the encoding with edit distance.

    Args:
        encoding: Called once, with all cells, so that what it standardises is standardised alike.
        pairs: What to measure it on.

    Returns:
        The correlation over `random_pairs`, over `walks`, and over both, `pooled`. Walks end anywhere in the space, at
        cells of the training set too, and one in six has no step.

    Raises:
        ValueError: if the encoding does not return a point for each architecture.
    """
    points = np.asarray(encoding(stack_arrays([pairs.first, pairs.second])), dtype=np.float64)
    n = len(pairs.distance)
    if points.ndim != 2 or len(points) != 2 * n:
        raise ValueError(f"Expected an encoding of {2 * n} points, one row each, but got shape {points.shape}")
    apart = np.linalg.norm(points[:n] - points[n:], axis=1)
    parts = {"random_pairs": ~pairs.walked, "walks": pairs.walked, "pooled": np.ones(n, dtype=bool)}
    return {name: _correlation(apart[part], pairs.distance[part]) for name, part in parts.items()}


def _correlation(apart: FloatArray, distance: IntArray) -> float:
    """Spearman's rank correlation, 0 where either side is the same everywhere."""
    if min(len(set(apart.tolist())), len(set(distance.tolist()))) < 2:
        return 0.0
    return float(spearmanr(apart, distance).statistic)


def latent_smoothness(
    model: CellAutoencoder | Encoding, cells: CellArrays, *, space: Space | None = None, seed: int, pairs: int = 10_000
) -> dict[str, float]:
    """`smoothness` of a model's latent means, or of any other encoding, over cells that it was not fitted to.

    Args:
        model: A fitted autoencoder, or an encoding, which needs a space.
        cells: Cells of held-out architectures, those of one in consecutive rows.
        space: The space of the cells; the model's own if None.
        seed: Seed of the pairs.
        pairs: Number of random pairs, and of walks.

    Raises:
        ValueError: as in `draw_pairs`, or if an encoding comes without a space.
    """
    if isinstance(model, CellAutoencoder):
        return smoothness(latent_means(model), draw_pairs(space or model.space, cells, seed=seed, pairs=pairs))
    if space is None:
        raise ValueError("Expected the space of the cells beside an encoding, but got None")
    return smoothness(model, draw_pairs(space, cells, seed=seed, pairs=pairs))


def latent_means(model: CellAutoencoder) -> Encoding:
    """The latent means of a model as an encoding."""

    def encoding(cells: CellArrays) -> FloatArray:
        means: FloatArray = model.encode(cells)[0].double().cpu().numpy()
        return means

    return encoding
