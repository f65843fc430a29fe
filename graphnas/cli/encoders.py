"""`graphnas encoders`: which trained encoders there are, and how good they are."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    Device,
    DeviceOption,
    JsonOption,
    LimitOption,
    choose_device,
    complain,
    console,
    print_json,
    print_table,
    read_limits,
    set_threads,
    writing,
)
from graphnas.cli.encoder_folder import (
    Training,
    config_of,
    encoder_and_space,
    encoder_folder,
    quality_of,
    record_of,
    summary,
)

if TYPE_CHECKING:
    from graphnas.analysis.encoder_report import Progress
    from graphnas.encoders import CellAutoencoder

app = typer.Typer(
    no_args_is_help=True,
    help="List, show and measure trained encoders.",
    epilog="Example: graphnas encoders show nasbench101",
)
_SHOWN = 16  # labels of a vocabulary in a list of encoders

EncoderArgument = Annotated[str, typer.Argument(metavar="ENCODER", help="Name of a trained encoder, or its folder.")]
MeasuredArgument = Annotated[
    str,
    typer.Argument(
        metavar="ENCODER",
        help="Name of a trained encoder, or its folder; one of all spaces with one of them, as in universal:darts.",
    ),
]


@app.command("list", epilog="Example: graphnas encoders list")
def list_encoders(as_json: JsonOption = False) -> None:
    """List the encoders that come with graphnas, and those in the folder `encoders` here."""
    from graphnas.content import content_folder

    shipped, here = content_folder("encoders"), Path("encoders")
    places = sorted(shipped.glob("*/config.toml"))
    if here.resolve() != shipped.resolve():
        places += sorted(here.glob("*/config.toml"))
    rows = []
    for path in places:
        try:
            row = summary(path.parent)
        except BadData as error:
            typer.echo(f"Left out: {error}", err=True)
            continue
        # Only those that come with graphnas go by their names alone.
        rows.append(row if path.is_relative_to(shipped) else {**row, "name": str(path.parent)})
    if as_json:
        print_json(rows)
        return
    print_table(
        "",
        ("name", "space", "d", "MB", "reconstruction", "vocabulary"),
        [
            (
                row["name"],
                row["space"],
                row["latent_dim"],
                f"{row['bytes'] / 1e6:.1f}",
                _number(row["reconstruction"]),
                _labels(row["vocabulary"]),
            )
            for row in rows
        ],
        right="d MB reconstruction",
    )


@app.command(epilog="Example: graphnas encoders show nasbench101")
def show(encoder: EncoderArgument, as_json: JsonOption = False) -> None:
    """Show the card, the settings and the recorded measures of an encoder."""
    folder = encoder_folder(encoder)
    config, record = config_of(folder), record_of(folder)
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    if as_json:
        print_json({**summary(folder), "config": config, "metrics": record, "card": text})
        return
    if text:
        from rich.markdown import Markdown

        console().print(Markdown(text))
        typer.echo()
    settings = [(key, value) for key, value in config.items() if not isinstance(value, dict)]
    settings += [
        (f"{part}.{key}", value)
        for part, table in config.items()
        if isinstance(table, dict)
        for key, value in table.items()
    ]
    print_table("Settings", ("", ""), [(key, _plain(value)) for key, value in settings])
    measures = [(name.replace("_", " "), _number(value)) for name, value in quality_of(record).items()]
    measures += [
        (name.replace("_", " "), f"{record[name]:,.0f}")
        for name in ("cells", "held_out", "cpu_seconds")
        if isinstance(record.get(name), int | float)
    ]
    if measures:
        print_table("Recorded measures", ("measure", "value"), measures, right="value")
    print_table("", ("", ""), [("folder", folder)])


@app.command(
    epilog="Example: graphnas encoders evaluate nasbench101 --seeds 10 --labels 100,1000,10000 --out measures.json"
)
def evaluate(
    encoder: MeasuredArgument,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Draws of labelled cells; three at most of what hardly varies.")
    ] = 10,
    held_out: Annotated[
        int | None,
        typer.Option("--held-out", min=10, help="As given to `graphnas train`; as recorded if not given."),
    ] = None,
    split_seed: Annotated[
        int | None,
        typer.Option("--split-seed", min=0, help="The seed of `graphnas train`; as recorded if not given."),
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option("--cells", min=100, help="As given to `graphnas train`; as recorded if not given."),
    ] = None,
    limit: LimitOption = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", help="Numbers of labels, such as 100,1000,10000; those usual in the space if not given."
        ),
    ] = None,
    predict: Annotated[
        Path | None,
        typer.Option(
            "--predict",
            metavar="FILE",
            help="Labelled architectures, as `graphnas train --labels` reads them, on which to test an encoder's "
            "performance head: others than it was fitted to.",
        ),
    ] = None,
    pairs: Annotated[
        int, typer.Option("--pairs", min=10, help="Random pairs, and walks, on which smoothness is measured.")
    ] = 10_000,
    samples: Annotated[
        int, typer.Option("--samples", min=10, help="Points drawn from the prior, and architectures timed.")
    ] = 10_000,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write everything to.")] = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Measure an encoder on the architectures that its training kept apart.

    Quality is reconstruction, validity, uniqueness and novelty.

    Smoothness is the rank correlation of distance in latent space and exact edit distance.

    For the ranking a Gaussian process learns the accuracies of few architectures and ranks others, from the latent
    mean and from hand-made encodings; it needs the space's benchmark table in the folder GRAPHNAS_DATA.
    """
    counts = None if labels is None else _counts(labels)
    if out is not None:
        if out.is_dir():
            raise typer.BadParameter(f"--out {out}: expected a file, but got a folder")
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
    set_threads(1)
    from graphnas.analysis import encoder_report, prediction, training_split
    from graphnas.cli.labels import read_labels
    from graphnas.spaces import Space
    from graphnas.studies import environment, write_text

    name, space = encoder_and_space(encoder)
    folder = encoder_folder(name)
    training = Training.read(record_of(folder))
    limits = read_limits(limit) or training.limits
    model = _open(folder, space, limits, choose_device(device))
    tested = None
    if predict is not None:
        if model.performance is None:
            raise typer.BadParameter(f"--predict {predict}: {encoder} was not fitted with labels")
        tested = list(read_labels(predict, model.space).values())
        if len(tested) < 3:
            raise BadData(f"{predict}: expected three or more different architectures, but got {len(tested)}")
    options: dict[str, Any] = {
        "held_out": training.held_out if held_out is None else held_out,
        "seed": training.seed if split_seed is None else split_seed,
        "cells": training.drawn if cells is None else cells,
        "share": training.share,
    }
    if space is not None:
        usual = {"held_out": Training.held_out, "seed": Training.seed, "cells": Training.drawn, "share": Training.share}
        fitted = record_of(folder).get("settings", {}).get("batches", {})
        if space not in fitted or options != usual or limits:
            complain(
                f"{folder.name} may have been fitted to what is called held out: it kept apart architectures of "
                f"{', '.join(one for one in fitted if one in Space.names()) or 'no space'}, by the options' defaults"
            )
    with _progress() as progress:
        progress("cells", 0, 1)
        apart = training_split(model.space, **options)
        split = training.without_added(apart, model.space)
        # Labelled architectures that the share left out were fitted to as well.
        beyond = len(training.added) * len(model.space.cell_names) - (apart.held_out.n - split.held_out.n)
        measured = encoder_report(
            model,
            split,
            seeds=seeds,
            labels=counts,
            fitted_to_labels=training.labelled,
            pairs=pairs,
            samples=samples,
            progress=progress,
        )
    made = record_of(folder)
    settings, environment_then = made.get("settings", {}), made.get("environment", {})
    report: dict[str, Any] = {
        "encoder": folder.name,
        "training": {
            "command": environment_then.get("command"),
            "minutes": settings.get("minutes"),
            "share": settings.get("share"),
            "cpu_seconds": made.get("cpu_seconds"),
            "steps": made.get("steps"),
        },
        "space": model.space.name,
        "latent_dim": model.latent_dim,
        "split": {
            **options,
            "held_out": split.held_out.n // len(model.space.cell_names),
            "limits": limits,
            "fitted_cells": split.train.n + beyond,
            # A universal encoder was fitted to cells of other spaces too.
            "fitted_cells_recorded": None if training.only or space is not None else training.cells,
        },
        **measured,
        "environment": environment(options["seed"]),
    }
    if tested is not None:
        architectures, values = zip(*tested, strict=True)
        report["prediction"] = {"file": str(predict), "labels": len(tested), **prediction(model, architectures, values)}
    if out is not None:
        with writing(out):
            write_text(out, json.dumps(report, indent=1) + "\n")
    if as_json:
        print_json(report)
        return
    _print_report(report)
    if out is not None:
        typer.echo(f"Written to {out}")


