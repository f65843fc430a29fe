"""Fitting an encoder anew to the best architectures of a search."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from graphnas.cell import Architecture, stack_arrays
from graphnas.encoders import CellAutoencoder, fit
from graphnas.encoders.protocol import Encoder
from graphnas.networks import log_costs
from graphnas.predictors.gaussian_process import normal_scores
from graphnas.spaces import Space

_SHARPNESS = 1e-2  # k of the weights 1 / (k n + rank): the smaller, the more the best count
_RANDOM = 2_000  # random architectures that keep the rest of the space in mind
_REPEATED = 1_000  # architectures drawn by weight from those observed
_STEPS = 150  # of the optimiser


def check_retrainable(encoder: Encoder) -> CellAutoencoder:
    """The encoder, if it can be fitted.

    Raises:
        TypeError: if it is no `CellAutoencoder`.
    """
    if not isinstance(encoder, CellAutoencoder):
        raise TypeError(f"Expected encoder to be a CellAutoencoder to be retrained, but got {encoder!r:.100}")
    return encoder


def retrained(
    encoder: Encoder, space: Space, architectures: Sequence[Architecture], values: Sequence[float], *, seed: int
) -> CellAutoencoder:
    """A copy of an autoencoder, fitted on to random architectures and to those observed, the best of these most often.

    Weights are `1 / (k n + rank)` (Tripp et al. 2020, arXiv 2006.09191, Eq. 1). The values train a performance head
    together with the rest, so that the latent space orders architectures by them.

    Args:
        encoder: A `CellAutoencoder`.
        space: Its space.
        architectures: `n` observed ones.
        values: `n` outcomes, larger is better; NaN (failed) is worst.
        seed: Of everything random.

    Raises:
        TypeError: if the encoder is no `CellAutoencoder`.
    """
    model = copy.deepcopy(check_retrainable(encoder))
    rng = np.random.default_rng((seed, len(architectures)))
    scores = normal_scores(values)[:, 0].numpy()
    weights = 1 / (_SHARPNESS * len(scores) + rankdata(-scores, method="ordinal"))
    rows = rng.choice(len(scores), size=_REPEATED, p=weights / weights.sum())
    cells = stack_arrays([space.sample_arrays(_RANDOM, rng), space.take(space.to_arrays(list(architectures)), rows)])
    labels = np.concatenate([np.full(_RANDOM, np.nan), scores[rows]])
    fit(model, cells, targets=log_costs(space, cells), labels=labels, seed=seed, steps=_STEPS)
    return model.eval()
