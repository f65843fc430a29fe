"""Which of the cells that a decoder without masks gives are legal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import BoolArray, CellArrays
from graphnas.spaces import Space


def legal_cells(space: Space, arrays: CellArrays) -> tuple[CellArrays, BoolArray]:
    """What a decoder without masks gave: cells without what the space ignores, and which architectures are legal.

    Returns:
        The simplified cells, and for each architecture whether `Space.validate` accepts it.
    """
    simplified = space.topology.simplify(arrays)
    inputs = len(space.topology.inputs)
    place = np.arange(simplified.ops.shape[1])
    inner = (place >= inputs) & (place < simplified.size[:, None] - 1)
    # Rules of connection do not look at labels: a decoder without masks may write a second input.
    labelled = ~(inner & (simplified.ops <= inputs)).any(1)
    labelled &= simplified.ops[np.arange(simplified.n), simplified.size - 1] == inputs
    legal = (space.topology.is_legal(simplified) & labelled).reshape(-1, len(space.cell_names))
    return simplified, np.logical_and.reduce(legal, axis=1)


def legal_hashes(space: Space, arrays: CellArrays) -> NDArray[np.str_]:
    """`Space.hash` of each architecture, empty for an illegal one."""
    simplified, legal = legal_cells(space, arrays)
    hashes = np.full(len(legal), "", dtype="<U32")
    rows = np.flatnonzero(legal)
    hashes[rows] = space.hashes(space.take(simplified, rows))
    return hashes
