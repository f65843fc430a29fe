"""Which architectures `graphnas train` fits an encoder to, and which it keeps apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphnas.cell import CellArrays
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

    A space of one cell and at most a million architectures is listed, of any other different ones are drawn.

    Args:
        space: The space, with the limits of the training.
        held_out: Architectures to keep apart, a tenth of all at most.
        seed: Seed of the training.
        cells: Architectures to draw where the space is not listed.
        share: Of the architectures that are not held out, how many to fit to; the others are on neither side.

    Raises:
        ValueError: if `share` is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"Expected share to be above 0 and at most 1, but got {share}")
    arrays = _cells(space, cells, seed)
    number = arrays.n // len(space.cell_names)
    order = np.random.default_rng(seed).permutation(number)
    held_out = min(held_out, number // 10)
    end = held_out + max(1, round(share * (number - held_out)))
    return TrainingSplit(space.take(arrays, order[:held_out]), space.take(arrays, order[held_out:end]))


def _cells(space: Space, number: int, seed: int) -> CellArrays:
    if space.size is not None and space.size <= _LISTED and len(space.cell_names) == 1:
        return space.enumerate_arrays(raw=True)
    arrays = space.sample_arrays(number, np.random.default_rng((seed, 1)))
    _, first = np.unique(np.array(space.hashes(arrays)), return_index=True)
    return space.take(arrays, np.sort(first))
