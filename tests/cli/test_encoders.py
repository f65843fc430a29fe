from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import OWN_ENCODER
from typer.testing import CliRunner, Result

from graphnas.cli.encoder_card import card
from graphnas.cli.main import app
from graphnas.content import content_folder
from graphnas.encoders import CellAutoencoder, Recipe
from graphnas.spaces import Space
from graphnas.spaces.universal import any_space

SHIPPED = ("darts", "enas", "nasbench101", "nasbench201")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def untrained(small_space: Path, tmp_path: Path) -> Path:
    """An encoder of the 2,532 cells of at most five vertices, as if `graphnas train` had kept 190 apart."""
    folder = tmp_path / "mine"
    CellAutoencoder.for_space(Space.load(small_space), latent_dim=8, seed=0).save_pretrained(folder)
    settings = {"limit": {}, "cells": 4000, "held_out": 190, "share": 0.5}
    record = {"quality": {"reconstruction": 0.25}, "cells": 1171, "held_out": 190, "seed": 5, "settings": settings}
    (folder / "metrics.json").write_text(json.dumps(record))
    (folder / "README.md").write_text("# My encoder\n")
    return folder


@pytest.mark.parametrize("command", ["list", "show", "evaluate"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = run("encoders", command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "--json" in result.stdout
    assert "Example" in run("encoders", "--help").stdout


def test_shipped_encoders_are_listed_with_space_size_and_reconstruction() -> None:
    rows = json.loads(run("encoders", "list", "--json").stdout)
    assert [row["name"] for row in rows if row["name"] in SHIPPED] == list(SHIPPED)
    row = next(row for row in rows if row["name"] == "nasbench101")
    assert row["space"] == "nasbench101"
    assert row["vocabulary"] == ["input", "output", "conv3x3", "conv1x1", "maxpool3x3"]
    assert row["latent_dim"] >= 2
    assert row["bytes"] > 100_000
    assert row["reconstruction"] > 0.95
    assert "conv1x1" in run("encoders", "list").stdout


def test_encoders_in_the_folder_here_are_listed_too(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoders").mkdir()
    untrained.rename(tmp_path / "encoders" / "mine")
    row = json.loads(run("encoders", "list", "--json").stdout)[-1]
    assert (row["name"], row["space"], row["latent_dim"], row["reconstruction"]) == (
        "encoders/mine",
        "small",
        8,
        0.25,
    )
    assert run("encoders", "show", row["name"]).exit_code == 0


def test_an_encoder_is_shown_with_card_settings_and_measures(untrained: Path) -> None:
    text = run("encoders", "show", untrained).stdout
    assert "My encoder" in text
    assert "topology.max_vertices" in text
    assert "0.2500" in text
    record = json.loads(run("encoders", "show", untrained, "--json").stdout)
    assert record["card"] == "# My encoder\n"
    assert record["config"]["topology"]["max_vertices"] == 5
    assert record["metrics"]["held_out"] == 190


def test_an_encoder_without_card_and_measures_is_shown(untrained: Path) -> None:
    (untrained / "metrics.json").unlink()
    (untrained / "README.md").unlink()
    assert run("encoders", "show", untrained).exit_code == 0
    assert json.loads(run("encoders", "show", untrained, "--json").stdout)["metrics"] == {}


def test_measures_are_taken_on_what_the_training_kept_apart(untrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "measures.json"
    result = run(
        "encoders", "evaluate", untrained, "--seeds", 1, "--pairs", 50, "--samples", 50, "--out", out, "--json"
    )
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    assert report == json.loads(out.read_text())
    assert report["split"] == {
        "held_out": 190,
        "seed": 5,
        "cells": 4000,
        "share": 0.5,
        "limits": {},
        "fitted_cells": 1171,
        "fitted_cells_recorded": 1171,
    }
    assert report["quality"]["validity"]["mean"] == 1
    assert set(report["smoothness"]["encodings"]["latent mean"]) == {"random_pairs", "walks", "pooled"}
    assert report["ranking"]["missing"].startswith("no ranking is defined for small")
    assert report["environment"]["versions"]["graphnas"]
    assert "quality  1/1" in result.stderr


def test_tables_for_people_say_what_is_missing_and_what_does_not_fit(untrained: Path) -> None:
    options = ("--seeds", 1, "--pairs", 50, "--samples", 50, "--held-out", 150)
    result = run("encoders", "evaluate", untrained, *options)
    assert result.exit_code == 0, result.stderr
    assert "Quality on 150 held-out architectures" in result.stdout
    assert "one-hot + statistics + paths" in result.stdout
    assert "metrics.json records 1,171 fitted cells, these options give 1,191" in result.stdout
    assert "Not measured: no ranking is defined for small" in result.stdout


def test_a_benchmark_table_is_ranked(tmp_path: Path, small_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "nasbench101.npz").write_bytes(small_table.read_bytes())
    monkeypatch.setenv("GRAPHNAS_DATA", str(data))
    folder = tmp_path / "mine"
    CellAutoencoder.for_space(Space.load("nasbench101"), latent_dim=8, seed=0).save_pretrained(folder)
    # The limits and the number of cells are those that are recorded.
    record = {"seed": 1, "settings": {"limit": {"max_vertices": 5}, "cells": 2000, "held_out": 150}}
    (folder / "metrics.json").write_text(json.dumps(record))
    options = ("--seeds", 2, "--labels", "40, 60 5000", "--pairs", 50, "--samples", 50, "--out", tmp_path / "out.json")
    result = run("encoders", "evaluate", folder, *options)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"predicts test_acc_run0 clipped at 0.8 of \d+ other architectures", result.stdout)
    assert "±" in result.stdout
    assert re.search(r"5,000 labels: only \d+ architectures can be labelled", result.stdout)
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["split"]["limits"] == {"max_vertices": 5}
    assert report["split"]["cells"] == 2_000
    assert [row["labels"] for row in report["ranking"]["table"]] == [40] * 5 + [60] * 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nosuchencoder"),
        ("evaluate", "nosuchencoder"),
        ("evaluate", "nasbench101", "--labels", "many"),
        ("evaluate", "nasbench101", "--labels", "1"),
        ("evaluate", "nasbench101", "--seeds", 0),
        ("evaluate", "nasbench101", "--out", os.curdir),
        ("evaluate", "nasbench101", "--limit", "max_vertices"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[object, ...]) -> None:
    result = run("encoders", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("file", "text"),
    [("config.toml", "format ="), ("metrics.json", "{"), ("metrics.json", "[1]"), ("config.toml", "\xff")],
)
def test_damaged_files_are_bad_data_and_named(untrained: Path, file: str, text: str) -> None:
    (untrained / file).write_bytes(text.encode("latin-1"))
    result = run("encoders", "show", untrained)
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert file in result.stderr


@pytest.mark.skipif(not os.environ.get("GRAPHNAS_DATA"), reason="GRAPHNAS_DATA is not set")
@pytest.mark.slow
def test_a_shipped_encoder_is_measured() -> None:
    result = run("encoders", "evaluate", "nasbench201", "--seeds", 2, "--labels", "100", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["quality"]["reconstruction"]["mean"] > 0.95
    assert report["split"]["fitted_cells"] == report["split"]["fitted_cells_recorded"]
    assert report["smoothness"]["encodings"]["one-hot"]["pooled"]["mean"] > 0.99
    assert np.isfinite(report["ranking"]["table"][0]["spearman"]["mean"])


@pytest.mark.parametrize("name", OWN_ENCODER)
def test_a_shipped_encoder_is_what_its_recorded_command_gives(name: str) -> None:
    record = json.loads(run("encoders", "show", name, "--json").stdout)["metrics"]
    space = Space.load(name)
    assert record["recipe"] == asdict(Recipe.for_space(space))
    assert record["latent_dim"] == CellAutoencoder.for_space(space).cell_dim
    folder = content_folder("encoders") / name
    assert (folder / "model.safetensors").stat().st_size <= 4 * 2**20
    trained_on = Space.load(name, **record["settings"]["limit"])
    assert (folder / "README.md").read_text() == card(trained_on, record)
    assert CellAutoencoder.from_pretrained(name).space.topology.settings == space.topology.settings


def test_a_universal_encoder_is_measured_on_one_space(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    CellAutoencoder.for_space(any_space(), kind="universal", latent_dim=8, seed=0).save_pretrained(folder)
    refused = run("encoders", "evaluate", folder)
    assert refused.exit_code == 2
    assert "all serves all spaces; say which" in refused.stderr
    of_one = run("encoders", "evaluate", "nasbench101:nasbench201")
    assert of_one.exit_code == 2
    assert "nasbench101 is of nasbench101 alone" in of_one.stderr
    measured = run(
        "encoders", "evaluate", f"{folder}:digits101", "--seeds", 1, "--pairs", 20, "--samples", 20, "--labels", 20,
        "--json",
    )  # fmt: skip
    assert measured.exit_code == 0, measured.stderr
    report = json.loads(measured.stdout)
    assert (report["space"], report["quality"]["validity"]["mean"]) == ("digits101", 1.0)
    assert "metrics.json records" not in measured.stderr
