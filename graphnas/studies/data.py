"""Whether a search goes on with the data on which its trials were judged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from graphnas.studies.errors import StudyError

if TYPE_CHECKING:
    from graphnas.evaluate.protocol import Evaluator

_DATA = "graphnas:data"  # attribute of a study: fingerprint of what its candidates are judged on


def check_data(study: optuna.Study, evaluator: Evaluator, folder: Path | None) -> None:
    """Note what data candidates are judged on, if the evaluator has a `fingerprint`.

    Args:
        study: The search.
        evaluator: What judges its candidates from now on.
        folder: The search's folder, for the message.

    Raises:
        StudyError: if it is other data than that of the trials there are.
    """
    now = getattr(evaluator, "fingerprint", None)
    before = study.user_attrs.get(_DATA)
    if now is not None and before is None:
        study.set_user_attr(_DATA, now)
    elif before != now:
        raise StudyError(
            f"{folder or study.study_name}: expected the data of {evaluator.name} to be that of its trials, "
            f"fingerprint {before}, but got {now}: the files have changed; search them anew in another folder"
        )
