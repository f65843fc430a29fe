"""Architectures of any origin in the latent space of a universal encoder: what they are like, how good they may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from graphnas.analysis.transfer import SourceModel
from graphnas.cell import Architecture, Cell, from_arrays, is_input, to_arrays
from graphnas.encoders import CellAutoencoder
from graphnas.importing import Macro
from graphnas.importing.blocks import pieces
from graphnas.importing.cells import known_label
from graphnas.spaces import Space
from graphnas.spaces.universal import (
    UNIVERSAL,
    computed,
    grouped,
    universal_arrays,
    universal_label,
)

FloatArray = NDArray[np.float64]

LARGEST = 64
"""Most vertices of a cell that is encoded; those of the encoder's training have fewer than half as many."""

WHOLE = "whole network"
"""The part that stands for all blocks together."""

_INPUTS = UNIVERSAL[:2]
_LEARNT = 1_000  # cells whose values are learnt; a process of more takes minutes and ranks hardly better
_NEAR = 50  # known cells nearest to a point, whose values are learnt too


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
    """What neighbours and predictions are of: an architecture with all its cells, a block of a network, or a network,
    which lies at the mean of its blocks."""


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
    """The blocks of an imported network, and the network as a whole.

    Blocks of more than `LARGEST` vertices come in pieces. The whole lies at the mean of the blocks, each of which
    counts as often as it occurs and by how many vertices it has.

    Args:
        model: A universal autoencoder.
        source: Name of the network.
        macro: From `macro_structure`.
    """
    found: list[tuple[str, int, Cell, dict[str, int]]] = []
    for number, block in enumerate(macro.blocks):
        cut = [block.cell] if block.cell.size <= LARGEST else pieces(block.cell, LARGEST // 2)
        for letter, cell in enumerate(cut):
            part = f"block {number}" + (f".{letter}" if len(cut) > 1 else "")
            found.append((part, block.count, *universal_cell(cell)))
    if not found:
        return []
    points = _latents(model, [cell for _, _, cell, _ in found])
    weights = np.array([count * cell.size for _, count, cell, _ in found], dtype=np.float64)
    largest = found[int(weights.argmax())][2]
    return [
        Embedded(source, WHOLE, 1, largest, weights @ points / weights.sum(), {}, source),
        *(
            Embedded(source, part, count, cell, point, unmapped, f"{source}, {part}")
            for (part, count, cell, unmapped), point in zip(found, points, strict=True)
        ),
    ]


def embed_cell(model: CellAutoencoder, source: str, cell: Cell) -> Embedded:
    """One cell of any labels, among them those of all spaces and the names of layers in PyTorch and ONNX.

    Raises:
        ValueError: if it is too large.
    """
    labels = (known_label(op) or op for op in cell.ops)
    whole, unmapped = universal_cell(Cell(tuple(labels), cell.edges))
    return Embedded(source, "cell", 1, whole, _latents(model, [whole])[0], unmapped, source)


def embed_architectures(
    model: CellAutoencoder, names: Sequence[str], space: Space, architectures: Sequence[Architecture]
) -> list[Embedded]:
    """The cells of architectures of a space, those of one in consecutive entries.

    Args:
        model: A universal autoencoder.
        names: What they are called, each by another name.
        space: Theirs.
        architectures: As many.
    """
    bound = model.bound_to(space)
    arrays = bound.arrays(architectures)
    points = bound.encode(arrays)[0].double().cpu().numpy().reshape(arrays.n, -1)
    cells = from_arrays(computed(universal_arrays(space, arrays)), UNIVERSAL)
    parts = len(space.cell_names)
    return [
        Embedded(names[row // parts], space.cell_names[row % parts], 1, cell, points[row], {}, names[row // parts])
        for row, cell in enumerate(cells)
    ]


def _latents(model: CellAutoencoder, cells: Sequence[Cell]) -> FloatArray:
    if not cells:
        return np.zeros((0, model.cell_dim))
    return model.encode_read(grouped(to_arrays(cells, UNIVERSAL)))[0].double().cpu().numpy()


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
    """Of what would be measured, its noise included."""
    distance: float
    """To the nearest known cell, in medians of the distance from a known cell to its nearest other: far above 1, the
    prediction is a guess."""


def predict_values(known: KnownCells, points: FloatArray, *, seed: int = 0) -> list[PredictedValue]:
    """Values of `m x d` points by a Gaussian process of the known cells.

    Hyperparameters are those of the first 1,000 known cells. For each point these and the 50 nearest of the others are
    what it knows, so that what it says of one point does not depend on which others there are.

    Args:
        known: Cells with values.
        points: The points.
        seed: Seed of the cells that hyperparameters are fitted to, where there are many.

    Raises:
        ValueError: if fewer than two cells are known.
    """
    if len(known.latent) < 2:
        raise ValueError(f"Expected two or more known cells to learn from, but got {len(known.latent)}")
    first = np.arange(min(_LEARNT, len(known.latent)))
    process = SourceModel(known.latent[first], known.values[first], seed=seed)
    apart, near = known.nearest(points, _NEAR)
    usual = float(np.median(known.nearest(known.latent, 2)[0][:, 1])) or 1.0
    found = []
    for point, distance, rows in zip(points, apart[:, 0], near, strict=True):
        rows = np.union1d(first, rows)
        process.condition(known.latent[rows], known.values[rows])
        (mean,), (std,) = process.moments(point[None])
        value = PredictedValue(
            process.centre + process.scale * float(mean), process.scale * float(std), float(distance) / usual
        )
        found.append(value)
    return found
