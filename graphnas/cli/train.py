"""`graphnas train`: fit an encoder and a decoder to a space."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphnas.cli.board import BoardOption, check_board, open_board
from graphnas.cli.console import (
    BadData,
    Device,
    DeviceOption,
    Failed,
    JsonOption,
    LimitOption,
    SeedOption,
    SpaceArgument,
    choose_device,
    console,
    open_space,
    print_json,
    print_table,
    read_limits,
    set_threads,
    writing,
)
from graphnas.cli.encoder_folder import Training, encoder_folder, record_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from graphnas.analysis import TrainingSplit
    from graphnas.cell import Architecture
    from graphnas.encoders import CellAutoencoder
    from graphnas.encoders.objective import Recipe
    from graphnas.spaces import Space

_FEWEST = 50  # architectures; a tenth of them is held out
_FEWEST_HELD_OUT = 5
_MINUTES = 8.0


class Model(StrEnum):
    """Kinds of autoencoder."""

    graph = "graph"
    universal = "universal"
    svge = "svge"
    dvae = "dvae"


class Precision(StrEnum):
    """Of matrix products."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


def train(
    space: SpaceArgument,
    limit: LimitOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the encoder; encoders/NAME here if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an encoder that the folder holds.")] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0.01,
            help="Minutes of training, of CPU time where it runs on the CPU; 8 if --steps is not given either.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Steps of training; without --minutes, equal on every run of the CPU."),
    ] = None,
    model: Annotated[
        Model | None,
        typer.Option(
            "--model",
            help="Our graph encoder (the default), the same over the labels of all spaces, SVGe as published, or "
            "D-VAE's encoder.",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="ENCODER", help="Encoder whose weights to start from.")
    ] = None,
    latent_dim: Annotated[
        int | None,
        typer.Option(
            "--latent-dim",
            min=2,
            help="Latent dimensions of one cell; the default model's are those of the space's file or else 32.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="CSV or Parquet with the columns architecture and value; the encoder learns to predict the value.",
        ),
    ] = None,
    proxies: Annotated[
        str | None,
        typer.Option(
            "--proxies",
            metavar="NAMES",
            help="Zero-cost proxies with commas between, such as synflow,nwot: scores of untrained networks, which the "
            "latent says linearly as it says the graph's own statistics.",
        ),
    ] = None,
    scored: Annotated[
        int,
        typer.Option("--scored", min=20, help="Architectures that proxies score; scores of others are predicted."),
    ] = 1_000,
    cells: Annotated[
        int, typer.Option("--cells", min=100, help="Architectures to draw where the space is too large to list.")
    ] = 200_000,
    held_out: Annotated[
        int,
        typer.Option("--held-out", min=10, help="Architectures kept for measuring quality, a tenth of all at most."),
    ] = 5_000,
    share: Annotated[
        float,
        typer.Option("--share", min=0, max=1, help="Share of the architectures not held out to fit to, such as 0.1."),
    ] = 1.0,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=2, help="Cells a step; that of the model's recipe if not given.")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", min=1e-9, help="Adam's step size; that of the recipe if not given."),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option("--beta", min=0, help="Weight of the KL divergence; that of the recipe if not given."),
    ] = None,
    seed: SeedOption = 0,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Threads; more than one is slower on a machine that is busy.")
    ] = 1,
    device: DeviceOption = Device.auto,
    precision: Annotated[
        Precision, typer.Option("--precision", help="Of matrix products; auto is bfloat16 on a GPU.")
    ] = Precision.auto,
    compiled: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the loss; on a GPU if not given.")
    ] = None,
    tensorboard: BoardOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit an encoder and a decoder of cells to a space, measure them, and write them to a folder.

    No accuracy takes part unless --labels are given. A run that was killed goes on when the same command is typed
    again. Under torchrun, the processes share each batch.

    [bold]Examples[/bold]

      graphnas train nasbench101 --minutes 8 --out encoders/mine

      graphnas train enas --model svge --steps 20000

      torchrun --nproc-per-node 2 -m graphnas train nasbench101
    """
    set_threads(threads)
    import numpy as np

    from graphnas import studies
    from graphnas.analysis import is_listed, training_split
    from graphnas.cli.encoder_card import card, thinned
    from graphnas.cli.fit_display import FitDisplay
    from graphnas.cli.labels import read_labels
    from graphnas.encoders import fit, quality
    from graphnas.encoders.prior import CollapseError
    from graphnas.networks import log_costs
    from graphnas.report import loss_curve

    loaded = open_space(space, limit)
    place = choose_device(device)
    folder = out or Path("encoders") / loaded.name
    if (folder / "config.toml").exists() and not overwrite:
        raise typer.BadParameter(f"{folder} holds an encoder already; choose another --out, or give --overwrite")
    if share == 0:
        raise typer.BadParameter("--share 0: expected a number above 0")
    autoencoder = _autoencoder(loaded, model, start, latent_dim, seed)
    fine_tuned = autoencoder.kind == "svge" and start is not None and labels is not None
    recipe = _recipe(
        loaded, autoencoder.kind, fine_tuned, batch_size=batch_size, beta=beta, learning_rate=learning_rate
    )
    given = None if labels is None else read_labels(labels, loaded)
    scores = _proxies(proxies, recipe)
    on_gpu = place == "cuda"
    compiled = on_gpu if compiled is None else compiled
    products: Literal["float32", "bfloat16"] = (
        "bfloat16" if precision is Precision.bfloat16 or (precision is Precision.auto and on_gpu) else "float32"
    )
    if minutes is None and steps is None:
        minutes = _MINUTES
    with contextlib.ExitStack() as stack:
        place, rank, world = stack.enter_context(_processes(place))
        if rank == 0:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            if start is not None:
                now = Training(seed, held_out, cells, share, read_limits(limit))
                _warn_of_another_split(start, now, listed=is_listed(loaded))
        began = time.process_time(), time.perf_counter()
        split = training_split(loaded, held_out=held_out, seed=seed, cells=cells, share=share)
        parts = len(loaded.cell_names)
        number = (split.train.n + split.held_out.n) // parts
        if number < _FEWEST:
            raise BadData(f"{space}: expected at least {_FEWEST} architectures to fit an encoder to, but got {number}")
        values, about_labels = None, None
        if given is not None:
            split, values, about_labels = _labelled(str(labels), given, split, loaded, only=fine_tuned)
        apart = split.held_out.n // parts
        scalars = stack.enter_context(_tensorboard(tensorboard)) if tensorboard is not None and rank == 0 else None
        display = stack.enter_context(FitDisplay(console())) if rank == 0 and not as_json else None

        def progress(row: Mapping[str, float]) -> None:
            if display is not None:
                display(row)
            if scalars is not None:
                scalars(row)

        targets = log_costs(loaded, split.train)
        if scores:
            from graphnas.analysis import proxy_targets

            try:
                columns = proxy_targets(loaded, split.train, scores, scored=scored, seed=seed)
            except ValueError as error:
                raise BadData(f"--proxies: {error}") from None
            targets = columns if targets is None else np.column_stack([targets, columns])
        checkpoint = folder / "checkpoint"
        # D-VAE's encoder takes a second a step.
        report_every = 10 if autoencoder.kind == "dvae" else 100
        try:
            history = fit(
                autoencoder,
                split.train,
                validation=loaded.take(split.held_out, np.arange(min(apart, 1000))),
                targets=targets,
                labels=values,
                seed=seed,
                device=place,
                minutes=minutes,
                steps=10**9 if steps is None else steps,
                recipe=recipe,
                precision=products,
                compiled=compiled,
                checkpoint=checkpoint,
                report_every=report_every,
                progress=progress,
            )
        except (CollapseError, FloatingPointError) as error:
            if rank == 0:
                # The same command would come to the same end; another may begin anew.
                shutil.rmtree(checkpoint, ignore_errors=True)
            advice = (
                "more --minutes or a lower --beta keeps more of it"
                if isinstance(error, CollapseError)
                else "--learning-rate sets it"
            )
            raise Failed(f"no encoder was written to {folder}: {error}; {advice}") from None
    if rank:
        return
    measured = quality(autoencoder, split.held_out, train=split.train, seed=seed)
    record: dict[str, Any] = {
        "space": loaded.name,
        "model": autoencoder.kind,
        "latent_dim": autoencoder.cell_dim,
        "parameters": sum(parameter.numel() for parameter in autoencoder.parameters()),
        "quality": measured,
        "cells": int(split.train.n),
        "held_out": apart,
        "labels": about_labels,
        "seed": seed,
        "steps": int(history[-1]["step"]) if history else 0,
        "cells_per_second": statistics.median(row["cells_per_second"] for row in history) if history else 0.0,
        "device": place,
        "processes": world,
        "precision": products,
        "compiled": compiled,
        "recipe": dataclasses.asdict(recipe),
        "settings": {
            "limit": read_limits(limit),
            "cells": cells,
            "held_out": held_out,
            "share": share,
            "proxies": scores,
            "scored": scored if scores else None,
            "minutes": minutes,
            "steps": steps,
            "threads": threads,
            "from": start,
        },
        "cpu_seconds": time.process_time() - began[0],
        "seconds": time.perf_counter() - began[1],
        "environment": studies.environment(seed),
        "history": thinned(history),
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        studies.write_text(folder / "metrics.json", json.dumps(record, indent=1) + "\n")
        if history:
            studies.write_text(folder / "loss.svg", loss_curve(record["history"]))
        studies.write_text(folder / "README.md", card(loaded, record))
        # Last: a folder that was killed before it holds no encoder, and the same command goes on with it.
        autoencoder.save_pretrained(folder)
        # Only now is nothing lost with it.
        shutil.rmtree(checkpoint, ignore_errors=True)
    if as_json:
        print_json({"folder": str(folder), **record})
        return
    rows = [(name.replace("_", " "), f"{value:.4f}") for name, value in measured.items()]
    print_table(f"Quality on {apart:,} held-out architectures", ("measure", "value"), rows, right="value")
    console().print(f"Encoder: {folder}/", highlight=False, soft_wrap=True)


def _proxies(names: str | None, recipe: Recipe) -> list[str]:
    """The names of `--proxies`."""
    from graphnas.proxies import PROXIES

    found = [] if names is None else [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in found if name not in PROXIES]
    if unknown or (names is not None and not found):
        raise typer.BadParameter(f"--proxies: expected names out of {', '.join(PROXIES)}, but got {names!r}")
    if found and not recipe.auxiliary:
        raise typer.BadParameter("--proxies: this model predicts no statistics from its latent")
    return found


def _autoencoder(
    space: Space, model: Model | None, start: str | None, latent_dim: int | None, seed: int
) -> CellAutoencoder:
    """The autoencoder to fit: a new one, or one whose training goes on."""
    from graphnas.encoders import CellAutoencoder

    if start is None:
        kind = (model or Model.graph).value
        try:
            return CellAutoencoder.for_space(space, kind=kind, latent_dim=latent_dim, seed=seed)
        except ValueError as error:
            raise typer.BadParameter(f"--model {kind}: {error}") from None
    found = CellAutoencoder.from_pretrained(encoder_folder(start), space=space)
    if model is not None and model.value != found.kind:
        raise typer.BadParameter(f"--model {model.value}: {start} is of the kind {found.kind}")
    if latent_dim is not None and latent_dim != found.cell_dim:
        raise typer.BadParameter(f"--latent-dim {latent_dim}: {start} has {found.cell_dim}")
    return found


def _warn_of_another_split(start: str, now: Training, *, listed: bool) -> None:
    """Say on standard error if the weights to start from may have been fitted to what is held out now."""
    before = record_of(encoder_folder(start))
    reasons = Training.read(before).differences(now, listed=listed) if before else ["it has no metrics.json"]
    if before.get("labels") is not None:
        reasons.append("it was fitted to all labelled architectures")
    if reasons:
        typer.echo(
            f"Warning: {start} may have been fitted to architectures that are held out now, whose measures would then "
            f"flatter it ({'; '.join(reasons)})",
            err=True,
        )


def _recipe(space: Space, kind: str, fine_tuned: bool, **given: Any) -> Recipe:
    """The recipe of a kind of model, with what the user replaces."""
    from graphnas.encoders.objective import SVGE, SVGE_FINE_TUNING, Recipe

    recipe = Recipe.for_space(space) if kind != "svge" else SVGE_FINE_TUNING if fine_tuned else SVGE
    return dataclasses.replace(recipe, **{name: value for name, value in given.items() if value is not None})


def _labelled(
    path: str, given: dict[str, tuple[Architecture, float]], split: TrainingSplit, space: Space, *, only: bool
) -> tuple[TrainingSplit, NDArray[np.float64], dict[str, Any]]:
    """The split with all labelled architectures in its training set, their labels, and what to record of them.

    With `only`, no others stay in the training set.
    """
    import numpy as np

    from graphnas.cli.labels import with_labels

    labelled = with_labels(split, given, space)
    left = labelled.split.held_out.n // len(space.cell_names)
    if left < _FEWEST_HELD_OUT:
        raise BadData(
            f"{path}: expected at least {_FEWEST_HELD_OUT} architectures to stay held out, but all others than {left} "
            "have labels"
        )
    about = {"file": path, "known": labelled.known, "added": labelled.added, "only": only}
    split, values = labelled.split, labelled.values
    if only:
        rows = np.flatnonzero(~np.isnan(values))
        split, values = dataclasses.replace(split, train=space.take(split.train, rows)), values[rows]
    return split, values, about


@contextlib.contextmanager
def _processes(device: str) -> Iterator[tuple[str, int, int]]:
    """Join the other processes of a torchrun, if there is one; yields device, rank and number of processes."""
    from torch import cuda, distributed

    if not distributed.is_torchelastic_launched():
        yield device, 0, 1
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        cuda.set_device(device)
    distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield device, distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()


@contextlib.contextmanager
def _tensorboard(folder: Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """What writes the figures of a row as scalars."""
    measured = ("reconstruction", "active_units")
    check_board()
    with contextlib.ExitStack() as stack:
        writer: Any = None

        def write(row: Mapping[str, float]) -> None:
            nonlocal writer
            step = int(row["step"])
            if writer is None:
                # What a run that was killed wrote beyond its checkpoint is written once more.
                writer = stack.enter_context(open_board(folder, step=step))
            for name, value in row.items():
                if name not in ("step", "steps"):
                    writer.add_scalar(f"{'held_out' if name in measured else 'train'}/{name}", value, step)

        yield write
