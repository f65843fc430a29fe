"""How well a model's performance head predicts labels that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, pearsonr, spearmanr

from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder


def prediction(model: CellAutoencoder, architectures: Sequence[Architecture], values: ArrayLike) -> dict[str, float]:
    """Compare the head's predictions at the latent means of architectures with their labels.

    Args:
        model: An autoencoder that was fitted with labels.
        architectures: Three or more of them, none of which it was fitted to.
        values: Their labels.

    Returns:
        `spearman`, `kendall` and `pearson` correlation (0 where either side is constant), `rmse` in the units of the
        labels, and `coverage`: the share of labels within the predicted mean and 1.96 predicted standard deviations,
        0.95 for a head that knows how sure it is.

    Raises:
        ValueError: if the model has no head, or there are fewer than three labels or another number of them.
    """
    wanted = np.asarray(values, dtype=np.float64)
    if wanted.shape != (len(architectures),) or len(wanted) < 3:
        raise ValueError(f"Expected values to be {max(len(architectures), 3)} numbers, but got shape {wanted.shape}")
    mean, variance = (part.detach().double().cpu().numpy() for part in model.predict(model.encode(architectures)[0]))
    error = mean - wanted
    constant = min(np.ptp(mean), np.ptp(wanted)) == 0
    return {
        "spearman": 0.0 if constant else float(spearmanr(mean, wanted).statistic),
        "kendall": 0.0 if constant else float(kendalltau(mean, wanted).statistic),
        "pearson": 0.0 if constant else float(pearsonr(mean, wanted).statistic),
        "rmse": float(np.sqrt((error**2).mean())),
        "coverage": float((np.abs(error) <= 1.96 * np.sqrt(variance)).mean()),
    }
