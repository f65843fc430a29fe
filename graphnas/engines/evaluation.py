"""One evaluation, where it runs: a candidate as text in, a Result as text out."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graphnas.evaluate.protocol import Evaluator, Result

PROGRESS = "progress.jsonl"
"""File in a trial's folder to which a running evaluation appends one JSON object per reported step."""


class Placeholder(Protocol):
    """Stands for a value that every worker can get hold of, so that it does not travel with each call."""

    def resolve(self) -> Any:
        """The value, in a worker."""


def evaluate(
    evaluator: Evaluator | Placeholder,
    architecture: str,
    *,
    budget: int | None = None,
    seed: int = 0,
    folder: str | None = None,
    report: Callable[[int, Mapping[str, float]], None] | None = None,
    objectives: Sequence[str] = (),
    hyperparameters: Mapping[str, Any] | None = None,
    until: int | None = None,
) -> str:
    """Evaluate one candidate where this is called.

    Args:
        evaluator: The evaluator, or its placeholder from an engine's `share`.
        architecture: `Architecture.to_json`.
        budget: Evaluator's units (epochs in training); its own default if None.
        seed: Seed of the evaluation.
        folder: The trial's folder, for progress and predictions; nothing is written if None.
        report: Called with each step and its metrics, after they were appended to `folder`.
        objectives: `"value"`, or names of metrics, that have to be finite.
        hyperparameters: As in `Evaluator.evaluate`.
        until: As in `Evaluator.evaluate`, which need not know these two arguments where they are None.

    Returns:
        `Result.to_json`.

    Raises:
        EvaluationFailed: if the evaluator says so, or an objective is not finite.
        TypeError: if what the evaluator returns is no Result.
    """
    from graphnas.cell import Architecture
    from graphnas.evaluate.protocol import Result

    resolve = getattr(evaluator, "resolve", None)
    judge: Any = evaluator if resolve is None else resolve()
    place = None if folder is None else Path(folder)
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
        # A new attempt starts a new record, so that no step of an earlier one is counted twice.
        (place / PROGRESS).unlink(missing_ok=True)
        report = partial(_append, place / PROGRESS, report)
    candidate = Architecture.from_json(architecture)
    further = {"hyperparameters": hyperparameters, "until": until}
    further = {name: value for name, value in further.items() if value is not None}
    result = judge.evaluate(candidate, budget=budget, seed=seed, report=report, folder=place, **further)
    if not isinstance(result, Result):
        raise TypeError(f"Expected evaluator {judge.name!r} to return a Result, but got {result!r:.200}")
    # Here, since JSON has one word for all figures that are not finite.
    objective_values(result, objectives)
    return result.to_json()


def objective_values(result: Result, objectives: Sequence[str]) -> tuple[float, ...]:
    """The figures of a result that a search is after.

    Args:
        result: What an evaluator returned.
        objectives: `"value"`, or names of metrics.

    Raises:
        EvaluationFailed: if one is missing or not finite, saying what came.
    """
    from graphnas.evaluate.protocol import EvaluationFailed

    values = []
    for name in objectives:
        if name != "value" and name not in result.metrics:
            raise EvaluationFailed(f"objective {name!r} is missing from the metrics {sorted(result.metrics)}")
        figure: Any = result.value if name == "value" else result.metrics[name]
        try:
            value = float(figure)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            raise EvaluationFailed(f"objective {name!r} is {figure!s:.200}")
        values.append(value)
    return tuple(values)


def _append(
    path: Path,
    then: Callable[[int, Mapping[str, float]], None] | None,
    step: int,
    metrics: Mapping[str, float],
) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **metrics}, default=float) + "\n")
    if then is not None:
        then(step, metrics)


def read_progress(folder: Path, *, after: int = 0) -> list[tuple[int, dict[str, float]]]:
    """Steps that a running evaluation has reported into its folder.

    Args:
        folder: The trial's folder.
        after: Number of steps that were read before.

    Returns:
        Pairs of step and metrics, in order; a line that is still being written is left for the next call, and so is
        what follows a damaged one.
    """
    try:
        lines = (folder / PROGRESS).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    steps = []
    for line in itertools.islice(lines, after, None):
        if not line.endswith("\n"):
            break
        try:
            metrics = json.loads(line)
            steps.append((int(metrics.pop("step")), metrics))
        except (ValueError, TypeError, KeyError, AttributeError):
            break
    return steps
