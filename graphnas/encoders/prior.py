"""What makes N(0, I) the prior of a fitted autoencoder: shift and scale of its latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.autoencoder import CellAutoencoder, kl_to_standard_normal
from graphnas.encoders.decoder import DerivationDecoder, TrainingCells
from graphnas.encoders.legality import legal_hashes

_PRIOR_POINTS = 5_000
_PRIOR_FACTORS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)


class CollapseError(RuntimeError):
    """The latent space carries next to no information: fewer than two units are active, or the only one is not."""


@torch.no_grad()
def active_units(model: CellAutoencoder, architectures: Sequence[Architecture] | CellArrays, noise: float) -> int:
    """How many of a cell's latent units carry something, before latents are standardised.

    A unit does if its mean KL divergence is above 0.1 nats, or if its means vary as much against what is added to them:
    a model that is fitted with next to no noise can tell cells apart by means close to the origin.

    Args:
        model: The autoencoder.
        architectures: Some of those it is fitted to.
        noise: Factor of the posterior's standard deviation in the fit.
    """
    arrays = model.read(model.arrays(architectures))
    ops = torch.from_numpy(arrays.ops).long().to(model.device)
    mu, logvar = model.encoder(ops, torch.from_numpy(arrays.adjacency).float().to(model.device))
    return _active(mu, logvar, noise)


def _active(mu: Tensor, logvar: Tensor, noise: float) -> int:
    informed = kl_to_standard_normal(mu, logvar).mean(0) > 0.1
    # With all of the noise, means of this variance have a KL divergence of 0.1 nats.
    apart = mu.var(0, unbiased=False) > 0.2 * noise**2 * logvar.exp().mean(0)
    return int((informed | apart).sum())


def refuse_collapse(active: int, model: CellAutoencoder) -> None:
    """Raise `CollapseError` if so few units are active."""
    if active < min(2, model.cell_dim):
        raise CollapseError(f"The latent space collapsed: {active} of {model.cell_dim} units are active")


@torch.no_grad()
def standardise_latents(model: CellAutoencoder, cells: TrainingCells, noise: float = 1.0) -> None:
    """Set the model's shift and scale so that N(0, I) is the prior to sample from.

    Each latent of the training cells gets mean 0. Its variance would be 1 if they were normal and independent. They are
    not quite, and samples near the origin fall to few cells; so all latents are divided by one more factor, the least
    at which the fewest of the prior's samples decode to the same cell.

    Args:
        model: A fitted autoencoder, in evaluation mode; changed in place.
        cells: What it was fitted to.
        noise: As in `active_units`.

    Raises:
        CollapseError: if fewer than two latent units (or the only one) are active.
    """
    model.shift.zero_()
    model.scale.fill_(1.0)
    some = torch.linspace(0, cells.ops.shape[0] - 1, min(cells.ops.shape[0], 20_000)).long()
    parts = [
        model.encoder(part.read_ops.long().to(model.device), part.read_adjacency.float().to(model.device))
        for part in (cells.take(some[start : start + 2048]) for start in range(0, len(some), 2048))
    ]
    mu, logvar = (torch.cat(part) for part in zip(*parts, strict=True))
    variance = mu.var(0, unbiased=False) + logvar.exp().mean(0)
    if cells.ops.shape[0] > 2:
        refuse_collapse(_active(mu, logvar, noise), model)
    model.shift.copy_(mu.mean(0))
    model.scale.copy_(variance.sqrt())
    if not isinstance(model.decoder, DerivationDecoder):
        return
    points = torch.randn(_PRIOR_POINTS, model.latent_dim, generator=torch.Generator().manual_seed(0))
    decoded = (model.decode_arrays(factor * points) for factor in _PRIOR_FACTORS)
    distinct = [len(set(legal_hashes(model.space, arrays).tolist()) - {""}) for arrays in decoded]
    model.scale.mul_(_PRIOR_FACTORS[int(np.argmax(distinct))])
