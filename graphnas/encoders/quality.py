"""How good a latent space is, measured without any accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.autoencoder import CellAutoencoder, kl_to_standard_normal, reparameterize
from graphnas.encoders.legality import legal_hashes


def quality(
    model: CellAutoencoder,
    held_out: Sequence[Architecture] | CellArrays,
    *,
    train: Sequence[Architecture] | CellArrays,
    seed: int = 0,
    prior_samples: int = 10_000,
) -> dict[str, float]:
    """Measure an autoencoder; sampling measures decode greedily.

    Args:
        model: A fitted autoencoder.
        held_out: Architectures that it was not fitted to; as arrays, their cells in consecutive rows.
        train: Architectures that it was fitted to, for novelty; likewise.
        seed: Seed of posterior noise and prior samples.
        prior_samples: Number of points drawn from N(0, I).

    Returns:
        Shares between 0 and 1 of architectures, up to `Space.hash`: `reconstruction` (from the latent mean),
        `sampled_reconstruction` (from a posterior sample), `validity` and `uniqueness` of the prior samples'
        decodings and `novelty` (share of the distinct ones not in `train`); `active_units` (mean KL above 0.1 nats),
        and `kl` (nats an architecture).

    Raises:
        ValueError: if there are no architectures or no samples to measure.
    """
    space = model.space
    arrays = model.arrays(held_out)
    if not arrays.n:
        raise ValueError("Expected held_out to hold at least one architecture, but it is empty")
    if prior_samples < 1:
        raise ValueError(f"Expected prior_samples to be at least 1, but got {prior_samples}")
    hashes = np.array(space.hashes(arrays))
    mu, logvar = model.encode(arrays)
    generator = torch.Generator(device=mu.device).manual_seed(seed)
    sampled = model.decode_arrays(reparameterize(mu, logvar, generator))
    prior = torch.randn(prior_samples, model.latent_dim, generator=generator, device=mu.device)
    drawn = legal_hashes(space, model.decode_arrays(prior))
    distinct = set(drawn.tolist()) - {""}
    known = set(space.hashes(model.arrays(train)))
    kl = kl_to_standard_normal(mu, logvar).mean(0)
    return {
        "reconstruction": float(np.mean(hashes == legal_hashes(space, model.decode_arrays(mu)))),
        "sampled_reconstruction": float(np.mean(hashes == legal_hashes(space, sampled))),
        "validity": float((drawn != "").mean()),
        "uniqueness": len(distinct) / prior_samples,
        "novelty": len(distinct - known) / max(len(distinct), 1),
        "active_units": float((kl > 0.1).sum()),
        "kl": float(kl.sum()),
    }
