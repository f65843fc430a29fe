"""Which networks of a search stay on disk: those of the best trials."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from graphnas.studies.trials import WEIGHTS, best, finished, pareto_set


def kept_weights(folder: str | Path, trial: FrozenTrial | int) -> Path | None:
    """The weights of a trial's network in the folder of its search; None if they are not kept.

    Args:
        folder: The folder.
        trial: One of its trials, or its number.
    """
    number = trial if isinstance(trial, int) else trial.number
    return next(iter(sorted((Path(folder) / "trials" / str(number)).rglob(WEIGHTS))), None)


class KeptWeights:
    """Deletes the weights of finished trials that are not among the best.

    Args:
        study: The trials.
        keep: Number of best trials whose weights stay; of several objectives, those of the whole Pareto set.
    """

    def __init__(self, study: optuna.Study, keep: int) -> None:
        self.study, self.keep = study, keep
        self._without: set[int] = set()

    def drop(self, place: Path | None) -> None:
        """Delete what has to go now that the trial with a folder has finished; nothing if it has left no weights."""
        if place is not None and any(place.rglob(WEIGHTS)):
            self.tidy(place.parent.parent)

    def tidy(self, folder: Path | None) -> None:
        """Delete what has to go in the folder of the search, if it has one."""
        if folder is None:
            return
        several = len(self.study.directions) > 1
        kept = pareto_set(self.study) if several else best(self.study, self.keep)
        dropped = {trial.number for trial in finished(self.study)} - {trial.number for trial in kept}
        for number in dropped - self._without:
            for path in (folder / "trials" / str(number)).rglob(WEIGHTS):
                path.unlink(missing_ok=True)
        self._without |= dropped
