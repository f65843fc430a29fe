"""Architectures of any origin in the latent space of a universal encoder: what they are like, how good they may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from graphnas.analysis.transfer import SourceModel
from graphnas.cell import Architecture, Cell, from_arrays, is_input, to_arrays
from graphnas.encoders import CellAutoencoder
from graphnas.importing import Macro
from graphnas.spaces import Space
from graphnas.spaces.universal import UNIVERSAL, computed, universal_arrays, universal_label

FloatArray = NDArray[np.float64]

LARGEST = 64
"""Most vertices of a cell that is encoded; those of the encoder's training have fewer than half as many."""

_INPUTS = UNIVERSAL[:2]
_LEARNT = 1_000  # cells whose values are learnt; a process of more takes minutes and ranks hardly better


@dataclass(frozen=True)
class Embedded:
    """One cell of an architecture or one block of a network, as a point."""

    source: str
    """The network or the architecture that it is part of."""
    part: str
    """Which part: `block 3`, or the name of a cell."""
    count: int
    """How often the part occurs in it."""
    cell: Cell
    """What it computes, over `UNIVERSAL`."""
    latent: FloatArray
    """`d` coordinates of its latent mean."""
    unmapped: Mapping[str, int]
    """Labels of vertices that no universal label stands for; they count as `other`."""
    whole: str
    """What neighbours and predictions are of: an architecture with all its cells, or the block of a network alone."""


def universal_cell(cell: Cell) -> tuple[Cell, dict[str, int]]:
    """A cell of any labels over `UNIVERSAL`, without what says nothing, and the labels that have no universal one.

    Of more than two inputs, the others count as the second.

    Raises:
        ValueError: if it has more than `LARGEST` vertices.
    """
    if cell.size > LARGEST:
        raise ValueError(f"Expected a cell of at most {LARGEST} vertices, but got one of {cell.size}")
    found = [universal_label(op) for op in cell.ops]
    unmapped = Counter(op for op, label in zip(cell.ops, found, strict=True) if label is None)
    inputs = sum(map(is_input, cell.ops))
    # Two inputs come first, whether there are as many or not.
    place = [min(vertex, 1) if vertex < inputs else vertex - inputs + 2 for vertex in range(cell.size)]
    ops = (*_INPUTS, *(label or "other" for label in found[inputs:]))
    edges = frozenset((place[i], place[j]) for i, j in cell.edges)
    (whole,) = from_arrays(computed(to_arrays([Cell(ops, edges).canonical()], UNIVERSAL)), UNIVERSAL)
    return whole, dict(unmapped)


def embed_network(model: CellAutoencoder, source: str, macro: Macro) -> list[Embedded]:
    """The blocks of an imported network; those of more than `LARGEST` vertices are left out.

    Args:
        model: A universal autoencoder.
        source: Name of the network.
        macro: From `macro_structure`.
    """
    found: list[tuple[str, int, Cell, dict[str, int]]] = []
    for number, block in enumerate(macro.blocks):
        if block.cell.size <= LARGEST:
            found.append((f"block {number}", block.count, *universal_cell(block.cell)))
    points = _latents(model, [cell for _, _, cell, _ in found])
    return [
        Embedded(source, part, count, cell, point, unmapped, f"{source}, {part}")
        for (part, count, cell, unmapped), point in zip(found, points, strict=True)
    ]


def embed_cell(model: CellAutoencoder, source: str, cell: Cell) -> Embedded:
    """One cell of any labels.

    Raises:
        ValueError: if it is too large.
    """
    whole, unmapped = universal_cell(cell)
    return Embedded(source, "cell", 1, whole, _latents(model, [whole])[0], unmapped, source)


def embed_architectures(
    model: CellAutoencoder, source: str, space: Space, architectures: Sequence[Architecture]
) -> list[Embedded]:
    """The cells of architectures of a space, those of one in consecutive entries.

    Args:
        model: A universal autoencoder.
        source: What they are called, followed by their number if there are several.
        space: Theirs.
        architectures: One or more.
    """
    bound = model.bound_to(space)
    arrays = bound.arrays(architectures)
    points = bound.encode(arrays)[0].double().cpu().numpy().reshape(arrays.n, -1)
    cells = from_arrays(computed(universal_arrays(space, arrays)), UNIVERSAL)
    parts = len(space.cell_names)
    names = [source if len(architectures) == 1 else f"{source} {row // parts}" for row in range(len(cells))]
    return [
        Embedded(name, space.cell_names[row % parts], 1, cell, points[row], {}, name)
        for row, (name, cell) in enumerate(zip(names, cells, strict=True))
    ]


def _latents(model: CellAutoencoder, cells: Sequence[Cell]) -> FloatArray:
    if not cells:
        return np.zeros((0, model.cell_dim))
    return model.encode_read(to_arrays(cells, UNIVERSAL))[0].double().cpu().numpy()


def points_of(embedded: Sequence[Embedded]) -> dict[str, FloatArray]:
    """One point for each `whole`: an architecture is at the mean of its cells."""
    found: dict[str, list[FloatArray]] = {}
    for one in embedded:
        found.setdefault(one.whole, []).append(one.latent)
    return {whole: np.mean(points, axis=0) for whole, points in found.items()}


@dataclass(frozen=True)
class KnownCells:
    """Cells of a space with what was measured of them."""

    space: Space
    architectures: Sequence[Architecture]
    latent: FloatArray
    """`n x d` points; means over the cells of each architecture."""
    values: FloatArray
    """`n` values, larger is better."""

    @classmethod
    def of(
        cls, model: CellAutoencoder, space: Space, architectures: Sequence[Architecture], values: FloatArray
    ) -> KnownCells:
        """Architectures of a space in the coordinates of a universal autoencoder."""
        z = model.bound_to(space).encode(architectures)[0].double().cpu().numpy()
        return cls(space, architectures, z.reshape(len(architectures), len(space.cell_names), -1).mean(1), values)

    def nearest(self, points: FloatArray, count: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """`m x count` distances and rows of those nearest to `m x d` points."""
        apart = torch.cdist(torch.from_numpy(points), torch.from_numpy(self.latent))
        distances, rows = apart.topk(min(count, len(self.latent)), largest=False)
        return distances.numpy(), rows.numpy()


@dataclass(frozen=True)
class PredictedValue:
    """What known cells say of a point."""

    mean: float
    std: float
    distance: float
    """To the nearest known cell, in medians of the distance from a known cell to its nearest other: far above 1, the
    prediction is a guess."""


def predict_values(known: KnownCells, points: FloatArray, *, seed: int = 0) -> list[PredictedValue]:
    """Values of `m x d` points by a Gaussian process of the known cells, the first 1,000 if there are more.

    Args:
        known: Cells with values.
        points: The points.
        seed: Seed of the cells that hyperparameters are fitted to, where there are many.
    """
    learnt = slice(_LEARNT)
    known = replace(
        known,
        architectures=known.architectures[learnt],
        latent=known.latent[learnt],
        values=known.values[learnt],
    )
    process = SourceModel(known.latent, known.values, seed=seed)
    mean, std = process.moments(points)
    centre, scale = float(known.values.mean()), float(known.values.std(ddof=1)) or 1.0
    apart = known.nearest(points, 1)[0][:, 0]
    usual = float(np.median(known.nearest(known.latent, 2)[0][:, 1])) or 1.0
    return [
        PredictedValue(centre + scale * float(m), scale * float(s), float(d) / usual)
        for m, s, d in zip(mean, std, apart, strict=True)
    ]
