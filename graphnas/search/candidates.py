"""Candidates of the latent search: architectures with the latent points where they truly lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.legality import legal_cells
from graphnas.encoders.protocol import Encoder, check_encoder
from graphnas.search.sampler import CandidateList, Proposal, split_key
from graphnas.spaces import Space


@dataclass(frozen=True)
class Candidates:
    """Architectures from one source, each of another class."""

    source: str
    """What found them: `acquisition`, `sample` or `edit`."""
    cells: CellArrays
    """Cells of `n` architectures, those of one architecture in consecutive rows."""
    hashes: tuple[str, ...]
    """`n` hashes, or keys (`sampler.candidate_key`) of architectures with settings."""
    z: Tensor
    """`n x d` points by which they are judged, latent means, in double precision, on the CPU."""

    def architecture(self, row: int, space: Space) -> Architecture:
        """The architecture at a row."""
        return space.from_arrays(space.take(self.cells, np.array([row])))[0]

    def proposal(self, row: int, space: Space, *, source: str | None = None) -> Proposal:
        """The architecture at a row as a proposal of this source, or of another."""
        key, settings = split_key(self.hashes[row])
        return Proposal(self.architecture(row, space), key, source or self.source, settings)


class CandidateSource:
    """Turns latent points and edits into candidates: decoded, re-encoded, de-duplicated.

    Args:
        space: The space of all candidates.
        encoder: Places architectures and decodes points.
    """

    def __init__(self, space: Space, encoder: Encoder) -> None:
        check_encoder(space, encoder)
        self.space = space
        self.encoder = encoder
        self._edits: dict[str, Candidates] = {}

    def encode(self, architectures: Sequence[Architecture] | CellArrays) -> Tensor:
        """`n x d` latent means in double precision, on the CPU."""
        with torch.no_grad():
            mu, _ = self.encoder.encode(architectures)
        return mu.double().cpu()

    def variance(self, architectures: Sequence[Architecture]) -> Tensor:
        """`n x d` variances of the latent points of architectures."""
        with torch.no_grad():
            _, log_variance = self.encoder.encode(architectures)
        return log_variance.double().cpu().exp()

    def decode(self, points: Mapping[str, Tensor]) -> list[Candidates]:
        """What latent points decode to, at the architectures' own latent means.

        Args:
            points: `n x d` points by source; all are decoded at once, because small batches cost as much as one.

        Returns:
            Candidates of each source; an architecture that several points decode to belongs to the first.
        """
        with torch.no_grad():
            cells = self.encoder.decode_arrays(torch.cat(list(points.values())).float(), space=self.space)
        # A decoder without masks may give what is not legal.
        cells, legal = legal_cells(self.space, cells)
        rows = np.flatnonzero(legal)
        first: dict[str, int] = {}
        for row, key in zip(rows.tolist(), self.space.hashes(self.space.take(cells, rows)), strict=True):
            first.setdefault(key, row)
        rows, keys = np.array(list(first.values()), dtype=np.int64), list(first)
        z = self.encode(self.space.take(cells, rows))
        ends = np.searchsorted(rows, np.cumsum([len(part) for part in points.values()])).tolist()
        return [
            Candidates(source, self.space.take(cells, rows[start:end]), tuple(keys[start:end]), z[start:end])
            for source, start, end in zip(points, [0, *ends], ends, strict=False)
        ]

    def listed(self, architectures: CandidateList, source: str) -> Candidates:
        """Given architectures as candidates."""
        cells = self.space.to_arrays(list(architectures.architectures.values()))
        return Candidates(source, cells, architectures.hashes, self.encode(cells))

    def edits(self, architecture: Architecture, key: str) -> Candidates | None:
        """All architectures one edit away, None if there are none; cached by the architecture's hash."""
        if key not in self._edits:
            cells = self.space.neighbour_arrays(self.space.to_arrays([architecture]))
            hashes = self.space.hashes(cells)
            _, rows = np.unique(np.array(hashes, dtype=object), return_index=True)
            if not rows.size:
                return None
            rows.sort()
            cells = self.space.take(cells, rows)
            self._edits[key] = Candidates("edit", cells, tuple(hashes[row] for row in rows), self.encode(cells))
        return self._edits[key]
