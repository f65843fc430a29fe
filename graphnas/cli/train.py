"""`graphnas train`: fit an encoder and a decoder to a space."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    Device,
    DeviceOption,
    JsonOption,
    LimitOption,
    SeedOption,
    SpaceArgument,
    choose_device,
    console,
    open_space,
    print_json,
    print_table,
    set_threads,
    writing,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from graphnas.cell import CellArrays
    from graphnas.spaces import Space

_FEWEST = 50  # architectures; a tenth of them is held out


def train(
    space: SpaceArgument,
    limit: LimitOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the encoder; encoders/NAME here if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an encoder that the folder holds.")] = False,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.01, help="Minutes of training; of CPU time where it runs on the CPU.")
    ] = 8.0,
    cells: Annotated[
        int, typer.Option("--cells", min=100, help="Architectures to draw where the space is too large to list.")
    ] = 200_000,
    held_out: Annotated[
        int, typer.Option("--held-out", min=10, help="Architectures kept for measuring quality.")
    ] = 5_000,
    latent_dim: Annotated[int, typer.Option("--latent-dim", min=2, help="Latent dimensions of one cell.")] = 32,
    seed: SeedOption = 0,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Threads; more than one is slower on a machine that is busy.")
    ] = 1,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Fit an encoder and a decoder of cells to a space, measure them, and write them to a folder.

    No accuracy takes part. A run that was killed goes on when the same command is typed again.

    [bold]Example[/bold]

      graphnas train nasbench101 --minutes 8 --out encoders/mine
    """
    set_threads(threads)
    import numpy as np

    from graphnas import studies
    from graphnas.encoders import CellAutoencoder, fit, quality

    loaded = open_space(space, limit)
    place = choose_device(device)
    folder = out or Path("encoders") / loaded.name
    if (folder / "config.toml").exists() and not overwrite:
        raise typer.BadParameter(f"{folder} holds an encoder already; choose another --out, or give --overwrite")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time(), time.perf_counter()
    arrays = _cells(loaded, cells, seed)
    number = arrays.n // len(loaded.cell_names)
    if number < _FEWEST:
        raise BadData(f"{space}: expected at least {_FEWEST} architectures to fit an encoder to, but got {number}")
    held_out = min(held_out, number // 10)
    order = np.random.default_rng(seed).permutation(number)
    apart, rest = loaded.take(arrays, order[:held_out]), loaded.take(arrays, order[held_out:])
    model = CellAutoencoder.for_space(loaded, latent_dim=latent_dim, seed=seed)
    screen = console()

    def progress(row: Mapping[str, float]) -> None:
        if as_json or int(row["step"]) % 200:
            return
        kept = f"  reconstruction {row['reconstruction']:.4f}" if "reconstruction" in row else ""
        screen.print(
            f"step {int(row['step']):>6}  {row['done']:>4.0%}  loss {row['loss']:.3f}  reconstruction "
            f"{row['reconstruction_nats']:.3f} nats  KL {row['kl_nats']:.2f} nats{kept}",
            highlight=False,
        )

    fit(
        model,
        rest,
        validation=loaded.take(apart, np.arange(min(held_out, 1000))),
        targets=_targets(loaded, rest),
        seed=seed,
        device=place,
        minutes=minutes,
        steps=10**6,
        checkpoint=folder / "checkpoint",
        progress=progress,
    )
    measured = quality(model, apart, train=rest, seed=seed)
    model.save_pretrained(folder)
    record: dict[str, Any] = {
        "space": loaded.name,
        "quality": measured,
        "cells": int(rest.n),
        "held_out": held_out,
        "seed": seed,
        "device": place,
        "cpu_seconds": time.process_time() - began[0],
        "seconds": time.perf_counter() - began[1],
        "environment": studies.environment(seed),
    }
    studies.write_text(folder / "metrics.json", json.dumps(record, indent=2) + "\n")
    studies.write_text(folder / "README.md", _card(loaded, record, latent_dim, minutes))
    if as_json:
        print_json({"folder": str(folder), **record})
        return
    rows = [(name.replace("_", " "), f"{value:.4f}") for name, value in measured.items()]
    print_table(f"Quality on {held_out:,} held-out architectures", ("measure", "value"), rows, right="value")
    screen.print(f"Encoder: {folder}/", highlight=False, soft_wrap=True)


def _cells(space: Space, number: int, seed: int) -> CellArrays:
    """The cells of all architectures of a small space, or of so many different random ones."""
    import numpy as np

    if space.size is not None and space.size <= 1_000_000 and len(space.cell_names) == 1:
        return space.enumerate_arrays(raw=True)
    arrays = space.sample_arrays(number, np.random.default_rng((seed, 1)))
    _, first = np.unique(np.array(space.hashes(arrays)), return_index=True)
    return space.take(arrays, np.sort(first))


def _targets(space: Space, arrays: CellArrays) -> NDArray[np.float64] | None:
    """`n x 2` logarithms of parameters and multiply-adds, where they are more than sums over operations."""
    import numpy as np

    from graphnas.networks import count_costs

    if space.network.get("skeleton") != "stacked":
        return None
    parameters, macs = count_costs(arrays, space.operations, space.network)
    return np.log(np.column_stack([parameters, macs]).astype(np.float64))


def _card(space: Space, record: Mapping[str, Any], latent_dim: int, minutes: float) -> str:
    measures = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in record["quality"].items())
    return (
        f"# Encoder of {space.title}\n\n"
        f"A variational graph autoencoder between cells of `{space.name}` ({space.paper}) and a latent space of "
        f"{latent_dim} dimensions a cell, fitted by `graphnas train` to {record['cells']:,} cells without any "
        f"accuracy, in {minutes:g} minutes on {record['device']} with seed {record['seed']}.\n\n"
        f"Measured on {record['held_out']:,} architectures it was not fitted to, up to what the space counts as the "
        f"same:\n\n"
        f"| measure | value |\n| --- | --- |\n{measures}\n\n"
        "```python\nfrom graphnas.encoders import CellAutoencoder\n\n"
        'model = CellAutoencoder.from_pretrained("path/of/this/folder")\n```\n\n'
        "MIT licence, as the library. `metrics.json` has versions, times and the command.\n"
    )
