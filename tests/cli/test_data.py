import json
from pathlib import Path

import official_files
import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app
from graphnas.evaluate import TABLES, data_folder
from graphnas.formats.enas import from_lists
from graphnas.formats.nasbench201 import from_index

EMPTY = "043721b9c7fe8c5fad811d47d83132ec"
DATA = data_folder()
SHIPPED = {table.file for table in TABLES.values() if table.shipped}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / name).is_file(), reason=f"{name} is missing in GRAPHNAS_DATA")


@pytest.fixture
def tfrecord(tmp_path: Path) -> Path:
    path = tmp_path / "nasbench_only108.tfrecord"
    record = official_files.record(
        EMPTY, 108, ("01", "00"), "io", parameters=882_570, validation=0.75, test=0.625, seconds=284.0
    )
    path.write_bytes(official_files.framed(record))
    return path


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("graphnas.tasks.fashion_mnist._INSTALLED", tmp_path / "installed")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_the_data_of_all_spaces_is_listed(data: Path) -> None:
    (data / "nasbench201.parquet").touch()
    listed = {one["name"]: one for one in json.loads(run("data", "list", "--json").stdout)}
    assert set(listed) == {"digits", "fashion-mnist", "cifar10", *(table.file for table in TABLES.values())}
    assert {name for name, one in listed.items() if one["found"]} - SHIPPED == {"digits", "nasbench201.parquet"}
    assert listed["darts_bench545.parquet"]["path"] == str(data / "darts_bench545.parquet")
    assert listed["digits"]["kind"] == "images"
    text = run("data", "list").stdout
    assert "missing" in text
    assert "ENAS" in text


def test_missing_and_damaged_tables_are_told_apart(data: Path) -> None:
    result = run("data", "verify", "--json")
    assert result.exit_code == 0
    states = {one["name"]: one["state"] for one in json.loads(result.stdout)}
    external = [table for table in TABLES.values() if not table.shipped]
    assert {name: state for name, state in states.items() if name not in SHIPPED} == {
        "digits": "whole",
        "fashion-mnist": "missing",
        "cifar10": "missing",
        **{table.file: "missing" for table in external},
    }
    for table in external:
        (data / table.file).write_text("nothing")
        result = run("data", "verify")
        assert result.exit_code == 3
        assert str(data / table.file) in result.stderr
        (data / table.file).unlink()


@pytest.mark.parametrize("name", [table.file for table in TABLES.values() if not table.shipped])
def test_whole_tables_are_verified(name: str, data: Path) -> None:
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is missing in GRAPHNAS_DATA")
    (data / name).symlink_to(DATA / name)
    result = run("data", "verify", "--json")
    assert result.exit_code == 0, result.stderr
    assert {one["name"]: one["state"] for one in json.loads(result.stdout)}[name] == "whole"


