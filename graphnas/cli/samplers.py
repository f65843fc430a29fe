"""Names of the samplers, for `graphnas search`; they are those of `graphnas.studies.SAMPLERS`."""

from __future__ import annotations

from enum import StrEnum


class Sampler(StrEnum):
    """What proposes cells."""

    latent_bo = "latent-bo"
    gradient = "gradient"
    random = "random"
    evolution = "evolution"
    local_search = "local-search"
    feature_bo = "feature-bo"
    bananas = "bananas"
    npenas = "npenas"
    forest = "forest"
    xgboost = "xgboost"
