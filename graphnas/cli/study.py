"""`graphnas study`: what the trials of finished searches say about budgets, hyperparameters and costs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import BadData, JsonOption, complain, console, print_json, print_table, set_threads, writing

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from numpy.typing import NDArray

    from graphnas.analysis.anytime import Anytime
    from graphnas.analysis.budget_correlation import Correlation

app = typer.Typer(no_args_is_help=True, help="Analyse searches: budgets, importance, progress.")

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a search.")]
_FEW = 100  # trials below which an analysis of variance is a guess
_GRID = 8  # costs of a table
_UNITS = {"epochs": "epochs", "cost": "CPU seconds", "seconds": "seconds"}


@app.command()
def correlation(
    folder: FolderArgument,
    budgets: Annotated[
        str | None,
        typer.Option("--budgets", help="Epochs to compare, as in 1,3,9; all budgets of the search if not given."),
    ] = None,
    top: Annotated[float, typer.Option("--top", min=0.001, max=1, help="Share of the candidates that are best.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the intervals.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Rank correlation of what candidates reach after few and after many epochs.

    For all candidates, and for those that are best after many epochs, with intervals of 95 %. Of a search with
    --fidelity these are its budgets, and only candidates that were not ended early come to the larger ones; of any
    other, the epochs of each training's curve.

    [bold]Example[/bold]

      graphnas study correlation results/2025-01-31-nasbench101-digits
    """
    set_threads(1)
    from graphnas.analysis.budget_correlation import budget_correlations, budget_values

    study = _open(folder)
    try:
        wanted = None if budgets is None else [int(part) for part in budgets.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--budgets {budgets!r}: expected whole numbers with commas between") from None
    try:
        found = budget_correlations(budget_values(study, wanted), top=top, seed=seed)
    except ValueError as error:
        raise BadData(f"{folder}: {error}") from None
    if as_json:
        print_json(
            [
                {"small": one.small, "large": one.large, "all": _numbers(one.all), "top": _numbers(one.top)}
                for one in found
            ]
        )
        return
    print_table(
        f"Rank correlation of budgets: {folder.name}",
        ("epochs", "with", "candidates", "Spearman", "95 %", "best", "Spearman of the best", "95 % of the best"),
        [
            # Of so few that the best are all of them, there is nothing more to say.
            (
                one.small,
                one.large,
                one.all.n,
                *_texts(one.all),
                *((one.top.n, *_texts(one.top)) if one.top.n < one.all.n else ("", "", "")),
            )
            for one in found
        ],
        right="epochs with candidates Spearman best",
    )


@app.command()
def importance(
    folder: FolderArgument,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, help="Epochs after which values count; the last if not given.")
    ] = None,
    show: Annotated[int, typer.Option("--show", min=1, help="Rows of each table.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the forest.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Which hyperparameters matter, what about the cell, and what depends on what (fANOVA).

    Shares of the variance over the whole space, by a random forest of the trials. Trials of a search that has learnt
    where to look say little of the rest: --sampler random says most.

    [bold]Example[/bold]

      graphnas study importance results/2025-01-31-nasbench101-digits
    """
    set_threads(1)
    from graphnas import studies
    from graphnas.analysis import importance as analysis
    from graphnas.analysis.budget_correlation import budget_values, final_values

    study = _open(folder)
    _say_which_objective(study, folder)
    space, hyperparameters = studies.load_space(folder), studies.load_hyperparameters(folder)
    try:
        values = final_values(study) if budget is None else budget_values(study, [budget])[budget]
    except ValueError as error:
        raise BadData(f"{folder}: {error}") from None
    # Trials that were ended early have no value.
    counted = [
        (trial, value)
        for trial, value in zip(studies.finished(study), values.tolist(), strict=True)
        if not math.isnan(value)
    ]
    try:
        found = analysis.importance(
            space,
            [studies.architecture(trial) for trial, _ in counted],
            [value for _, value in counted],
            hyperparameters=hyperparameters,
            settings=[studies.hyperparameters(trial) for trial, _ in counted],
            seed=seed,
        )
    except ValueError as error:
        raise BadData(f"{folder}: {error}") from None
    if len(counted) < _FEW:
        complain(f"{len(counted)} trials are few: shares of less than some hundred trials are guesses")
    kind = studies.read_config(folder)["sampler"].get("kind", "")
    if kind.split(":")[0] != "random":
        complain(
            f"the trials are those of {kind or 'a search'}, which has looked at some of the space more than at the rest"
        )
    if as_json:
        print_json(
            {
                "trials": len(counted),
                "explained": found.explained,
                **{
                    name: [{"factors": effect.factors, "share": effect.share} for effect in effects]
                    for name, effects in (("main", found.main), ("aspects", found.aspects), ("pairs", found.pairs))
                },
            }
        )
        return
    console().print(
        f"{len(counted)} trials; the forest explains {found.explained:.0%} of the variance of trials that it has not "
        "seen.\n",
        highlight=False,
    )
    for title, effects in (
        ("Hyperparameters, and the architecture as a whole", found.main),
        ("Aspects of the architecture, which overlap", found.aspects),
        ("Interactions", found.pairs),
    ):
        if not effects:
            continue
        print_table(
            title,
            ("share", "of"),
            [(f"{effect.share:.1%}", " x ".join(effect.factors)) for effect in effects[:show]],
            right="share",
        )
        console().print()


@app.command()
def anytime(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER...",
            help="Folders of searches; FIRST+SECOND for one in two parts, such as the architecture first and then its "
            "hyperparameters.",
        ),
    ],
    unit: Annotated[
        str, typer.Option("--unit", help="What computing is counted in: epochs, cost (CPU seconds) or seconds.")
    ] = "epochs",
    out: Annotated[Path | None, typer.Option("--out", help="SVG file for the curves.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Best value against the computing that all trials took, the short ones too.

    Searches that differ in their seeds alone are averaged; all others are compared. The parts of a search in two parts
    follow one another: what the second costs comes on top of the first.

    [bold]Examples[/bold]

      graphnas study anytime results/evolution-* results/latent-* --out curves.svg

      graphnas study anytime results/joint-0 results/cells-0+results/settings-0
    """
    set_threads(1)
    import numpy as np
    from optuna.study import StudyDirection

    from graphnas import studies
    from graphnas.analysis.anytime import UNITS, in_turn, on_grid
    from graphnas.analysis.anytime import anytime as curve_of
    from graphnas.report.bench_figures import cost_curves

    if unit not in UNITS:
        raise typer.BadParameter(f"--unit {unit!r}: expected {', '.join(UNITS)}")
    groups: dict[str, list[Anytime]] = {}
    labels: dict[str, str] = {}
    judged: dict[str, str] = {}
    for text in folders:
        # A folder's own name may have the sign too.
        parts = [Path(text)] if Path(text).is_dir() else [Path(part) for part in text.split("+")]
        curves, maximized = [], True
        for folder in parts:
            study = _open(folder)
            _say_which_objective(study, folder)
            maximized = study.directions[0] == StudyDirection.MAXIMIZE
            evaluator = studies.read_config(folder)["evaluator"]
            judged[" ".join(str(evaluator[key]) for key in ("name", "metric") if evaluator.get(key))] = str(folder)
            try:
                curves.append(curve_of(study, unit=unit))
            except ValueError as error:
                raise BadData(f"{folder}: {error}") from None
        groups.setdefault(_label(parts, labels), []).append(in_turn(curves, maximized=maximized))
    if len(judged) > 1:
        (first, one), (other, two) = list(judged.items())[:2]
        complain(f"values of {one} and {two} are not the same thing: {first} and {other}")
    # As far as all have come.
    end = min(float(curve.cost[-1]) for curves in groups.values() for curve in curves)
    grid = np.linspace(0, end, 200)[1:]
    values = {label: on_grid(curves, grid) for label, curves in groups.items()}
    if out is not None:
        with writing(out):
            out.write_text(cost_curves(values, grid, xlabel=unit, ylabel="best value"), encoding="utf-8")
    rows = np.linspace(0, len(grid) - 1, _GRID + 1).round().astype(int)[1:]
    if as_json:
        print_json(
            {
                "unit": unit,
                "cost": [float(grid[row]) for row in rows],
                "best": {label: [_mean_and_error(one[:, row]) for row in rows] for label, one in values.items()},
            }
        )
        return
    heads = [f"{grid[row]:,.0f}" if end >= 100 else f"{grid[row]:.3g}" for row in rows]
    print_table(
        f"Best value after so many {_UNITS[unit]}, mean and standard error",
        ("search", "runs", *heads),
        [(label, len(one), *(_summary(one[:, row]) for row in rows)) for label, one in values.items()],
        right=" ".join(("runs", *heads)),
    )


def _open(folder: Path) -> optuna.Study:
    """The study of a folder, to look at."""
    import optuna

    from graphnas import studies

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return studies.resume(folder, sampler=optuna.samplers.RandomSampler())


def _say_which_objective(study: optuna.Study, folder: Path) -> None:
    """Of several objectives, that the first is looked at."""
    from graphnas import studies

    if len(study.directions) > 1:
        first, *others = studies.labels(study, "value")
        complain(f"{folder}: of its objectives {first} is looked at, not {', '.join(others)}")


def _label(folders: Sequence[Path], known: dict[str, str]) -> str:
    """A name of a search, the same for those that differ in their seeds and in where they ran alone.

    Args:
        folders: Those of its parts.
        known: Labels by what they stand for; gets this one.
    """
    described = [_described(folder, later=number > 0) for number, folder in enumerate(folders)]
    key = json.dumps([compared for _, compared in described], sort_keys=True, default=str)
    if key not in known:
        label = ", then ".join(name for name, _ in described)
        # What else they differ in is in their folders.
        alike = sum(name == label or name.startswith(f"{label} (") for name in known.values())
        known[key] = f"{label} ({' + '.join(folder.name for folder in folders)})" if alike else label
    return known[key]


def _described(folder: Path, *, later: bool) -> tuple[str, dict[str, Any]]:
    """A name of a search, and all in which searches that are compared may differ.

    Args:
        folder: Its folder.
        later: Whether it goes on with what another search found, which is another candidate for each seed.
    """
    from graphnas import studies

    settings = studies.read_config(folder)
    sampler = settings["sampler"]
    parts = [settings["space"]["name"], str(sampler.get("kind", sampler.get("class", "search")))]
    if settings.get("joint"):
        parts.append("joint")
    search, evaluator = settings.get("search", {}), settings["evaluator"]
    parts += [str(search["fidelity"])] if search.get("fidelity") else []
    parts += [f"{evaluator['epochs']} epochs"] if evaluator.get("epochs") else []
    compared = {key: value for key, value in settings.items() if key not in ("search", "sampler", "storage")}
    compared["sampler"] = {key: value for key, value in sampler.items() if key != "seed"}
    compared["fidelity"] = search.get("fidelity")
    listed = folder / studies.CANDIDATES
    compared["among"] = listed.read_text(encoding="utf-8") if listed.exists() and not later else None
    if later:
        compared["evaluator"] = {key: value for key, value in evaluator.items() if key != "recipe"}
    return ", ".join(parts), compared


def _numbers(one: Correlation) -> dict[str, float | int | None]:
    return {name: None if math.isnan(value) else value for name, value in one._asdict().items()}


def _texts(one: Correlation) -> tuple[str, str]:
    return (f"{one.rho:.2f}", f"{one.low:.2f} to {one.high:.2f}") if math.isfinite(one.rho) else ("", "")


def _mean_and_error(known: NDArray[np.float64]) -> dict[str, float | None]:
    # The mean of those that have found something would flatter a search of which some runs have not.
    if not known.size or math.isnan(known.min()):
        return {"mean": None, "standard_error": None}
    error = float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else None
    return {"mean": float(known.mean()), "standard_error": error}


def _summary(values: NDArray[np.float64]) -> str:
    found = _mean_and_error(values)
    if found["mean"] is None:
        return ""
    error = found["standard_error"]
    return f"{found['mean']:.4f}" + ("" if error is None else f" ± {error:.4f}")
