from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from graphnas.analysis import training_split
from graphnas.cli.encoder_card import thinned
from graphnas.cli.main import app
from graphnas.cli.train import Model
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.autoencoder import KINDS
from graphnas.spaces import Space

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_labels(path: Path, space: Space, number: int, seed: int = 3) -> None:
    lines = ["value,architecture,note"]
    for one in space.sample(number, np.random.default_rng(seed)):
        text = one.to_json().replace('"', '""')
        lines.append(f'{0.1 * len(one.cells[0].edges)},"{text}",x')
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def trained(small_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short run with labels, a share and all else that is recorded leaves."""
    folder = tmp_path_factory.mktemp("trained")
    write_labels(folder / "labels.csv", Space.load(small_space, max_edges=8), 60)
    options: tuple[object, ...] = ("--steps", 220, "--cells", 1000, "--held-out", 50, "--share", 0.2, "--seed", 5)
    options += ("--latent-dim", 8, "--batch-size", 16, "--beta", 0.02, "--precision", "bfloat16", "--device", "cpu")
    options += ("--labels", folder / "labels.csv", "--tensorboard", folder / "board", "--limit", "max_edges=8")
    result = run("train", small_space, *options, "--out", folder / "encoder", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record.pop("folder") == str(folder / "encoder")
    assert record == json.loads((folder / "encoder" / "metrics.json").read_text())
    return folder


def test_the_record_has_all_settings(trained: Path, small_space: Path) -> None:
    record = json.loads((trained / "encoder" / "metrics.json").read_text())
    assert record["settings"] == {
        "limit": {"max_edges": 8},
        "cells": 1000,
        "held_out": 50,
        "share": 0.2,
        "proxies": [],
        "scored": None,
        "minutes": None,
        "steps": 220,
        "threads": 1,
        "from": None,
    }
    assert (record["model"], record["latent_dim"], record["precision"]) == ("graph", 8, "bfloat16")
    assert (record["device"], record["compiled"], record["processes"], record["steps"]) == ("cpu", False, 1, 220)
    assert (record["recipe"]["batch_size"], record["recipe"]["beta"], record["recipe"]["auxiliary"]) == (16, 0.02, 8.0)
    assert record["cells_per_second"] > 0
    assert record["quality"]["validity"] == 1.0
    model = CellAutoencoder.from_pretrained(trained / "encoder")
    assert record["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert [row["step"] for row in record["history"]] == [100, 200, 220]
    assert record["history"][0]["loss"] > record["history"][-1]["loss"]

    space = Space.load(small_space, max_edges=8)
    split = training_split(space, held_out=50, seed=5, cells=1000, share=0.2)
    assert record["cells"] == split.train.n + len(record["labels"]["added"])
    labelled = {space.hash(one) for one in space.sample(60, np.random.default_rng(3))}
    assert record["labels"]["known"] == len(labelled)
    apart = [key for key in space.hashes(split.held_out) if key not in labelled]
    assert record["held_out"] == len(apart) < 50
    assert model.performance is not None


def test_the_card_tells_recipe_measures_and_limits(trained: Path) -> None:
    card = (trained / "encoder" / "README.md").read_text()
    for words in (
        "# Encoder of Small cells",
        "## Recipe\n\n```\n",
        "| beta | 0.02 |",
        "![Loss against the step](loss.svg)",
        "| sampled reconstruction | ",
        'CellAutoencoder.from_pretrained("small")',
        "max_vertices 5, max_edges 8",
        f"the labels of {json.loads((trained / 'encoder' / 'metrics.json').read_text())['labels']['known']} of them",
        "a share of 0.2",
        "MIT",
    ):
        assert words in card
    root = ET.fromstring((trained / "encoder" / "loss.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "KL divergence (nats a cell)" in "".join(root.itertext())
    assert not (trained / "encoder" / "checkpoint").exists()


def test_every_figure_of_the_progress_is_a_scalar_of_tensorboard(trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(trained / "board"))
    board.Reload()
    record = json.loads((trained / "encoder" / "metrics.json").read_text())
    row = record["history"][-1]
    assert set(board.Tags()["scalars"]) == {f"train/{name}" for name in row if name not in ("step", "steps")}
    for name in ("loss", "kl_nats", "performance_loss", "cells_per_second"):
        scalar = board.Scalars(f"train/{name}")[-1]
        assert (scalar.step, scalar.value) == (220, pytest.approx(row[name], rel=1e-4))


def test_a_run_starts_from_another_encoders_weights(trained: Path, small_space: Path, tmp_path: Path) -> None:
    start: tuple[object, ...] = (
        "train",
        small_space,
        "--from",
        trained / "encoder",
        "--cells",
        1000,
        "--out",
        tmp_path,
    )
    for option, value, reason in (
        ("--model", "svge", "is of the kind graph"),
        ("--latent-dim", 9, "has 8"),
    ):
        result = run(*start, option, value)
        assert result.exit_code == 2
        assert reason in " ".join(result.stderr.replace("│", " ").split())
    record = json.loads((trained / "encoder" / "metrics.json").read_text())
    result = run(*start, "--limit", "max_edges=8", "--steps", 1, "--share", 0.2, "--seed", 5, "--json")
    assert result.exit_code == 0, result.stderr
    assert "may have been fitted to architectures that are held out now" in result.stderr
    assert "--held-out 50 and 5000" in result.stderr
    # What the first step finds is what the other run ended with.
    (first,) = json.loads(result.stdout)["history"]
    assert first["reconstruction_nats"] == pytest.approx(record["history"][-1]["reconstruction_nats"], rel=0.2)
    assert json.loads(result.stdout)["settings"]["from"] == str(trained / "encoder")


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [False, True])
def test_svge_has_its_own_recipe_with_and_without_labels(small_space: Path, tmp_path: Path, labelled: bool) -> None:
    write_labels(tmp_path / "labels.csv", Space.load(small_space), 20)
    options = ("--labels", tmp_path / "labels.csv") if labelled else ()
    command: tuple[object, ...] = ("train", small_space, "--model", "svge", "--steps", 2, "--cells", 120, "--json")
    result = run(*command, "--latent-dim", 16, *options, "--out", tmp_path / "encoder")
    assert result.exit_code == 0, result.stderr
    assert "no masks" in (tmp_path / "encoder" / "README.md").read_text()
    recipe = json.loads(result.stdout)["recipe"]
    assert (recipe["schedule"], recipe["noise"]) == ("plateau", 0.01)
    found = (recipe["learning_rate"], recipe["reconstruction"], recipe["performance"])
    # Fine-tuning has a recipe of its own and needs a fitted model to start from.
    assert found == (1e-4, 1.0, 1.0)


def test_the_models_are_those_of_the_library() -> None:
    assert [one.value for one in Model] == list(KINDS)


def test_a_collapse_is_one_line_and_leaves_no_encoder(small_space: Path, tmp_path: Path) -> None:
    options: tuple[object, ...] = ("--cells", 300, "--steps", 150, "--batch-size", 8, "--beta", 500, "--latent-dim", 4)
    result = run("train", small_space, *options, "--out", tmp_path / "none")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "none: The latent space collapsed: 0 of 4 units are active; more --minutes" in result.stderr
    assert list((tmp_path / "none").iterdir()) == []


@pytest.mark.parametrize(
    ("space", "options", "reason"),
    [
        ("darts", ("--model", "svge"), "cells of one input"),
        ("nasbench101", ("--share", 0), "above 0"),
        ("nasbench101", ("--share", 1.5), "--share"),
        ("nasbench101", ("--steps", 0), "--steps"),
        ("nasbench101", ("--model", "tree"), "--model"),
        ("nasbench101", ("--precision", "float64"), "--precision"),
        ("nasbench101", ("--batch-size", 1), "--batch-size"),
        ("nasbench101", ("--proxies", "luck"), "--proxies: expected names out of fisher"),
        ("nasbench101", ("--model", "svge", "--proxies", "macs"), "this model predicts no statistics"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, space: str, options: tuple[object, ...], reason: str) -> None:
    result = run("train", space, *options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_an_encoder_learns_scores_of_untrained_networks(tmp_path: Path) -> None:
    options = ("--steps", 3, "--held-out", 20, "--proxies", "macs,parameters", "--scored", 30)
    result = run("train", "nasbench201", *options, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    settings = json.loads(result.stdout)["settings"]
    assert (settings["proxies"], settings["scored"]) == (["macs", "parameters"], 30)


def test_a_missing_tensorboard_is_named_with_the_extra(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    result = run("train", small_space, "--cells", 200, "--tensorboard", tmp_path / "b", "--out", tmp_path / "e")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "pip install 'graphnas[tensorboard]'" in result.stderr


def test_a_history_is_thinned_by_averages() -> None:
    history = [{"step": 10.0 * n, "steps": 50.0, "done": n / 5, "loss": float(n)} for n in range(1, 6)]
    history[1]["reconstruction"] = 0.5
    assert thinned(history, 5) == history
    assert thinned(history, 2) == [
        {"step": 20.0, "steps": 50.0, "done": 0.4, "loss": 1.5, "reconstruction": 0.5},
        {"step": 50.0, "steps": 50.0, "done": 1.0, "loss": 4.0},
    ]
    assert thinned([]) == []
    assert len(thinned(history * 1000)) == 200


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def train_command(small_space: Path, out: Path) -> list[str]:
    options = ["--steps", "700", "--cells", "600", "--batch-size", "8", "--latent-dim", "8", "--device", "cpu"]
    return ["-m", "graphnas", "train", str(small_space), *options, "--out", str(out)]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_encoder(small_space: Path, tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    subprocess.run([sys.executable, *train_command(small_space, straight)], env=environment(), check=True)
    command = [sys.executable, *train_command(small_space, killed)]
    checkpoint = killed / "checkpoint" / "fit.safetensors"
    with subprocess.Popen(command, env=environment()) as process:
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "config.toml").exists()
    subprocess.run(command, env=environment(), check=True)
    for name in ("model.safetensors", "config.toml"):
        assert (straight / name).read_bytes() == (killed / name).read_bytes()
    one, other = (json.loads((folder / "metrics.json").read_text()) for folder in (straight, killed))
    assert one["quality"] == other["quality"]
    assert one["history"][-1]["loss"] == other["history"][-1]["loss"]
    assert [row["step"] for row in other["history"]] == [*range(100, 701, 100)]


@pytest.mark.slow
def test_torchrun_shares_the_batches_and_one_process_speaks(small_space: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, *train_command(small_space, tmp_path / "two")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.count("Encoder: ") == done.stdout.count("100%") == 1
    record = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert (record["processes"], record["steps"], record["quality"]["validity"]) == (2, 700, 1.0)
    CellAutoencoder.from_pretrained(tmp_path / "two")


@pytest.mark.slow
def test_what_fails_after_the_fit_does_not_lose_it(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "train",
        small_space,
        "--steps",
        110,
        "--held-out",
        50,
        "--latent-dim",
        8,
        "--batch-size",
        16,
        "--device",
        "cpu",
    )
    command += ("--out", tmp_path / "encoder")

    def fails(*given: object, **options: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("graphnas.encoders.quality", fails)
        assert run(*command).exit_code != 0
    assert (tmp_path / "encoder" / "checkpoint" / "fit.safetensors").is_file()
    assert not (tmp_path / "encoder" / "config.toml").exists()
    result = run(*command, "--json")
    assert result.exit_code == 0, result.stderr
    assert not (tmp_path / "encoder" / "checkpoint").exists()
    straight = run(*command[:-1], tmp_path / "straight", "--json")
    one, other = (json.loads(done.stdout)["history"] for done in (result, straight))
    assert [row["loss"] for row in one] == [row["loss"] for row in other]


@pytest.mark.slow
def test_svge_is_fine_tuned_on_the_labelled_alone(small_space: Path, tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.csv", Space.load(small_space), 40)
    command = ("train", small_space, "--steps", 2, "--held-out", 50, "--device", "cpu", "--json")
    first = run(*command, "--model", "svge", "--latent-dim", 8, "--beta", 0, "--out", tmp_path / "svge")
    assert first.exit_code == 0, first.stderr
    options = ("--from", tmp_path / "svge", "--labels", tmp_path / "labels.csv", "--beta", 0)
    tuned = run(*command, *options, "--out", tmp_path / "tuned")
    assert tuned.exit_code == 0, tuned.stderr
    record = json.loads(tuned.stdout)
    assert record["cells"] == record["labels"]["known"]
    assert (record["recipe"]["reconstruction"], record["recipe"]["performance"]) == (0.1, 0.9)
    plain = json.loads(first.stdout)
    assert (plain["recipe"]["reconstruction"], plain["recipe"]["performance"]) == (1.0, 1.0)


def test_labelled_architectures_count_as_fitted_when_an_encoder_is_measured(trained: Path) -> None:
    options = ("--seeds", 1, "--pairs", 20, "--samples", 20, "--predict", trained / "labels.csv")
    result = run("encoders", "evaluate", trained / "encoder", *options)
    assert result.exit_code == 0, result.stderr
    assert "metrics.json records" not in result.stdout
    assert "labels by the performance head" in result.stdout
    assert "coverage" in result.stdout
    record = json.loads((trained / "encoder" / "metrics.json").read_text())
    assert f"Quality on {record['held_out']} held-out architectures" in result.stdout


def test_a_file_of_labels_that_is_refused_does_not_end_the_process_badly(small_space: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("architecture,value\nx,0%\n")
    command = [sys.executable, "-m", "graphnas", "train", str(small_space), "--labels", str(tmp_path / "labels.csv")]
    done = subprocess.run([*command, "--out", str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "row 0, column value: expected a number, but got '0%'" in done.stderr
    assert not (tmp_path / "none").exists()
