"""What a search leaves: the best cell on test data, as a network, and the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphnas.cli.console import Failed, complain, print_json, print_table
from graphnas.cli.objectives import test_best, value_label

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from graphnas.evaluate import Evaluator
    from graphnas.spaces import Space

_SHOWN = 5  # cells of a ranking
_FRONT = 20  # cells of a Pareto set


def conclude(folder: Path, study: optuna.Study, space: Space, evaluator: Evaluator, screen: Any, as_json: bool) -> None:
    """Judge the best cell on test data, once, and write everything that a search leaves."""
    from optuna.trial import TrialState

    from graphnas import studies
    from graphnas.report import page

    several = len(study.directions) > 1
    best = studies.best(study, _FRONT if several else _SHOWN)
    whole = len(studies.pareto_set(study)) if several else 0
    finished = studies.finished(study)
    states = [trial.state for trial in finished]
    complete, pruned = states.count(TrialState.COMPLETE), states.count(TrialState.PRUNED)
    if not best:
        reasons = [trial.user_attrs.get("graphnas:reason", "") for trial in finished]
        report = write_report(folder, study, space, evaluator)
        if complete:
            raise Failed(f"none of {complete} candidates keeps all bounds; see {report}")
        if pruned:
            raise Failed(
                f"none of {pruned} candidates has come to the largest budget; see {report}; graphnas search --resume "
                f"{folder} goes on"
            )
        raise Failed(
            f"no candidate could be evaluated; the last reason: {reasons[-1] if reasons else 'no trial'}; see {report}"
        )
    winner = best[0]
    try:
        test, network = _test(evaluator, winner, folder)
        if network is not None:
            from graphnas.networks import export_source

            export_source(
                network,
                folder,
                title=f"The best cell of a search of {space.name}: trial {winner.number}.",
            )
    except Exception:
        # Whatever keeps the best cell from its test, what was found before is worth a report.
        write_report(folder, study, space, evaluator)
        raise
    report = write_report(folder, study, space, evaluator, test)
    names = studies.labels(study, value_label(evaluator))
    dominated = studies.hypervolume(study)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "trials": len(finished),
                "failed": len(finished) - complete - pruned,
                "pruned": pruned,
                "sources": page.sources(finished),
                "best": [_record(folder, rank, trial, names) for rank, trial in enumerate(best, start=1)],
                "test": test,
                "report": str(report),
                **({} if dominated is None else {"hypervolume": dominated}),
            }
        )
        return
    joint = any(map(studies.hyperparameters, best))
    print_table(
        f"Pareto set of {len(finished)} trials" + (f", {len(best)} of {whole}" if len(best) < whole else "")
        if several
        else f"Best {len(best)} of {len(finished)} trials",
        ("rank", "trial", "cell", *(["hyperparameters"] if joint else []), *names, "parameters", "source", "seconds"),
        [_row(rank, trial, joint=joint) for rank, trial in enumerate(best, start=1)],
        right=" ".join(("rank", "trial", "parameters", "seconds", *(name for name in names if " " not in name))),
    )
    counts = ", ".join(f"{count} {source}" for source, count in page.sources(finished).items())
    screen.print(f"\nSources of the proposals: {counts}", highlight=False)
    if dominated is not None:
        screen.print(f"Hypervolume up to the reference point: {dominated:.5g}", highlight=False)
    if "test_accuracy" in test:
        screen.print(f"Test accuracy of the best cell: [bold]{test['test_accuracy']:.4f}[/bold]", highlight=False)
    screen.print(f"Results: {folder}/ (open {report.name})", highlight=False, soft_wrap=True)


def _test(evaluator: Evaluator, winner: FrozenTrial, folder: Path) -> tuple[dict[str, float], Any]:
    """Test metrics and network of the best trial; what its training left is set aside where it is of no use."""
    from graphnas import studies
    from graphnas.evaluate import EvaluationFailed

    place = folder / "trials" / str(winner.number)
    test = partial(
        test_best,
        evaluator,
        studies.architecture(winner),
        hyperparameters=studies.hyperparameters(winner),
        seed=winner.user_attrs["graphnas:seed"],
        budget=winner.user_attrs["graphnas:budget"],
        folder=place,
    )
    try:
        return test()
    except (ValueError, LookupError, TypeError, AttributeError, EvaluationFailed) as error:
        checkpoints = sorted(place.glob(studies.WEIGHTS))
        if not checkpoints:
            raise
        for path in checkpoints:
            path.replace(path.with_name(f"{path.name}.damaged"))
        names = " and ".join(f"{path} to {path.name}.damaged" for path in checkpoints)
        complain(f"{error}; renamed {names}, and the network is trained again")
    return test()


def write_report(
    folder: Path, study: optuna.Study, space: Space, evaluator: Evaluator, test: dict[str, float] | None = None
) -> Path:
    """Write the report of a search, whatever it has found."""
    from graphnas import studies
    from graphnas.report import page

    encoder, names = studies.load_encoder(folder), studies.labels(study, value_label(evaluator))
    return page.write_report(folder, study, space, encoder=encoder, test=test, labels=names)


def _row(rank: int, trial: FrozenTrial, *, joint: bool) -> Sequence[Any]:
    from graphnas import studies
    from graphnas.report import page

    count = page.parameters(trial)
    return (
        rank,
        trial.number,
        page.compact(studies.architecture(trial), width=110),
        *([page.settings_text(studies.hyperparameters(trial))] if joint else []),
        *map(page.figure_text, trial.values),
        None if count is None else f"{count:,}",
        trial.user_attrs.get("graphnas:source", ""),
        f"{trial.user_attrs.get('graphnas:seconds') or 0:.1f}",
    )


def _record(folder: Path, rank: int, trial: FrozenTrial, names: Sequence[str]) -> dict[str, Any]:
    from graphnas import studies
    from graphnas.report import page

    weights = studies.kept_weights(folder, trial)
    return {
        "rank": rank,
        "trial": trial.number,
        "weights": None if weights is None else str(weights.relative_to(folder)),
        "value": trial.values[0],
        "values": dict(zip(names, trial.values, strict=True)),
        "parameters": page.parameters(trial),
        "source": trial.user_attrs.get("graphnas:source", ""),
        "seconds": trial.user_attrs.get("graphnas:seconds"),
        **({"hyperparameters": settings} if (settings := studies.hyperparameters(trial)) else {}),
        "architecture": json.loads(trial.user_attrs["graphnas:architecture"]),
    }
