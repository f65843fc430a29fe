"""What searches and predictors need of an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from graphnas.cell import Architecture, CellArrays
from graphnas.spaces import Space


class Encoder(Protocol):
    """Places architectures in a latent space and decodes its points; `CellAutoencoder` is one."""

    latent_dim: int
    """Latent dimension `d` of an architecture."""

    def encode(self, architectures: Sequence[Architecture] | CellArrays) -> tuple[Tensor, Tensor]:
        """Latent mean and log-variance, `n x d` each."""

    def decode_arrays(self, z: Tensor, *, space: Space | None = None) -> CellArrays:
        """The cells, legal in `space`, that `n x d` latent points decode to; an architecture's in consecutive rows."""


def check_encoder(space: Space, encoder: Encoder) -> None:
    """Refuse what cannot encode and decode the architectures of a space.

    Raises:
        TypeError: if it is no autoencoder.
        ValueError: if it is one of other cells.
    """
    if not hasattr(encoder, "decode_arrays"):
        raise TypeError(f"Expected encoder to encode and decode, as a CellAutoencoder does, but got {encoder!r:.200}")
    own = getattr(encoder, "space", space)
    if own.vocabulary != space.vocabulary or own.cell_names != space.cell_names:
        raise ValueError(
            f"Expected an encoder of cells {', '.join(space.cell_names)} over {space.vocabulary}, but got one of "
            f"{', '.join(own.cell_names)} over {own.vocabulary}"
        )
