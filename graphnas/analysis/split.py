"""Which architectures `graphnas train` fits an encoder to, and which it keeps apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphnas.cell import CellArrays, IntArray
from graphnas.spaces import Space

_LISTED = 1_000_000  # architectures of a space that is listed rather than drawn from


@dataclass(frozen=True)
class TrainingSplit:
    """The cells of architectures on both sides; those of one architecture in consecutive rows."""

    held_out: CellArrays
    """Of the architectures kept apart."""
    train: CellArrays
    """Of those that the encoder is fitted to."""


def training_split(
    space: Space, *, held_out: int = 5_000, seed: int = 0, cells: int = 200_000, share: float = 1.0
) -> TrainingSplit:
    """The split that `graphnas train` makes of a space with the same options.

    A space of one cell and at most a million architectures (labelled ones where no other number is known) is listed, of
    any other different ones are drawn. Those that `Space.hash` counts as the same are on the same side.

    Args:
        space: The space, with the limits of the training.
        held_out: Architectures, up to `Space.hash`, to keep apart, a tenth of all at most.
        seed: Seed of the training.
        cells: Architectures to draw where the space is not listed.
        share: Of the architectures that are not held out, how many to fit to; the others are on neither side.

    Raises:
        ValueError: if `share` is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"Expected share to be above 0 and at most 1, but got {share}")
    arrays = _cells(space, cells, seed)
    groups = _classes(space, arrays)
    order = np.random.default_rng(seed).permutation(len(groups))
    held_out = min(held_out, len(groups) // 10)
    end = held_out + max(1, round(share * (len(groups) - held_out)))
    # Members of a class follow one another, classes are in the order of the permutation.
    members = np.concatenate([groups[row] for row in order])
    of_class = np.repeat(np.arange(len(order)), [len(groups[row]) for row in order])
    apart, fitted = members[of_class < held_out], members[(of_class >= held_out) & (of_class < end)]
    return TrainingSplit(space.take(arrays, apart), space.take(arrays, fitted))


def _classes(space: Space, arrays: CellArrays) -> list[IntArray]:
    """Numbers of the architectures that `Space.hash` counts as the same, in the order of the first of each."""
    hashes = np.array(space.hashes(arrays))
    _, first, members = np.unique(hashes, return_index=True, return_inverse=True)
    by_class = np.split(np.argsort(members, kind="stable"), np.cumsum(np.bincount(members))[:-1])
    return [by_class[number] for number in np.argsort(first)]


def is_listed(space: Space) -> bool:
    """Whether `training_split` takes all architectures of a space instead of drawing some."""
    number = space.topology.count if space.size is None else space.size
    return len(space.cell_names) == 1 and number is not None and number <= _LISTED


def _cells(space: Space, number: int, seed: int) -> CellArrays:
    if is_listed(space):
        return space.enumerate_arrays(raw=True)
    arrays = space.sample_arrays(number, np.random.default_rng((seed, 1)))
    _, first = np.unique(np.array(space.hashes(arrays)), return_index=True)
    return space.take(arrays, np.sort(first))
