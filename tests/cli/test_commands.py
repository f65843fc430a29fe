import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from graphnas.cell import Architecture
from graphnas.cli.main import app
from graphnas.spaces import Space

COMMANDS = (
    *(["spaces", name] for name in ("list", "show", "check", "sample", "draw")),
    *([name] for name in ("train", "search", "embed", "decode", "evaluate", "export", "doctor")),
    *(["data", name] for name in ("list", "verify", "import")),
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "cells.json"
    assert run("spaces", "sample", "nasbench101", "-n", 3, "--seed", 1, "--out", path).exit_code == 0
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "--json" in result.stdout


def test_spaces_are_listed_and_shown_for_people_and_programs() -> None:
    assert "NAS-Bench-101" in run("spaces", "list").stdout
    assert "nasbench101" in [one["name"] for one in json.loads(run("spaces", "list", "--json").stdout)]
    shown = json.loads(run("spaces", "show", "nasbench101", "--json").stdout)
    assert shown["size"] == 423_624
    assert shown["topology"] == {"kind": "dag", "max_vertices": 7, "max_edges": 9, "prune": True}
    small = json.loads(run("spaces", "show", "darts", "--limit", "nodes=1", "--limit", "exclude=[]", "--json").stdout)
    assert small["size"] == 64**2


def test_samples_are_legal_and_depend_on_the_seed() -> None:
    first, again, other = (run("spaces", "sample", "nasbench101", "-n", 4, "--seed", seed).stdout for seed in (7, 7, 8))
    assert first == again != other
    for line in first.splitlines():
        Space.load("nasbench101").validate(Architecture.from_json(line))


def test_a_drawing_is_svg(tmp_path: Path, cells: Path) -> None:
    assert run("spaces", "draw", "nasbench101", cells, "--out", tmp_path / "cell.svg").exit_code == 0
    assert ET.fromstring((tmp_path / "cell.svg").read_text()).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_wrong_space_file_is_bad_data_and_named(small_space: Path, tmp_path: Path) -> None:
    assert run("spaces", "check", small_space).exit_code == 0
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(small_space.read_text().replace("max_vertices = 5", 'max_vertices = "five"'))
    result = run("spaces", "check", wrong)
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "wrong.toml: topology.max_vertices" in result.stderr
    assert run("spaces", "check", tmp_path / "missing.toml").exit_code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("search", "nosuchspace"),
        ("search", "nasbench101", "--task", "nosuchtask"),
        ("search", "nasbench101", "--task", "digits", "--objective", "table"),
        ("search", "nasbench101", "--objective", "chair"),
        ("search", "nasbench101", "--sampler", "nosuchsampler"),
        ("search", "nasbench101", "--trials", "0"),
        ("search", "nasbench101", "--resume", "somewhere"),
        ("embed", "cells.json", "--encoder", "nasbench101", "--out", "latents.xlsx"),
        ("nosuchcommand",),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ('{"space": "nasbench101"}', "the keys 'space' and 'cells'"),
        (
            '{"space": "nasbench101", "cells": [{"ops": ["input", "output"], "edges": [[1, 0]]}]}',
            "the value: cells[0]: Expected edges",
        ),
        (
            '[{"space": "nasbench101", "cells": [{"ops": ["input", "conv9x9", "output"], "edges": [[0, 1], [1, 2]]}]}]',
            "entry 0: cell: ",
        ),
    ],
)
def test_files_of_wrong_architectures_are_refused_with_the_place(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "cells.json"
    path.write_text(text)
    result = run("evaluate", path, "--task", "digits")
    assert result.exit_code == 3
    assert "cells.json: " in result.stderr
    assert reason in result.stderr


def test_missing_files_and_folders_are_bad_data(tmp_path: Path) -> None:
    for arguments in (
        ("evaluate", tmp_path / "none.json"),
        ("evaluate", tmp_path),
        ("search", "--resume", tmp_path),
        ("search", "nasbench101", "--objective", f"table:{tmp_path}/none.npz", "--sampler", "random"),
    ):
        result = run(*arguments)
        assert result.exit_code == 3, arguments
        assert result.stderr.count("\n") == 1
        assert str(tmp_path) in result.stderr


def test_search_leaves_a_folder_and_goes_on_in_it(small_space: Path, small_table: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--workers", 0, "--out", out)
    result = run("search", small_space, *settings, "--trials", 6, "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["trials"] == 6
    assert [one["rank"] for one in summary["best"]] == [1, 2, 3, 4, 5]
    values = [one["value"] for one in summary["best"]]
    assert values == sorted(values, reverse=True)
    for name in ("config.toml", "environment.json", "study.db", "best.json", "best.svg", "report.html", "space.toml"):
        assert (out / name).stat().st_size > 0
    assert run("search", small_space, *settings).exit_code == 3
    again = run("search", "--resume", out, "--trials", 8)
    assert again.exit_code == 0, again.stderr
    assert "Best 5 of 8 trials" in again.stdout
    assert str(out) in again.stdout


@pytest.mark.parametrize("space", Space.names())
def test_every_space_is_searched_with_its_encoder_on_real_images(space: str, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    arguments = ("search", space, "--task", "digits", "--trials", 12, "--epochs", 1, "--workers", 0, "--out", folder)
    record = json.loads(run(*arguments, "--json").stdout)
    assert record["trials"] == 12
    assert record["sources"]["random"] == 10
    assert record["sources"]["acquisition"] >= 1
    assert 0 <= record["test"]["test_accuracy"] <= 1
    for name in ("best.json", "best.svg", "best_network.py", "best_network.safetensors", "report.html"):
        assert (folder / name).is_file()
    again = run("embed", folder / "best.json", "--encoder", space, "--out", tmp_path / "z.csv")
    assert again.exit_code == 0


def test_search_evaluates_given_architectures_first(small_space: Path, small_table: Path, tmp_path: Path) -> None:
    (wanted,) = Space.load(small_space).sample(1, np.random.default_rng(5))
    (tmp_path / "first.json").write_text(wanted.to_json())
    out = tmp_path / "found"
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--workers", 0, "--trials", 1)
    result = run("search", small_space, *settings, "--out", out, "--init", tmp_path / "first.json", "--json")
    assert result.exit_code == 0, result.stderr
    (best,) = json.loads(result.stdout)["best"]
    assert best["source"] == "enqueued"
    assert Space.load(small_space).hash(Architecture.from_dict(best["architecture"])) == Space.load(small_space).hash(
        wanted
    )


def test_evaluating_and_exporting_a_trained_cell(cells: Path, tmp_path: Path) -> None:
    result = run("evaluate", cells, "--task", "digits", "--epochs", 1, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    records = json.loads(result.stdout)
    assert len(records) == 3
    assert all(0 <= record["value"] <= 1 and record["budget"] == 1 for record in records)
    result = run("export", cells, "--epochs", 1, "--out", tmp_path, "--name", "mine", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    script = "import sys, torch, mine; print(mine.load()(torch.zeros(2, 1, 8, 8)).shape, 'graphnas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "torch.Size([2, 10]) False\n"


def test_embedding_and_decoding_return_the_cells(cells: Path, small_space: Path, tmp_path: Path) -> None:
    from graphnas.encoders import CellAutoencoder

    space = Space.load("nasbench101")
    CellAutoencoder.for_space(space, latent_dim=8).save_pretrained(tmp_path / "encoder")
    decoded = []
    for suffix in (".csv", ".parquet", ".npz"):
        latents = tmp_path / f"latents{suffix}"
        result = run("embed", cells, "--encoder", tmp_path / "encoder", "--out", latents, "--device", "cpu", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["dimensions"] == 8
        result = run("decode", latents, "--encoder", tmp_path / "encoder", "--device", "cpu")
        assert result.exit_code == 0, result.stderr
        decoded.append(result.stdout)
        for line in result.stdout.splitlines():
            space.validate(Architecture.from_json(line))
    assert decoded[0] == decoded[1] == decoded[2]
    for name, content in (("no.csv", "a,b\n1,2\n"), ("no.npz", "nothing"), ("no.parquet", "nothing")):
        (tmp_path / name).write_text(content)
        result = run("decode", tmp_path / name, "--encoder", tmp_path / "encoder", "--device", "cpu")
        assert result.exit_code == 3
        assert name in result.stderr


def test_training_an_encoder_of_a_small_space(small_space: Path, tmp_path: Path) -> None:
    out = tmp_path / "encoder"
    result = run("train", small_space, "--minutes", 0.05, "--out", out, "--latent-dim", 8, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["quality"]["validity"] == 1.0
    assert json.loads((out / "metrics.json").read_text())["cells"] == record["cells"]
    assert "Small cells" in (out / "README.md").read_text()


def test_data_and_doctor_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path))
    listed = {one["name"]: one["found"] for one in json.loads(run("data", "list", "--json").stdout)}
    assert listed.pop("digits")
    assert not any(listed.values())
    tables = {"nasbench101.npz", "nasbench201.parquet", "enas6_weightsharing.parquet", "darts_bench545.parquet"}
    assert set(listed) == tables
    assert "missing" in run("data", "verify").stdout
    (tmp_path / "nasbench101.npz").write_text("no archive")
    result = run("data", "verify")
    assert result.exit_code == 3
    assert "nasbench101.npz" in result.stderr
    record = json.loads(run("doctor", "--json").stdout)
    assert "nasbench101" in record["spaces"]
    assert record["devices"][0] == "cpu"


def test_the_installed_command_works_from_an_empty_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C"}
    command = [sys.executable, "-m", "graphnas", "spaces", "sample", "nasbench101", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    (architecture,) = json.loads(done.stdout)
    Space.load("nasbench101").validate(Architecture.from_dict(architecture))


def test_help_needs_neither_torch_nor_optuna(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom graphnas.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'torch', 'optuna', 'numpy', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
