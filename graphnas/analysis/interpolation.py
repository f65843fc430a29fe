"""From one architecture to another through the latent space, every step decoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from graphnas.cell import Architecture, IntArray
from graphnas.encoders import CellAutoencoder
from graphnas.spaces import Space
from graphnas.spaces.edit_distance import cell_distance


@dataclass(frozen=True)
class Waypoint:
    """One point between two architectures."""

    share: float
    """How far along the way it is, from 0 to 1."""
    architecture: Architecture
    """What the point decodes to."""
    edits: int
    """Edit distance to what the point before decodes to; 0 at the first."""
    from_first: int
    """Edit distance to the architecture where the way begins."""
    to_last: int
    """Edit distance to that where it ends."""


def interpolate(
    space: Space, encoder: CellAutoencoder, first: Architecture, last: Architecture, *, steps: int = 9
) -> list[Waypoint]:
    """Decode evenly spaced points on the line between the latent means of two architectures.

    Args:
        space: Space of both.
        encoder: Encodes and decodes.
        first: Where the way begins.
        last: Where it ends.
        steps: Number of points, both ends among them.

    Raises:
        ValueError: if there are fewer than two steps, or the cells are too large for exact edit distances.
    """
    if steps < 2:
        raise ValueError(f"Expected steps to be at least 2, but got {steps}")
    for one in (first, last):
        space.validate(one)
    with torch.no_grad():
        ends = encoder.encode([first, last])[0]
        shares = torch.linspace(0, 1, steps, dtype=ends.dtype, device=ends.device)[:, None]
        decoded = encoder.decode(ends[:1] + shares * (ends[1:] - ends[:1]))
    before = [decoded[0], *decoded[:-1]]
    columns = [_distances(space, decoded, other) for other in (before, [first] * steps, [last] * steps)]
    return [
        Waypoint(float(share), one, *(int(column[number]) for column in columns))
        for number, (share, one) in enumerate(zip(shares[:, 0], decoded, strict=True))
    ]


def _distances(space: Space, one: list[Architecture], other: list[Architecture]) -> IntArray:
    """Exact edit distances of pairs, summed over the cells of an architecture."""
    width = space.topology.max_vertices
    cells = [space.topology.canonical(space.to_arrays(some)).padded(width) for some in (one, other)]
    distances: IntArray = cell_distance(space.topology, *cells).reshape(len(one), -1).sum(1)
    return distances
