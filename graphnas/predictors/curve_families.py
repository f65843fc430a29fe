"""Parametric families of learning curves (Domhan et al. 2015, Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from graphnas.predictors.protocol import FloatArray


class CurveFamily(NamedTuple):
    """Curves of one form."""

    start: tuple[float, ...]
    """Parameters of a curve that rises from chance level to a usual accuracy."""
    curve: Callable[..., FloatArray]
    """From epochs and parameters, which broadcast with them, to accuracies as fractions."""


def _hill(x: FloatArray, ymax: FloatArray, eta: FloatArray, kappa: FloatArray) -> FloatArray:
    power: FloatArray = x**eta
    return ymax * power / (kappa**eta + power)


FAMILIES: dict[str, CurveFamily] = {
    "vapor pressure": CurveFamily((-0.62, -0.47, 0.042), lambda x, a, b, c: np.exp(a + b / x + c * np.log(x))),
    "pow3": CurveFamily((0.84, 0.52, 0.6), lambda x, c, a, alpha: c - a * x**-alpha),
    "log log linear": CurveFamily((0.25, 1.6), lambda x, a, b: np.log(a * np.log(x) + b)),
    "hill3": CurveFamily((0.85, 0.8, 0.8), _hill),
    "log power": CurveFamily((0.85, 0.2, -0.9), lambda x, a, b, c: a / (1 + (x / np.exp(b)) ** c)),
    "pow4": CurveFamily((0.85, 1.5, 1.0, 0.8), lambda x, c, a, b, alpha: c - (a * x + b) ** -alpha),
    "mmf": CurveFamily(
        (0.85, 0.1, 0.8, 1.0), lambda x, alpha, beta, kappa, delta: alpha - (alpha - beta) / (1 + (kappa * x) ** delta)
    ),
    "exp4": CurveFamily((0.85, 0.6, 0.0, 0.5), lambda x, c, a, b, alpha: c - np.exp(b - a * x**alpha)),
    "janoschek": CurveFamily(
        (0.85, 0.1, 0.5, 0.6),
        lambda x, alpha, beta, kappa, delta: alpha - (alpha - beta) * np.exp(-kappa * x**delta),
    ),
    "weibull": CurveFamily(
        (0.85, 0.1, 0.3, 0.6),
        lambda x, alpha, beta, kappa, delta: alpha - (alpha - beta) * np.exp(-((kappa * x) ** delta)),
    ),
    "ilog2": CurveFamily((0.9, 0.5), lambda x, c, a: c - a / np.log(x + 1)),
}
"""The eleven families by name."""

SIZES = tuple(len(family.start) for family in FAMILIES.values())
"""Number of parameters of each."""


def family_curves(parameters: FloatArray, epochs: FloatArray) -> FloatArray:
    """Curves of all families at once.

    Args:
        parameters: `batch_shape x p` parameters of the families one after the other, `p` the sum of `SIZES`.
        epochs: `e` epochs, from 1.

    Returns:
        `batch_shape x families x e` accuracies; not finite where parameters have no curve.
    """
    curves, at = [], 0
    with np.errstate(all="ignore"):
        for family, size in zip(FAMILIES.values(), SIZES, strict=True):
            own = np.moveaxis(parameters[..., at : at + size], -1, 0)[..., None]
            curves.append(family.curve(epochs, *own))
            at += size
    return np.stack(curves, axis=-2)
