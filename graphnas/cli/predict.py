"""`graphnas predict`: performance predictors, and their comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    JsonOption,
    print_json,
    print_table,
    progress_lines,
    set_threads,
    writing,
)

if TYPE_CHECKING:
    from graphnas.bench.prediction import Trial

app = typer.Typer(
    no_args_is_help=True,
    help="Performance predictors: list and compare them.",
    epilog="Example: graphnas predict bench nasbench201 --predictors latent-gp,random-forest",
)

_PREDICTORS = "latent-trees,latent-gp,random-forest,bananas,gp"
_NEEDS = {
    "zero-cost": ["one minibatch"],
    "learning curve": ["first epochs"],
    "hybrid": ["trainings", "first epochs"],
    "weight sharing": ["a supernet"],
    "seminas": ["trainings", "unlabelled architectures"],
    "combined": ["trainings", "one minibatch", "first epochs"],
    "omni-no-curve": ["trainings", "one minibatch"],
    "omni-no-score": ["trainings", "first epochs"],
    "omni-seminas": ["trainings", "unlabelled architectures", "one minibatch", "first epochs"],
    "latent": ["trainings", "an encoder"],
}
"""By name or family; making all predictors to ask them takes long."""
_SHOWN = ("spearman", "kendall", "pearson", "precision_20", "missing")


@app.command("list", epilog="Example: graphnas predict list")
def list_predictors(as_json: JsonOption = False) -> None:
    """List the predictors, and what each needs to know of an architecture beside its graph."""
    set_threads(1)
    from graphnas.predictors import PREDICTORS

    records = [
        {"name": name, "family": kind.family, "title": kind.title, "needs": _needs(name, kind.family)}
        for name, kind in PREDICTORS.items()
    ]
    if as_json:
        print_json(records)
        return
    rows = [(one["name"], one["family"], one["title"], ", ".join(one["needs"])) for one in records]
    print_table("", ("name", "family", "what it is", "needs"), rows)


@app.command(epilog="Example: graphnas predict bench nasbench101 --predictors latent-trees --train-sizes 100,1000")
def bench(
    data: Annotated[
        str,
        typer.Argument(help="Architectures with known performances: digits101, nasbench101, nasbench201 or spikenas."),
    ],
    predictors: Annotated[
        str, typer.Option("--predictors", help="Names of `graphnas predict list` with commas between.")
    ] = _PREDICTORS,
    train_sizes: Annotated[
        str, typer.Option("--train-sizes", help="Numbers of trained architectures that are learned from.")
    ] = "10,30,100,300,1000",
    epochs: Annotated[
        str | None,
        typer.Option("--epochs", help="First epochs seen by predictors that look at curves; four if not given."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Draws of architectures.")] = 10,
    first_seed: Annotated[int, typer.Option("--first-seed", min=0, help="Seed of the first draw.")] = 0,
    test: Annotated[int, typer.Option("--test", min=3, help="Architectures that are asked about.")] = 200,
    setting: Annotated[
        str,
        typer.Option(
            "--setting",
            help="random: all are drawn at random. mutation: asked about children of good ones, fitted to neighbours.",
        ),
    ] = "random",
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Name or folder of an encoder; the space's own if not given.")
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Trials at a time, one thread each.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder of results; what it holds is not repeated.")] = Path(
        "results/predict"
    ),
    as_json: JsonOption = False,
) -> None:
    """Compare predictors: rank correlation with the truth, by trainings learned from and by epochs seen.

    The folder then holds trials.jsonl, results.json with means and standard errors, and budgets.svg: the best predictor
    for every budget of initialisation (trainings and fits) and of a query (prediction, epochs seen, scores). A
    comparison that was stopped goes on when the same command is typed again; more predictors, sizes and seeds add to
    it.
    """
    set_threads(1)
    from graphnas import studies
    from graphnas.bench.prediction import Grid, run_grid, summarise
    from graphnas.bench.prediction_data import PREDICTION_DATA, prediction_data
    from graphnas.bench.prediction_rows import SETTINGS
    from graphnas.predictors import PREDICTORS
    from graphnas.report.bench_figures import budget_map

    if data not in PREDICTION_DATA:
        raise typer.BadParameter(f"{data!r} is no data; known: {', '.join(PREDICTION_DATA)}")
    names = tuple(dict.fromkeys(name.strip() for name in predictors.split(",") if name.strip()))
    unknown = [name for name in names if name not in PREDICTORS]
    if unknown or not names:
        raise typer.BadParameter(f"--predictors: expected names out of {', '.join(PREDICTORS)}, but got {predictors!r}")
    if setting not in SETTINGS:
        raise typer.BadParameter(f"--setting: expected {' or '.join(SETTINGS)}, but got {setting!r}")
    sizes = _numbers("--train-sizes", train_sizes, 2)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        source = prediction_data(data)
        seen = _usual(source.epochs) if epochs is None else _numbers("--epochs", epochs, 1)
        if source.epochs is not None and max(seen) > source.epochs:
            raise typer.BadParameter(f"--epochs: a training has {source.epochs}, but got {max(seen)}")
        grid = Grid(names, sizes, seen, tuple(range(first_seed, first_seed + seeds)), test, setting)
        with progress_lines(_line) as progress:
            trials = run_grid(
                source, grid, out / "trials.jsonl", encoder=encoder, processes=processes, progress=progress
            )
    except (FileNotFoundError, ImportError, ValueError) as error:
        raise BadData(str(error)) from None
    rows = summarise(trials)
    report = {"data": data, "title": source.title, "test": test, "setting": setting, "rows": rows}
    with writing(out):
        studies.write_text(out / "results.json", json.dumps(report | {"environment": studies.environment(first_seed)}))
        unit = "" if source.seconds is not None else ", trainings and seconds"
        studies.write_text(out / "budgets.svg", budget_map(rows, unit=unit))
    if as_json:
        print_json({"folder": str(out), **report})
        return
    print_table(
        f"{source.title}: {test} others predicted, mean ± standard error",
        (
            "predictor",
            "trained",
            "epochs seen",
            *(name.replace("_", "@") for name in _SHOWN),
            "initialisation",
            "query",
        ),
        [
            (
                row["predictor"],
                row["train_size"] or "-",
                row["epochs"] or "-",
                *(_figure(row["measures"][name]) for name in _SHOWN),
                f"{row['initialisation']:,.4g}",
                f"{row['query']:.3g}",
            )
            for row in rows
        ],
        right="trained initialisation query",
    )
    typer.echo(f"Written to {out}/")


def _needs(name: str, family: str) -> list[str]:
    """What a predictor has to be told or given, in words."""
    return _NEEDS.get(name, _NEEDS.get(family, ["trainings"]))


def _line(trial: Trial) -> str:
    setting = f"{trial.train_size} trained  {trial.epochs} epochs  seed {trial.seed}"
    return f"{trial.predictor}  {setting}  {trial.measures['kendall']:.3f}"


def _figure(one: dict[str, float | None]) -> str:
    mean, error = one["mean"], one["standard_error"]
    return "-" if mean is None else f"{mean:.3f}" if error is None else f"{mean:.3f} ± {error:.3f}"


def _numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        found = ()
    if not found or found[0] < least:
        raise typer.BadParameter(f"{option}: expected whole numbers of {least} or more with commas, but got {text!r}")
    return found


def _usual(epochs: int | None) -> tuple[int, ...]:
    """Four fidelities, evenly spread on a logarithmic scale up to the last epoch but one."""
    if epochs is None:
        return (1,)
    last: Sequence[Any] = sorted({max(1, round((epochs - 1) ** (step / 4))) for step in range(1, 5)})
    return tuple(last)
