"""`graphnas surrogate`: benchmarks that answer for trainings, fitted to trainings that were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.architectures import read_architectures
from graphnas.cli.console import (
    BadData,
    JsonOption,
    SeedOption,
    complain,
    console,
    open_space,
    print_json,
    print_table,
    progress_lines,
    set_threads,
    writing,
)
from graphnas.cli.search_folder import read_settings

if TYPE_CHECKING:
    from graphnas.spaces import Space
    from graphnas.surrogates import Archive

app = typer.Typer(
    no_args_is_help=True,
    help="Surrogate benchmarks: fit one to trainings, measure it, ask it.",
    epilog="Example: graphnas surrogate fit results/* --model gnn --out mine",
)

_SHOWN = ("trainings", "r2", "kendall", "sparse_kendall", "spearman", "rmse", "kendall_top", "coverage")

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="TRAININGS...",
        help="Folders of searches, Parquet files with columns architecture and value, table, or table:FILE.",
    ),
]
SpaceOption = Annotated[
    str | None, typer.Option("--space", help="Space of the architectures; that of the first search if not given.")
]
MetricOption = Annotated[str | None, typer.Option("--metric", help="Column of a table; its own choice if not given.")]
ShareOption = Annotated[
    float, typer.Option("--share", min=0.0, max=1.0, help="Part of the trainings that is used, drawn at random.")
]


@app.command(epilog="Example: graphnas surrogate fit table --space darts --model gnn --out surrogate-darts")
def fit(
    sources: SourcesArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder of the surrogate.")],
    space: SpaceOption = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="xgb, lgb (boosted trees), gin, gnn (graph isomorphism and convolutional networks) or latent-gp.",
        ),
    ] = "xgb",
    metric: MetricOption = None,
    share: ShareOption = 1.0,
    members: Annotated[int, typer.Option("--members", min=2, help="Models of the ensemble.")] = 10,
    tuning: Annotated[int, typer.Option("--tune", min=0, help="Settings that Optuna tries first.")] = 0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a surrogate to trainings, and say how well it predicts those that it has not seen.

    It is measured on a tenth of every sampler's trainings and, where several samplers proposed them, on those of each
    after a fit to all others; then it is fitted to all.
    """
    set_threads(1)
    from graphnas import studies
    from graphnas.surrogates import ENSEMBLES, MEANING, fit_surrogate, held_out, leave_one_sampler_out, tune

    if model not in ENSEMBLES:
        raise typer.BadParameter(f"--model {model!r}: expected one of {', '.join(ENSEMBLES)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise typer.BadParameter(f"--out {out}: expected a new or an empty folder")
    archive = _archive(sources, space, metric, share, seed)
    if len(archive) < 30:
        raise BadData(f"{', '.join(sources)}: expected 30 or more trainings to fit to, but got {len(archive)}")
    screen = console()
    try:
        settings: dict[str, Any] = {}
        if tuning:
            with progress_lines(lambda best: f"tuning: best rank correlation {best:.3f}") as show:
                settings = tune(
                    archive,
                    kind=model,
                    trials=tuning,
                    seed=seed,
                    progress=lambda done, best: show(best, done, tuning),
                )
        metrics, told = held_out(archive, kind=model, settings=settings, seed=seed, members=members)
        left_out = leave_one_sampler_out(archive, kind=model, settings=settings, seed=seed, members=members)
        surrogate = fit_surrogate(
            archive, kind=model, settings=settings, members=members, noise=told.noise, spread=told.spread, seed=seed
        )
    except (ImportError, ValueError) as error:
        raise BadData(str(error)) from None
    surrogate.about.update(
        {
            "held_out": metrics,
            "left_out": left_out,
            **MEANING,
            "environment": studies.environment(seed),
        }
    )
    with writing(out):
        surrogate.save(out)
    if as_json:
        print_json({"folder": str(out), **told._asdict(), "held_out": metrics, "left_out": left_out})
        return
    _print("Trainings held out", metrics)
    if left_out:
        _print("Trainings of a sampler, after a fit to those of the others", left_out)
    screen.print(
        f"{len(archive):,} trainings, one of which is off by {told.noise:.2g}; written to {out}/",
        highlight=False,
    )


@app.command(epilog="Example: graphnas surrogate evaluate surrogate-darts results/*")
def evaluate(
    surrogate: Annotated[str, typer.Argument(help="Name or folder of a surrogate.")],
    sources: SourcesArgument,
    metric: MetricOption = None,
    share: ShareOption = 1.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare a surrogate with trainings.

    How well it predicts is told by those that it was not fitted to; leaving them out is up to you.
    """
    set_threads(1)
    from graphnas.surrogates import assess

    loaded = open_surrogate(surrogate)
    archive = _archive(sources, loaded.space.name, metric, share, seed, loaded.space)
    if len(archive) < 3:
        raise BadData(f"{', '.join(sources)}: expected three or more trainings, but got {len(archive)}")
    if archive.digest() == loaded.about.get("archive", {}).get("digest"):
        complain(f"{surrogate} was fitted to these trainings: how well it predicts others is another matter")
    found = {"all": assess(loaded, archive)}
    if as_json:
        print_json(found)
    else:
        _print(f"{surrogate} against trainings", found)


@app.command(epilog="Example: graphnas surrogate query surrogate-darts genotypes.txt")
def query(
    surrogate: Annotated[str, typer.Argument(help="Name or folder of a surrogate.")],
    file: Annotated[Path, typer.Argument(help="File of architectures in any notation.")],
    as_json: JsonOption = False,
) -> None:
    """Ask a surrogate about the architectures of a file."""
    set_threads(1)
    from graphnas.report.page import compact

    loaded = open_surrogate(surrogate)
    architectures = read_architectures(file, loaded.space)
    predicted = loaded.predict(architectures)
    familiar = loaded.familiar(architectures, predicted)
    seconds = loaded.predict_seconds(architectures)
    records = [
        {
            "architecture": json.loads(one.to_json()),
            "value": float(predicted.mean[row]),
            "std": float(predicted.std[row]),
            "noise": loaded.noise,
            "familiar": bool(familiar[row]),
            "seconds": None if seconds is None else float(seconds[row]),
        }
        for row, one in enumerate(architectures)
    ]
    if as_json:
        print_json(records)
        return
    rows = [
        (
            compact(one),
            f"{record['value']:.4f}",
            f"{record['std']:.4f}",
            "yes" if record["familiar"] else "no",
            _seconds(record["seconds"]),
        )
        for one, record in zip(architectures, records, strict=True)
    ]
    print_table("", ("cell", "value", "deviation of members", "familiar", "seconds of training"), rows)


def open_surrogate(name: str, space: Space | None = None) -> Any:
    """The surrogate of a name or folder.

    Raises:
        BadData: if there is none, or it is damaged.
    """
    from graphnas.surrogates import Surrogate

    try:
        return Surrogate.load(name, space=space)
    except (FileNotFoundError, ImportError, ValueError) as error:
        raise BadData(str(error)) from None


def _archive(
    sources: Sequence[str], space: str | None, metric: str | None, share: float, seed: int, loaded: Space | None = None
) -> Archive:
    """All trainings of the sources."""
    import numpy as np

    from graphnas import studies
    from graphnas.evaluate import open_table
    from graphnas.surrogates import Archive

    searches = [source for source in sources if (Path(source) / studies.CONFIG).is_file()]
    if loaded is None:
        if space is not None:
            loaded = open_space(space)
        elif searches:
            loaded = studies.load_space(Path(searches[0]))
        else:
            raise typer.BadParameter("--space says of which space the trainings are; none of them is a search")
    parts, judges = [], {}
    for source in sources:
        try:
            if source in searches:
                judges[_judge(Path(source))] = source
                if len(judges) > 1:
                    (one, first), (other, second) = judges.items()
                    raise BadData(f"expected values of one kind, but those of {first} are {one}, of {second} {other}")
                parts.append(_of_search(Path(source), loaded))
            elif source.partition(":")[0] == "table":
                table = open_table(loaded.name, source.partition(":")[2] or None)
                parts.append(Archive.of_table(loaded, table, metric))
            else:
                parts.append(Archive.read(source, loaded))
        except (FileNotFoundError, ValueError) as error:
            raise BadData(str(error)) from None
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.joined(part)
    if share < 1:
        rows = np.random.default_rng(seed).permutation(len(whole))[: round(share * len(whole))]
        whole = whole.take(np.sort(rows))
    return whole


def _judge(folder: Path) -> str:
    """What gave the values of a search.

    Raises:
        ValueError: if they depend on more than the architecture.
    """
    settings = read_settings(folder)
    if "joint" in settings:
        raise ValueError(f"{folder}: values of a joint search depend on its hyperparameters, which a surrogate ignores")
    judge = settings["evaluator"]
    return " ".join(str(judge[key]) for key in ("objective", "metric", "epochs") if judge.get(key) is not None)


def _of_search(folder: Path, space: Space) -> Archive:
    """The finished trials of a search; its sampler's name is theirs, but random ones are."""
    import math

    import numpy as np

    from graphnas import studies
    from graphnas.surrogates import Archive

    found = studies.load_space(folder)
    if found.name != space.name:
        raise ValueError(f"{folder}: expected a search of {space.name}, but this is one of {found.name}")
    settings = read_settings(folder)
    kind = studies.split_sampler(settings["sampler"]["kind"])[0]
    trials = [
        trial
        for trial in studies.finished(studies.resume(folder))
        if trial.state.name == "COMPLETE" and trial.values and math.isfinite(trial.values[0])
    ]
    seconds = [trial.user_attrs.get("graphnas:cost") or trial.user_attrs.get("graphnas:seconds") for trial in trials]
    return Archive.of(
        space,
        [studies.architecture(trial) for trial in trials],
        np.array([trial.values[0] for trial in trials]),
        samplers=["random" if trial.user_attrs.get("graphnas:source") == "random" else kind for trial in trials],
        seconds=np.array([math.nan if one is None else float(one) for one in seconds]),
    )


def _print(title: str, found: dict[str, dict[str, float]]) -> None:
    rows = [
        (name, f"{one['trainings']:,.0f}", *(f"{one[column]:.3f}" if column in one else "" for column in _SHOWN[1:]))
        for name, one in found.items()
    ]
    columns = ("", *(column.replace("_", " ") for column in _SHOWN))
    print_table(title, columns, rows, right="trainings")


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}"
