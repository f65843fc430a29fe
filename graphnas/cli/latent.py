"""`graphnas embed` and `graphnas decode`: between architectures and latent points, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    Device,
    DeviceOption,
    EncoderOption,
    JsonOption,
    SeedOption,
    choose_device,
    print_json,
    set_threads,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORMATS = (".csv", ".parquet", ".npz")


def embed(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of architectures: JSON, genotypes, strings, GraphML.")
    ],
    encoder: EncoderOption,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv, .parquet or .npz.")] = Path("latents.csv"),
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Write the latent points of architectures, one row each.

    Columns are z0, z1, ... (the latent mean), the architecture's hash and its JSON; .npz also has the log-variance.

    [bold]Examples[/bold]

      graphnas embed cells.json --encoder nasbench101 --out latents.parquet

      graphnas embed genotypes.txt --encoder darts --out latents.csv
    """
    _check_format(out)
    set_threads(1)
    from graphnas.cli.architectures import read_architectures
    from graphnas.encoders import CellAutoencoder

    model = CellAutoencoder.from_pretrained(encoder, device=choose_device(device))
    architectures = [one for file in files for one in read_architectures(file, model.space)]
    mu, logvar = (part.double().cpu().numpy() for part in model.encode(architectures))
    texts = [architecture.to_json() for architecture in architectures]
    _write(out, mu, logvar, model.space.hashes(architectures), texts)
    if as_json:
        print_json({"file": str(out), "rows": len(texts), "dimensions": int(mu.shape[1])})
    else:
        typer.echo(f"{len(texts)} latent points of {mu.shape[1]} dimensions written to {out}")


def decode(
    file: Annotated[Path, typer.Argument(help="File of latent points: .csv, .parquet or .npz, as embed writes.")],
    encoder: EncoderOption,
    out: Annotated[Path | None, typer.Option("--out", help="File to write, one architecture a line.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw each decision instead of the likeliest.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Turn latent points into architectures, all of them legal, one JSON value a line.

    [bold]Example[/bold]

      graphnas decode latents.csv --encoder nasbench101 --out cells.json
    """
    _check_format(file)
    set_threads(1)
    import torch

    from graphnas.encoders import CellAutoencoder

    place = choose_device(device)
    model = CellAutoencoder.from_pretrained(encoder, device=place)
    z = _read(file)
    if z.shape[1] != model.latent_dim:
        raise BadData(f"{file}: expected {model.latent_dim} latent dimensions, but got {z.shape[1]}")
    generator = torch.Generator(device=place).manual_seed(seed)
    decoded = model.decode(torch.from_numpy(z).to(place), sample=sample, generator=generator)
    if out is not None:
        out.write_text("".join(f"{architecture.to_json()}\n" for architecture in decoded), encoding="utf-8")
    if as_json:
        print_json([json.loads(architecture.to_json()) for architecture in decoded])
    elif out is None:
        for architecture in decoded:
            typer.echo(architecture.to_json())
    else:
        typer.echo(f"{len(decoded)} architectures written to {out}")


def _check_format(path: Path) -> None:
    if path.suffix not in _FORMATS:
        raise typer.BadParameter(f"{path} ends in none of {', '.join(_FORMATS)}")


def _write(
    path: Path, mu: NDArray[np.float64], logvar: NDArray[np.float64], hashes: list[str], texts: list[str]
) -> None:
    import numpy as np

    if path.suffix == ".npz":
        np.savez_compressed(path, mu=mu, logvar=logvar, hash=np.array(hashes), architecture=np.array(texts))
        return
    columns: dict[str, Any] = {f"z{dimension}": mu[:, dimension] for dimension in range(mu.shape[1])}
    columns |= {"hash": hashes, "architecture": texts}
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path)
        return
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _read(path: Path) -> NDArray[np.float64]:
    """`n x d` latent points: the columns z0, z1, ..., or the array `mu`."""
    import numpy as np

    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as file:
                if "mu" not in file.files:
                    raise BadData(f"{path}: expected an array 'mu', but got {', '.join(file.files)}")
                z = file["mu"]
        except (ValueError, EOFError) as error:
            raise BadData(f"{path}: {error}") from None
    else:
        columns = _columns(path)
        names = sorted((name for name in columns if name[:1] == "z" and name[1:].isdigit()), key=lambda n: int(n[1:]))
        if names != [f"z{dimension}" for dimension in range(len(names))] or not names:
            raise BadData(f"{path}: expected columns z0, z1, ..., but got {', '.join(columns)}")
        try:
            z = np.array([columns[name] for name in names], dtype=np.float64).T
        except (TypeError, ValueError) as error:
            raise BadData(f"{path}: {error}") from None
    if z.ndim != 2 or not z.shape[0] or not np.isfinite(z).all():
        raise BadData(f"{path}: expected finite latent points n x d, but got shape {z.shape}")
    points: NDArray[np.float64] = z.astype(np.float64)
    return points


def _columns(path: Path) -> dict[str, Any]:
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except pa.ArrowInvalid as error:
            raise BadData(f"{path}: {error}") from None
        return {name: table[name].to_numpy() for name in table.column_names if name.startswith("z")}
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise BadData(f"{path}: expected at least one row, but it holds none")
    return {name: [row[name] for row in rows] for name in rows[0]}
