"""`graphnas data`: which tables and images are known and found."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import typer

from graphnas.cli.console import Failed, JsonOption, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="List and verify data: benchmark tables and images.")

_TABLE = "nasbench101.npz"
_KNOWN = {
    "digits": ("images", "scikit-learn's handwritten digits, 1,797 of 8 x 8 pixels, built in"),
    _TABLE: ("table", "NAS-Bench-101, 423,624 cells (Ying et al. 2019, arXiv 1902.09635)"),
}


@app.command("list", epilog="Example: GRAPHNAS_DATA=~/data graphnas data list")
def list_data(as_json: JsonOption = False) -> None:
    """List known data and where it is; GRAPHNAS_DATA names the folder of tables."""
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
    """Check the data that is found: whole files, all rows, every cell once."""
    records = [_verified(name) for name in _KNOWN]
    if as_json:
        print_json(records)
    else:
        rows = [(one["name"], one["state"], one["detail"]) for one in records]
        print_table("", ("name", "", "detail"), rows)
    bad = [one for one in records if one["state"] == "damaged"]
    if bad:
        raise Failed(f"{bad[0]['path']}: {bad[0]['detail']}")


def _record(name: str) -> dict[str, Any]:
    from graphnas.evaluate.table import data_folder

    kind, title = _KNOWN[name]
    path = None if name == "digits" else data_folder() / name
    return {
        "name": name,
        "kind": kind,
        "title": title,
        "found": path is None or path.is_file(),
        "path": None if path is None else str(path),
    }


def _verified(name: str) -> dict[str, Any]:
    record = _record(name)
    if not record["found"]:
        return {**record, "state": "missing", "detail": f"{record['path']} is not there"}
    try:
        detail = _check_digits() if record["path"] is None else _check_table(Path(record["path"]))
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        return {**record, "state": "damaged", "detail": str(error)}
    return {**record, "state": "whole", "detail": detail}


def _check_digits() -> str:
    from graphnas.tasks import load_task

    task = load_task("digits")
    sizes = [len(split.labels) for split in (task.train, task.validation, task.test)]
    return f"{sum(sizes):,} images: {sizes[0]:,} train, {sizes[1]} validation, {sizes[2]} test"


def _check_table(path: Path) -> str:
    import numpy as np

    from graphnas.evaluate import NASBench101Table

    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise ValueError(f"the part {broken} does not match its checksum")
    table = NASBench101Table(path)
    hashes = np.ascontiguousarray(table.column("hash")).view("V16").ravel()
    distinct = np.unique(hashes).size
    if len(table) != 423_624 or distinct != len(table):
        raise ValueError(f"expected 423,624 different cells, but got {len(table):,} rows with {distinct:,}")
    return f"{len(table):,} cells, {len(table.columns)} columns"