def _open(folder: Path, space: str | None, limits: Mapping[str, Any], device: str) -> CellAutoencoder:
    """The encoder for the space that it was trained on, with these limits, or else those of its settings.

    A universal one needs to be told of which space.
    """
    from graphnas.encoders import CellAutoencoder
    from graphnas.spaces import Space

    model = CellAutoencoder.from_pretrained(folder, device=device)
    universal = model.kind == "universal"
    if universal and space is None:
        raise typer.BadParameter(f"{folder.name} serves all spaces; say which, as in {folder.name}:nasbench101")
    if space is not None:
        if not universal:
            raise typer.BadParameter(f"{folder.name} is of {model.space.name} alone")
        return CellAutoencoder.from_pretrained(folder, device=device, space=Space.load(space, **limits))
    own = model.space
    # Whether a space is listed or drawn from depends on its size, which is known of the plain one.
    plain = Space.load(own.path, **limits)
    if not limits and plain.topology.settings != own.topology.settings:
        return model
    return CellAutoencoder.from_pretrained(folder, device=device, space=plain)


def _labels(vocabulary: Sequence[str]) -> str:
    """The labels, or how many there are."""
    return ", ".join(vocabulary) if len(vocabulary) <= _SHOWN else f"{len(vocabulary)} labels, of all spaces"


