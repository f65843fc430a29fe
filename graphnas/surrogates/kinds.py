"""The kinds of surrogates by name."""

from __future__ import annotations

from graphnas.surrogates.ensemble import (
    Ensemble,
    GraphEnsemble,
    IsomorphismEnsemble,
    LightGBMEnsemble,
    XGBoostEnsemble,
)
from graphnas.surrogates.latent_process import LatentProcessEnsemble

ENSEMBLES: dict[str, type[Ensemble]] = {
    one.kind: one
    for one in (XGBoostEnsemble, LightGBMEnsemble, IsomorphismEnsemble, GraphEnsemble, LatentProcessEnsemble)
}
"""By kind."""
