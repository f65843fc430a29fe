"""How good a surrogate is: on trainings held out, on those of a sampler that it has not seen, and its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import Trial

from graphnas.predictors import prediction_measures
from graphnas.predictors.protocol import FloatArray
from graphnas.surrogates.archive import Archive, split
from graphnas.surrogates.kinds import ENSEMBLES
from graphnas.surrogates.surrogate import Surrogate, fit_surrogate, usual_noise, usual_spread

MEANING = {
    "noise": "of held-out trainings around their predictions, half the width of the middle 68.3 %",
    "spread": "of members on held-out trainings, largest of 99 of 100",
    "coverage": "held-out trainings within 1.96 deviations, by the noise of the other half of them",
}
"""What the numbers are that a surrogate's configuration tells of, in words."""

_FOLDS = 3
_FEWEST = 20  # trainings of a sampler that are worth leaving out
_TESTED = 3  # held-out trainings at least


class Uncertainty(NamedTuple):
    """How far off a surrogate is, and its members are apart: `noise` and `spread` of `fit_surrogate`."""

    noise: float
    spread: float


def assess(surrogate: Surrogate, archive: Archive) -> dict[str, float]:
    """Compare what a surrogate says with trainings that it was not fitted to.

    Args:
        surrogate: The surrogate.
        archive: Three or more of these trainings.

    Returns:
        `r2`, `kendall`, `sparse_kendall`, `spearman`, `rmse`, the same rank correlation among the best tenth
        (`kendall_top`, not of fewer than 30 trainings), `coverage`, the share within 1.96 deviations (those of members
        and noise together), `seconds_spearman` where seconds are known, and the `range` of the values.
    """
    mean, std = surrogate.predict(archive.cells)
    measures = prediction_measures(mean, archive.values)
    spread = float(((archive.values - archive.values.mean()) ** 2).sum())
    best = np.argsort(-archive.values)[: len(archive) // 10]
    deviation = np.sqrt(std**2 + surrogate.noise**2)
    found = {
        "trainings": float(len(archive)),
        "r2": 1 - float(((archive.values - mean) ** 2).sum()) / spread if spread else 0.0,
        **{name: measures[name] for name in ("kendall", "sparse_kendall", "spearman", "rmse")},
        "coverage": float((np.abs(archive.values - mean) <= 1.96 * deviation).mean()),
        "range": float(np.ptp(archive.values)),
    }
    if len(best) > 2:
        found["kendall_top"] = prediction_measures(mean[best], archive.values[best])["kendall"]
    seconds = surrogate.predict_seconds(archive.cells)
    known = np.isfinite(archive.seconds)
    if seconds is not None and known.sum() > 2:
        found["seconds_spearman"] = prediction_measures(seconds[known], archive.seconds[known])["spearman"]
    return found


def held_out(
    archive: Archive,
    *,
    kind: str = "xgb",
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    members: int = 10,
) -> tuple[dict[str, dict[str, float]], Uncertainty]:
    """Fit to nine tenths of every sampler's trainings and test on the others.

    Args:
        archive: All trainings.
        kind: As in `fit_surrogate`.
        settings: Likewise.
        seed: Of the draw.
        members: As in `fit_surrogate`.

    Returns:
        `assess` of all that are tested on, as `all`, and of those of each sampler with three or more, where `coverage`
        is by the noise of the other half of these trainings; and the uncertainty to tell of, measured on all of them.

    Raises:
        ValueError: if fewer than three trainings would be tested on.
    """
    fitted, tested = split(archive, seed=seed)
    if len(tested) < _TESTED:
        raise ValueError(f"Expected trainings of which a tenth are three or more, but got {len(archive)}")
    surrogate = fit_surrogate(fitted, kind=kind, settings=settings, members=members, seed=seed)
    mean, std = surrogate.predict(tested.cells)
    errors = tested.values - mean
    told = Uncertainty(usual_noise(errors), usual_spread(std))
    surrogate = replace(surrogate, noise=told.noise, spread=told.spread)
    covered = _covered(errors, std, seed)
    found = {"all": assess(surrogate, tested) | {"coverage": float(covered.mean())}}
    samplers = np.array(tested.samplers)
    for name in sorted(set(tested.samplers)):
        rows = np.flatnonzero(samplers == name)
        if len(rows) > 2 and len(rows) < len(tested):
            found[name] = assess(surrogate, tested.take(rows)) | {"coverage": float(covered[rows].mean())}
    return found, told


def _covered(errors: FloatArray, std: FloatArray, seed: int) -> NDArray[np.bool_]:
    """Which of `n` errors lie within 1.96 deviations, by the noise of the half that each is not in."""
    half = np.random.default_rng(seed).permutation(len(errors)) % 2
    noise = np.array([usual_noise(errors[half == 1]), usual_noise(errors[half == 0])])[half]
    covered: NDArray[np.bool_] = np.abs(errors) <= 1.96 * np.sqrt(std**2 + noise**2)
    return covered


def leave_one_sampler_out(
    archive: Archive, *, kind: str = "xgb", settings: dict[str, Any] | None = None, seed: int = 0, members: int = 10
) -> dict[str, dict[str, float]]:
    """For each sampler, fit to the trainings of all others and test on its own (Zela et al. 2022, Sec. 5.2).

    Architectures that others trained as well are left out of the test. Noise is measured on held-out trainings of the
    others.

    Args:
        archive: Trainings of two or more samplers.
        kind: As in `fit_surrogate`.
        settings: Likewise.
        seed: Likewise.
        members: Likewise.

    Returns:
        `assess` by sampler, of those with 20 or more such trainings where the others trained 30 architectures.
    """
    samplers, groups, found = np.array(archive.samplers), archive.groups(), {}
    for name in sorted(set(archive.samplers)):
        own = samplers == name
        rows = np.flatnonzero(own & ~np.isin(groups, groups[~own]))
        if len(rows) < _FEWEST or len(np.unique(groups[~own])) < 10 * _TESTED:
            continue
        others = archive.take(np.flatnonzero(~own))
        _, told = held_out(others, kind=kind, settings=settings, seed=seed, members=members)
        surrogate = fit_surrogate(
            others, kind=kind, settings=settings, noise=told.noise, spread=told.spread, members=members, seed=seed
        )
        found[name] = assess(surrogate, archive.take(rows))
    return found


def tune(
    archive: Archive,
    *,
    kind: str = "xgb",
    trials: int = 20,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> dict[str, Any]:
    """Hyperparameters by Optuna's TPE, by the rank correlation with trainings held out, in three folds.

    Args:
        archive: Trainings.
        kind: One of `ENSEMBLES`.
        trials: Settings tried; the kind's own come first.
        seed: Of folds and sampler.
        progress: Called after each trial with its number and the best correlation so far.

    Returns:
        The best settings, which may be none.
    """
    groups = archive.groups()
    fold = np.random.default_rng(seed).integers(_FOLDS, size=int(groups.max()) + 1)[groups]

    def score(settings: dict[str, Any]) -> float:
        found = []
        for number in range(_FOLDS):
            fitted, tested = (archive.take(np.flatnonzero(rows)) for rows in (fold != number, fold == number))
            model = ENSEMBLES[kind](archive.space, settings).fit(fitted.cells, fitted.values, members=1, seed=seed)
            predicted: FloatArray = model.predict(tested.cells)[0]
            found.append(prediction_measures(predicted, tested.values)["spearman"])
        return float(np.mean(found))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    own = score({})

    def objective(trial: Trial) -> float:
        settings = ENSEMBLES[kind].suggest(trial)
        trial.set_user_attr("settings", settings)
        value = score(settings)
        if progress is not None:
            progress(trial.number + 1, max([own, value, *(one.value for one in study.trials if one.value is not None)]))
        return value

    study.optimize(objective, n_trials=trials)
    best: dict[str, Any] = study.best_trial.user_attrs["settings"] if study.best_value > own else {}
    return best
