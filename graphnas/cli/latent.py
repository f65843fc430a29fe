"""`graphnas embed` and `graphnas decode`: between architectures and latent points, as files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    Device,
    DeviceOption,
    EncoderOption,
    JsonOption,
    LimitOption,
    SeedOption,
    choose_device,
    print_json,
    read_limits,
    set_threads,
    writing,
)
from graphnas.cli.encoder_folder import encoder_and_space
from graphnas.cli.tabular import read_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from graphnas.encoders import CellAutoencoder

_FORMATS = (".csv", ".parquet", ".npz")


def embed(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files of architectures: JSON, genotypes, strings, GraphML; with a universal encoder those of any "
            "space, and networks, FILE.onnx or FILE.py:NAME.",
        ),
    ],
    encoder: EncoderOption,
    limit: LimitOption = None,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv, .parquet or .npz.")] = Path("latents.csv"),
    image: Annotated[
        list[str] | None, typer.Option("--input", help="Shape of an input of networks in PyTorch, without the batch.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=0, help="With a universal encoder: known architectures that are near.")
    ] = 3,
    predict: Annotated[
        str | None,
        typer.Option(
            "--predict",
            metavar="SPACE[:COLUMN]",
            help="With a universal encoder: learn the values of a space's table, and predict those of the sources; "
            "digits101, whose table comes along, if not given, and nothing by none.",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="With a universal encoder: HTML file of a map; named as --out if not given, and none by none.",
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Write the latent points of architectures, one row each.

    Columns are z0, z1, ... (the latent mean), the architecture's hash and its JSON; .npz also has the log-variance.

    A universal encoder takes architectures of any space, and networks. It tells what they are like: the nearest
    architectures known, a predicted accuracy and how sure it is, and a map.

    [bold]Examples[/bold]

      graphnas embed cells.json --encoder nasbench101 --out latents.parquet

      graphnas embed genotypes.txt --encoder darts --limit 'exclude=[]' --out latents.csv

      graphnas embed resnet.py:resnet18 model.onnx cells.json --encoder universal
    """
    _check_format(out)
    set_threads(1)
    from graphnas.cli.architectures import read_architectures
    from graphnas.cli.importing import is_network
    from graphnas.spaces.universal import ANY

    model = open_encoder(encoder, limit, choose_device(device))
    if model.space.name == ANY:
        from graphnas.cli.any_origin import embed_any
        from graphnas.cli.importing import USUAL, input_of, keep_sources

        shapes = [input_of(text) for text in image or [USUAL]]
        predict = "digits101" if predict is None else None if predict == "none" else predict
        page = None if page == Path("none") else page or out.with_suffix(".html")
        if page is not None and page.resolve() == out.resolve():
            raise typer.BadParameter(f"--map {page}: expected another file than --out")
        for option, path in [("--out", out)] if page is None else [("--out", out), ("--map", page)]:
            keep_sources(path, files, option)
            if not path.parent.is_dir():
                raise BadData(f"{path} cannot be written: there is no folder {path.parent}")
        embed_any(model, files, shapes, out, neighbours=neighbours, predict=predict, page=page, as_json=as_json)
        return
    if image or predict or page:
        raise typer.BadParameter(
            f"--input, --predict and --map go with a universal encoder; {encoder} is of {model.space.name}"
        )
    # A file of GraphML may be a cell of the space.
    networks = [file for file in files if is_network(file) and not file.lower().endswith(".graphml")]
    if networks:
        raise typer.BadParameter(f"{networks[0]} is a network; networks go with --encoder universal")
    architectures = [one for file in files for one in read_architectures(Path(file), model.space)]
    mu, logvar = (part.double().cpu().numpy() for part in model.encode(architectures))
    texts = [architecture.to_json() for architecture in architectures]
    with writing(out), out.open("wb") as stream:
        _write(stream, out.suffix, mu, logvar, model.space.hashes(architectures), texts)
    if as_json:
        print_json({"file": str(out), "rows": len(texts), "dimensions": int(mu.shape[1])})
    else:
        typer.echo(f"{len(texts)} latent points of {mu.shape[1]} dimensions written to {out}")


