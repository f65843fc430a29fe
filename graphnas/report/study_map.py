"""The trials of a study on an interactive map of its encoder's latent space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import optuna

from graphnas import studies
from graphnas.report.figures import source_kind
from graphnas.report.map_page import MapGroup, map_page, principal_plane

if TYPE_CHECKING:
    from graphnas.encoders import CellAutoencoder
    from graphnas.spaces import Space

MOST_METRICS = 8
"""Of a table's or of a trial's, beside the one that is searched by."""

_BACKGROUND = 800  # random architectures


def group_of_study(study: optuna.Study, space: Space, name: str) -> MapGroup:
    """The trials that have an architecture: values and metrics, the path of the best, and the Pareto set.

    Args:
        study: The study.
        space: Its space.
        name: What the group is called.

    Raises:
        ValueError: if there are none.
    """
    trials = [trial for trial in studies.finished(study) if "graphnas:architecture" in trial.user_attrs]
    if not trials:
        raise ValueError(f"{name}: expected finished trials, but there are none")
    values = np.array([trial.values[0] if trial.values else math.nan for trial in trials])
    names = [f"trial {trial.number}, {source_kind(trial.user_attrs.get('graphnas:source', ''))}" for trial in trials]
    metrics = {"value": values, "trial": np.array([float(trial.number) for trial in trials])}
    told = [trial.user_attrs.get("graphnas:metrics", {}) for trial in trials]
    for metric in list(dict.fromkeys(one for metrics_of in told for one in metrics_of))[:MOST_METRICS]:
        metrics[metric] = np.array([_number(one.get(metric)) for one in told])
    maximize = study.directions[0].name == "MAXIMIZE"
    allowed = [trial.values is not None and studies.keeps_bounds(trial) for trial in trials]
    chosen = {trial.number for trial in studies.pareto_set(study)} if len(study.directions) > 1 else set()
    return MapGroup(
        name,
        space.to_arrays([studies.architecture(trial) for trial in trials]),
        metrics,
        names,
        _path((values if maximize else -values).tolist(), allowed),
        [row for row, trial in enumerate(trials) if trial.number in chosen],
    )


def study_map(study: optuna.Study, space: Space, encoder: CellAutoencoder) -> str:
    """A page without heading and table, for a report: trials among random architectures, by principal components."""
    drawn = space.sample_arrays(_BACKGROUND, np.random.default_rng(0))
    groups = [MapGroup("random", drawn), group_of_study(study, space, "trials")]
    latent = [encoder.encode(space.from_arrays(group.cells))[0].double().cpu().numpy() for group in groups]
    points, axes = principal_plane(np.concatenate(latent))
    return map_page(space.vocabulary, space.cell_names, groups, points, title="Latent map", axes=axes, embedded=True)


def _path(values: Sequence[float], allowed: Sequence[bool]) -> list[int]:
    """Rows of the values that are better than all before them."""
    found, best = [], -math.inf
    for row, (value, counts) in enumerate(zip(values, allowed, strict=True)):
        if counts and value > best:
            best = value
            found.append(row)
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