def _counts(text: str) -> list[int]:
    words = [word for word in re.split(r"[,\s]+", text) if word]
    if not words or not all(re.fullmatch("[0-9]{1,9}", word) and int(word) >= 2 for word in words):
        raise typer.BadParameter(f"--labels {text!r}: expected whole numbers from 2, such as 100,1000,10000")
    return sorted({int(word) for word in words})


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal, a line for each step elsewhere; both on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = Console(stderr=True)
    if not screen.is_terminal:

        def say(text: str, done: int, total: int) -> None:
            typer.echo(f"{text}  {done + 1}/{total}", file=sys.stderr)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda text, done, total: bars.update(task, description=text, completed=done, total=total)


def _print_report(report: Mapping[str, Any]) -> None:
    split, smoothness, ranking = report["split"], report["smoothness"], report["ranking"]
    _heading(f"Quality on {split['held_out']:,} held-out architectures of {report['space']}")
    rows = [(name.replace("_", " "), *_spread(one)) for name, one in report["quality"].items()]
    print_table("", ("measure", "mean", "sd"), rows, right="mean sd")
    recorded = split["fitted_cells_recorded"]
    if recorded is not None and recorded != split["fitted_cells"]:
        _warn(
            f"metrics.json records {recorded:,} fitted cells, these options give {split['fitted_cells']:,}: the "
            "encoder may have been fitted to what is called held out"
        )
    _heading("Smoothness: Spearman's correlation of distance in the encoding and edit distance")
    if "missing" in smoothness:
        _warn(f"Not measured: {smoothness['missing']}")
    else:
        names = ("random_pairs", "walks", "pooled")
        rows = [
            (encoding, *(f"{one[name]['mean']:.3f}" for name in names))
            for encoding, one in smoothness["encodings"].items()
        ]
        print_table("", ("encoding", *(name.replace("_", " ") for name in names)), rows)
    if "missing" in ranking:
        _heading("Ranking by a Gaussian process")
        _warn(f"Not measured: {ranking['missing']}")
    else:
        _heading(
            f"Ranking: a Gaussian process predicts {ranking['labels']} of {ranking['tested']:,} other architectures; "
            "differences are to the latent mean, paired, ± standard error"
        )
        rows = [
            (
                f"{row['labels']:,}",
                row["encoding"],
                row["draws"],
                *(text for score in ("spearman", "pearson", "rmse") for text in _score(row[score])),
            )
            for row in ranking["table"]
        ]
        scores = ("Spearman", "difference", "Pearson", "difference", "RMSE", "difference")
        print_table("", ("labels", "encoding", "draws", *scores), rows, right="labels draws")
        for count in ranking["too_many"]:
            _warn(f"{count:,} labels: only {ranking['labelled']:,} architectures can be labelled")
    if "prediction" in report:
        tested = report["prediction"]
        _heading(f"Prediction of {tested['labels']:,} labels by the performance head")
        predicted = [(name, f"{tested[name]:.4f}") for name in ("spearman", "kendall", "pearson", "rmse", "coverage")]
        print_table("", ("measure", "value"), predicted, right="value")
    speed = report["architectures_per_second"]
    _heading(f"Speed: encode {speed['encode']:,}, decode {speed['decode']:,} architectures a {speed['clock']} second")


def _heading(text: str) -> None:
    console().print(text, style="bold", highlight=False, markup=False, soft_wrap=True)


def _warn(text: str) -> None:
    console().print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _score(score: Mapping[str, Any]) -> tuple[str, str]:
    """Mean with spread, and the paired difference with its standard error."""
    spread = "" if score["sd"] is None else f" (sd {score['sd']:.3f})"
    if "difference" not in score:
        return f"{score['mean']:.3f}{spread}", ""
    error = "" if score["standard_error"] is None else f" ± {score['standard_error']:.3f}"
    return f"{score['mean']:.3f}{spread}", f"{score['difference']:+.3f}{error}"


def _spread(one: Mapping[str, Any]) -> tuple[str, str]:
    return _number(one["mean"]), _number(one["sd"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