def decode(
    file: Annotated[Path, typer.Argument(help="File of latent points: .csv, .parquet or .npz, as embed writes.")],
    encoder: EncoderOption,
    limit: LimitOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write, one architecture a line.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw each decision instead of the likeliest.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Turn latent points into architectures, one JSON value a line.

    All are legal; only an encoder of the model svge, which knows no masks, may give what is not: null stands for it.

    [bold]Example[/bold]

      graphnas decode latents.csv --encoder nasbench101 --out cells.json
    """
    _check_format(file)
    set_threads(1)
    import numpy as np
    import torch

    from graphnas.encoders.legality import legal_cells

    place = choose_device(device)
    model = open_encoder(encoder, limit, place)
    z = _read(file)
    if z.shape[1] != model.latent_dim:
        raise BadData(f"{file}: expected {model.latent_dim} latent dimensions, but got {z.shape[1]}")
    generator = torch.Generator(device=place).manual_seed(seed)
    drawn = model.decode_arrays(torch.from_numpy(z).to(place), sample=sample, generator=generator)
    cells, legal = legal_cells(model.space, drawn)
    found = iter(model.space.from_arrays(model.space.take(cells, np.flatnonzero(legal))))
    lines = [next(found).to_json() if right else "null" for right in legal.tolist()]
    if out is not None:
        with writing(out):
            out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if as_json:
        print_json([json.loads(line) for line in lines])
    elif out is None:
        for line in lines:
            typer.echo(line)
    else:
        nothing = f"; {(~legal).sum():,} points decode to nothing legal" if not legal.all() else ""
        typer.echo(f"{legal.sum():,} architectures written to {out}{nothing}")


def open_encoder(encoder: str, limit: Sequence[str] | None, device: str) -> CellAutoencoder:
    """A trained encoder; with `--limit`, for architectures of other limits than it was trained on.

    Behind the name of a universal encoder, `:SPACE` says for whose architectures it is.
    """
    from graphnas.encoders import CellAutoencoder
    from graphnas.spaces import Space

    name, of = encoder_and_space(encoder)
    if of is not None:
        model = CellAutoencoder.from_pretrained(name, device=device)
        if model.kind != "universal":
            raise typer.BadParameter(f"--encoder {encoder}: {name} is of {model.space.name} alone")
        return CellAutoencoder.from_pretrained(name, device=device, space=Space.load(of, **read_limits(limit)))
    model = CellAutoencoder.from_pretrained(encoder, device=device)
    if not limit:
        return model
    if model.kind == "universal":
        raise typer.BadParameter(f"--limit is of one space, but {encoder} serves all")
    own = model.space
    space = Space.load(own.path, **{**own.topology.settings, **read_limits(limit)})
    return CellAutoencoder.from_pretrained(encoder, device=device, space=space)


def open_encoder_of_one(encoder: str, limit: Sequence[str] | None) -> CellAutoencoder:
    """A trained encoder of the architectures of one space."""
    from graphnas.spaces.universal import ANY

    model = open_encoder(encoder, limit, "cpu")
    if model.space.name == ANY:
        raise typer.BadParameter(f"--encoder {encoder} serves all spaces; say which, as in {encoder}:nasbench101")
    return model


def _check_format(path: Path) -> None:
    if path.suffix not in _FORMATS:
        raise typer.BadParameter(f"{path} ends in none of {', '.join(_FORMATS)}")


def _write(
    stream: IO[bytes],
    suffix: str,
    mu: NDArray[np.float64],
    logvar: NDArray[np.float64],
    hashes: list[str],
    texts: list[str],
) -> None:
    import numpy as np

    if suffix == ".npz":
        np.savez_compressed(stream, mu=mu, logvar=logvar, hash=np.array(hashes), architecture=np.array(texts))
        return
    columns: dict[str, Any] = {f"z{dimension}": mu[:, dimension] for dimension in range(mu.shape[1])}
    write_columns(stream, suffix, {**columns, "hash": hashes, "architecture": texts})


def write_columns(stream: IO[bytes], suffix: str, columns: Mapping[str, Any]) -> None:
    """Write columns as `.parquet` or `.csv`."""
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(dict(columns)), stream)
        return
    import csv

    with io.TextIOWrapper(stream, encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _read(path: Path) -> NDArray[np.float64]:
    """`n x d` latent points: the columns z0, z1, ..., or the array `mu`; rows count from 0."""
    import numpy as np

    from graphnas.encoders.autoencoder import LARGEST_LATENT

    z = _array(path) if path.suffix == ".npz" else _columns(path)
    wrong = np.argwhere(~(np.abs(z) <= LARGEST_LATENT))
    if wrong.size:
        row, dimension = wrong[0].tolist()
        raise BadData(
            f"{path}: row {row}, column z{dimension}: expected a number that stays finite in float32, at most "
            f"{LARGEST_LATENT:g}, but got {z[row, dimension]}"
        )
    return z


def _array(path: Path) -> NDArray[np.float64]:
    import numpy as np

    from graphnas.evaluate.npz import read_npz

    z = read_npz(path, "mu")
    if z.dtype.kind not in "fiu" or z.ndim != 2 or not z.size:
        raise BadData(f"{path}: expected mu to be n x d numbers, but got {z.dtype} {z.shape}")
    return z.astype(np.float64)


def _columns(path: Path) -> NDArray[np.float64]:
    """The columns z0, z1, ... of a table, in this order."""
    import numpy as np

    names, rows = read_rows(path, lambda name: name.startswith("z"))
    known = [name for name in names if re.fullmatch(r"z(0|[1-9][0-9]{0,5})", name)]
    if not known or sorted(known) != sorted(f"z{dimension}" for dimension in range(len(known))):
        raise BadData(f"{path}: expected columns z0, z1, ..., but got {', '.join(names) or 'none':.200}")
    if not rows:
        raise BadData(f"{path}: expected at least one row, but it holds none")
    places = [names.index(f"z{dimension}") for dimension in range(len(known))]
    z = np.empty((len(rows), len(known)))
    for number, row in enumerate(rows):
        for dimension, place in enumerate(places):
            try:
                z[number, dimension] = float(row[place])
            except (TypeError, ValueError, OverflowError):
                raise BadData(
                    f"{path}: row {number}, column z{dimension}: expected a number, but got {row[place]!r:.100}"
                ) from None
    return z