def test_an_official_file_is_imported_and_searched(data: Path, tfrecord: Path, tmp_path: Path) -> None:
    result = run("data", "import", tfrecord, "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record == {"file": str(data / "nasbench101.npz"), "rows": 1, "detail": "1 of 423,624 cells converted"}
    cells = tmp_path / "cells.json"
    cells.write_text('{"space": "nasbench101", "cells": [{"ops": ["input", "output"], "edges": [[0, 1]]}]}')
    (found,) = json.loads(run("evaluate", cells, "--objective", "table", "--json").stdout)
    assert (found["value"], found["cost"], found["evaluator"]) == (0.75, 284.0, "table:nasbench101:val_acc_mean")
    (found,) = json.loads(run("evaluate", cells, "--objective", "table", "--metric", "params", "--json").stdout)
    assert (found["value"], found["metrics"]["params"]) == (-882_570, 882_570)
    assert "negated params" in run("evaluate", cells, "--objective", "table", "--metric", "params").stdout


def test_import_explains_itself_with_an_example() -> None:
    result = run("data", "import", "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "--json" in result.stdout


def test_import_says_where_and_how_much(tfrecord: Path, tmp_path: Path) -> None:
    result = run("data", "import", tfrecord, "--out", tmp_path / "other")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'other' / 'nasbench101.npz'}: 1 of 423,624 cells converted\n"


def test_bad_files_are_exit_code_3_in_one_line(data: Path, tfrecord: Path, tmp_path: Path) -> None:
    content = tfrecord.read_bytes()
    (tmp_path / "cut.tfrecord").write_bytes(content[:-3])
    (tmp_path / "wrong.tfrecord").write_bytes(content[:40] + b"?" + content[41:])
    (tmp_path / "api.pth").write_bytes(b"\x80\x02")
    for name, reason in (
        ("cut.tfrecord", f"record 1 at byte 0: the file ends {len(content) - 3} bytes into it"),
        ("wrong.tfrecord", "record 1 at byte 0: its data do not match their checksum"),
        ("api.pth", "holds pickles"),
        ("none.tfrecord", "is missing"),
    ):
        result = run("data", "import", tmp_path / name)
        assert result.exit_code == 3, name
        assert result.stderr.count("\n") == 1
        assert f"{tmp_path / name}" in result.stderr
        assert reason in result.stderr
    assert not list(data.iterdir())
    assert run("data", "import", tfrecord).exit_code == 0
    again = run("data", "import", tfrecord)
    assert again.exit_code == 3
    assert "is there already" in again.stderr


@needs("nasbench201.parquet")
def test_the_metric_of_a_search_is_chosen_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "found"
    settings = ("--objective", "table", "--sampler", "random", "--workers", 0, "--trials", 3, "--out", out)
    result = run("search", "nasbench201", *settings, "--metric", "lat_ms_fpga", "--json")
    assert result.exit_code == 0, result.stderr
    values = [one["value"] for one in json.loads(result.stdout)["best"]]
    assert all(value < 0 for value in values)
    assert values == sorted(values, reverse=True)
    assert 'metric = "lat_ms_fpga"' in (out / "config.toml").read_text()
    again = run("search", "--resume", out, "--trials", 4)
    assert again.exit_code == 0, again.stderr
    assert "negated lat_ms_fpga" in again.stdout
    assert "negated lat_ms_fpga" in (out / "report.html").read_text()
    changed = run("search", "--resume", out, "--metric", "c10_val_200")
    assert changed.exit_code == 2
    assert "--metric" in changed.stderr


@needs("nasbench201.parquet")
def test_unknown_metrics_are_refused_with_the_columns(tmp_path: Path) -> None:
    cells = tmp_path / "cells.json"
    cells.write_text(json.dumps({"space": "nasbench201", "cells": [from_index(6111).to_dict()]}))
    result = run("evaluate", cells, "--objective", "table", "--metric", "accuracy")
    assert result.exit_code == 2
    assert "c10_val_200" in result.stderr
    assert "lat_ms_fpga" in result.stderr
    (found,) = json.loads(run("evaluate", cells, "--objective", "table", "--metric", "c10_test_200", "--json").stdout)
    assert found["value"] == pytest.approx(0.94373, abs=1e-5)
    assert run("evaluate", cells, "--task", "digits", "--metric", "c10_val_200").exit_code == 2
    wrong = run("evaluate", cells, "--objective", f"table:{DATA / 'nasbench101.npz'}")
    assert wrong.exit_code == 3
    assert wrong.stderr.count("\n") == 1


@needs("enas6_weightsharing.parquet")
def test_what_no_row_holds_fails_with_the_reason(tmp_path: Path) -> None:
    cells = tmp_path / "cells.json"
    known = [[1], [4, 0], [5, 0, 0], [0, 1, 1, 1], [2, 1, 1, 1, 1], [3, 0, 0, 0, 0, 1]]
    other = [[0], [0, 0], [0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
    records = [{"space": "enas", "cells": [from_lists(lists).to_dict()]} for lists in (known, other)]
    cells.write_text(json.dumps(records))
    result = run("evaluate", cells, "--objective", "table", "--json")
    assert result.exit_code == 0, result.stderr
    first, second = json.loads(result.stdout)
    assert first["value"] == pytest.approx(0.7302)
    assert second["reason"] == "enas6_weightsharing.parquet does not hold this architecture"
