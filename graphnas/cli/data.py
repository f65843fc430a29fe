"""`graphnas data`: which tables and images are known and found, and the import of official files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import BadData, JsonOption, print_json, print_table, set_threads, writing
from graphnas.data_folder import data_folder

if TYPE_CHECKING:
    from graphnas.evaluate import Table

app = typer.Typer(
    no_args_is_help=True,
    help="List, verify and import data: benchmark tables and images.",
    epilog="Example: graphnas data verify",
)

_KNOWN = (
    "digits",
    "fashion-mnist",
    "cifar10",
    "nasbench101.npz",
    "nasbench201.parquet",
    "enas6_weightsharing.parquet",
    "darts_bench545.parquet",
    "digits101.npz",
)


@app.command("list", epilog="Example: GRAPHNAS_DATA=~/data graphnas data list")
def list_data(as_json: JsonOption = False) -> None:
    """List known data and where it is; GRAPHNAS_DATA names the folder of tables that do not come with graphnas."""
    records = [_record(name) for name in _KNOWN]
    if as_json:
        print_json(records)
        return
    rows = [
        (one["name"], one["kind"], "found" if one["found"] else "missing", one["path"] or "", one["title"])
        for one in records
    ]
    print_table("", ("name", "kind", "", "path", "what it is"), rows)


@app.command(epilog="Example: graphnas data verify")
def verify(as_json: JsonOption = False) -> None:
    """Check the data that is found: whole files, all rows, every architecture once, published optima and ranges."""
    records = [_verified(name) for name in _KNOWN]
    if as_json:
        print_json(records)
    else:
        rows = [(one["name"], one["state"], one["detail"]) for one in records]
        print_table("", ("name", "", "detail"), rows)
    bad = [one for one in records if one["state"] == "damaged"]
    if bad:
        raise BadData(f"{bad[0]['path']}: {bad[0]['detail']}")


@app.command("import", epilog="Example: graphnas data import nasbench_only108.tfrecord")
def import_data(
    file: Annotated[
        Path, typer.Argument(help="NAS-Bench-101's official tfrecord, or a table in a form that `data list` names.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write into; the one GRAPHNAS_DATA names if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an official benchmark file and bring it into the form that is read here; no TensorFlow is needed.

    NAS-Bench-101's tfrecord is converted. A table that has its form already is checked and copied. Official archives
    of NAS-Bench-201 and NATS-Bench are pickles, which could execute code when read, and are refused.
    """
    set_threads(1)
    from rich.console import Console
    from rich.progress import Progress

    from graphnas.evaluate import import_file

    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=as_json or not screen.is_terminal) as bar:
        total = file.stat().st_size if file.is_file() else None
        job = bar.add_task(f"reading {file.name}", total=total)
        with writing(data_folder() if out is None else out):
            found = import_file(file, out, progress=lambda count: bar.advance(job, count))
    if as_json:
        print_json({"file": str(found.path), "rows": found.rows, "detail": found.detail})
    else:
        typer.echo(f"{found.path}: {found.detail}")


_IMAGES = {
    "digits": "scikit-learn's handwritten digits, 1,797 of 8 x 8 pixels, built in",
    "fashion-mnist": "articles of clothing, 70,000 of 28 x 28 pixels, in fashion-mnist/ or from Debian's package",
    "cifar10": "photographs, 60,000 of 32 x 32 pixels, in cifar-10-batches-bin/ or an archive",
}


def _record(name: str) -> dict[str, Any]:
    if name in _IMAGES:
        from graphnas.tasks import cifar10_place, fashion_mnist_place

        path = {"digits": None, "fashion-mnist": fashion_mnist_place(), "cifar10": cifar10_place()}[name]
        found = path is not None or name == "digits"
        place = None if path is None else str(path)
        return {"name": name, "kind": "images", "title": _IMAGES[name], "found": found, "path": place}
    table = _table(name)
    path = table.folder() / name
    return {"name": name, "kind": "table", "title": table.title, "found": path.is_file(), "path": str(path)}


def _table(name: str) -> type[Table]:
    from graphnas.evaluate import TABLES

    (table,) = (one for one in TABLES.values() if one.file == name)
    return table


def _verified(name: str) -> dict[str, Any]:
    record = _record(name)
    if not record["found"] and record["kind"] == "images":
        return {**record, "state": "missing", "detail": f"not in {data_folder()}; --task {name}:PATH says where it is"}
    if not record["found"]:
        return {**record, "state": "missing", "detail": f"{record['path']} is not there; {_table(name).source}"}
    try:
        detail = _check_images(name) if record["kind"] == "images" else _table(name)(record["path"]).verify()
    except (ValueError, OSError) as error:
        return {**record, "state": "damaged", "detail": str(error)}
    return {**record, "state": "whole", "detail": detail}


def _check_images(name: str) -> str:
    from graphnas.tasks import load_task

    task = load_task(name)
    sizes = [len(split.labels) for split in (task.train, task.validation, task.test)]
    return f"{sum(sizes):,} images: {sizes[0]:,} train, {sizes[1]:,} validation, {sizes[2]:,} test"
