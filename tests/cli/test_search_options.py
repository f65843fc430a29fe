"""How candidates of `graphnas search` are trained, when they end, and where."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_recipe_is_kept_with_its_search(cells: Path, tmp_path: Path) -> None:
    recipe, folder = tmp_path / "recipe.toml", tmp_path / "found"
    recipe.write_text('title = "A trial"\nepochs = 1\n[network]\nchannels = 4\n[training]\nclip_norm = inf\n')
    settings = ("--task", "digits", "--sampler", "random", "--workers", 0, "--device", "cpu")
    found = run("search", "nasbench101", *settings, "--recipe", recipe, "--trials", 2, "--out", folder, "--json")
    assert found.exit_code == 0, found.stderr
    recipe.unlink()
    again = run("search", "--resume", folder, "--trials", 3, "--device", "cpu", "--json")
    assert json.loads(again.stdout)["trials"] == 3
    table = tomllib.loads((folder / "config.toml").read_text())["evaluator"]["recipe"]
    assert table == {
        "title": "A trial",
        "epochs": 1,
        "network": {"channels": 4},
        "training": {"clip_norm": float("inf")},
    }
    wrong = run("search", "--resume", folder, "--recipe", recipe)
    assert "--recipe is a setting of the search" in wrong.stderr
    recipe.write_text("epochs = 1\n[network]\nwidth = 4\n")
    wrong = run("evaluate", cells, "--task", "digits", "--recipe", recipe)
    assert (wrong.exit_code, wrong.stdout) == (3, "")
    assert "Expected the sizes stacks, cells_per_stack, channels, but got width" in wrong.stderr
    wrong = run("evaluate", cells, "--objective", "table", "--recipe", recipe)
    assert "--recipe says how to train; it goes with --task" in wrong.stderr


def test_the_best_of_trainings_by_the_clock_is_the_one_that_is_tested(tmp_path: Path) -> None:
    recipe, folder = tmp_path / "recipe.toml", tmp_path / "found"
    recipe.write_text("max_seconds = 0.3\n[network]\nchannels = 4\nstacks = 1\n")
    settings = ("--task", "digits#200", "--sampler", "random", "--workers", 0, "--device", "cpu", "--trials", 2)
    found = run("search", "nasbench101", *settings, "--recipe", recipe, "--out", folder, "--json")
    assert found.exit_code == 0, found.stderr
    assert "damaged" not in found.stderr
    assert not list(folder.rglob("*.damaged"))
    best = json.loads(found.stdout)["best"][0]
    assert (folder / best["weights"]).is_file()


def test_a_recipe_of_another_skeleton_keeps_its_settings(tmp_path: Path) -> None:
    settings = ("--task", "digits", "--images", 50, "--epochs", 1, "--sampler", "random", "--trials", 1)
    where = ("--workers", 0, "--device", "cpu", "--out", tmp_path / "found", "--json")
    found = run("search", "nasbench201", *settings, "--recipe", "nasbench101", *where)
    assert found.exit_code == 0, found.stderr
    assert "sizes are of another skeleton; nasbench201 has its own" in found.stderr


@pytest.mark.slow
def test_candidates_that_fall_behind_end_early(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    settings = ("--task", "digits", "--images", 200, "--workers", 0, "--device", "cpu", "--epochs", 4)
    result = run("search", "nasbench101", *settings, "--fidelity", "halving:factor=2", "--trials", 12, "--out", folder)
    assert result.exit_code == 0, result.stderr
    assert "(ended at epoch 1)" in result.stdout
    again = run("search", "--resume", folder, "--trials", 13, "--device", "cpu", "--json")
    record = json.loads(again.stdout)
    assert (record["trials"], record["failed"]) == (13, 0)
    assert 1 <= record["pruned"] <= 12
    assert not [source for source in record["sources"] if source.startswith("fallback")]
    for options, message in (
        (("--fidelity", "band"), "--fidelity: Expected fidelity to be one of hyperband, halving, but got 'band'"),
        (("--fidelity", "halving", "--minimize", "macs"), "--fidelity compares candidates by one objective"),
        (("--fidelity", "halving", "--at-most", "macs=3"), "--fidelity compares candidates by their values alone"),
        (("--fidelity", "halving", "--sampler", "latent-bo:acquisition=thompson"), "Thompson sampling learns from one"),
        (("--fidelity", "halving", "--sampler", "latent-bo:predictor=gp"), "a predictor that judges candidates learns"),
    ):
        wrong = run("search", "nasbench101", *settings, *options, "--out", tmp_path / "wrong")
        assert wrong.exit_code == 2
        assert message in " ".join(wrong.stderr.replace("│", " ").split())
        assert not (tmp_path / "wrong").exists()


def test_engines_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for options, message in (
        (("--address", "auto"), "they go with --engine ray"),
        (("--gpus-per-trial", 0.5), "they go with --engine ray"),
        (("--engine", "ray", "--workers", 0), "--engine ray needs 1 or more"),
        (("--workers", 0, "--timeout", 5), "which no --timeout can end"),
    ):
        wrong = run("search", "nasbench101", "--task", "digits", *options, "--out", tmp_path / "found")
        assert wrong.exit_code == 2
        assert message in " ".join(wrong.stderr.replace("│", " ").split())
        assert not (tmp_path / "found").exists()


@pytest.mark.slow
def test_a_search_runs_on_a_ray_cluster_of_its_own(small_space: Path, small_table: Path, tmp_path: Path) -> None:
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--engine", "ray", "--workers", 2)
    command = ("search", small_space, *settings, "--trials", 6, "--out", tmp_path / "found", "--json")
    # In a process of its own, as Ray changes the process that it is started in.
    words = [sys.executable, "-m", "graphnas", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 6
    search = tomllib.loads((tmp_path / "found" / "config.toml").read_text())["search"]
    assert (search["engine"], search["workers"]) == ("ray", 2)


@pytest.mark.slow
def test_hyperparameters_are_searched_with_architectures(tmp_path: Path) -> None:
    space, folder = tmp_path / "mine.toml", tmp_path / "found"
    space.write_text(
        '[hyperparameters]\noptimizer = { choices = ["sgd", "adamw"] }\nbatch_size = { low = 16, high = 64 }'
    )
    settings = ("--task", "digits", "--images", 200, "--workers", 0, "--device", "cpu", "--epochs", 2)
    result = run("search", "nasbench101", *settings, "--joint", space, "--trials", 11, "--out", folder)
    assert result.exit_code == 0, result.stderr
    assert "optimizer" in result.stdout
    space.unlink()
    again = run("search", "--resume", folder, "--trials", 12, "--device", "cpu", "--json")
    assert again.exit_code == 0, again.stderr
    record = json.loads(again.stdout)
    assert record["trials"] == 12
    # A candidate that comes first keeps the settings that it was found with.
    space.write_text("[hyperparameters]\nbatch_size = { low = 16, high = 64 }")
    first = run(
        "search", "nasbench101", *settings, "--joint", space, "--trials", 1, "--init", folder / "best.json",
        "--out", tmp_path / "first", "--json",
    )  # fmt: skip
    assert first.exit_code == 0, first.stderr
    settled = json.loads((folder / "best.json").read_text())["hyperparameters"]["batch_size"]
    assert json.loads(first.stdout)["best"][0]["hyperparameters"] == {"batch_size": settled}
    assert not [source for source in record["sources"] if source.startswith("fallback")]
    best = record["best"][0]["hyperparameters"]
    assert best == json.loads((folder / "best.json").read_text())["hyperparameters"]
    assert 16 <= best["batch_size"] <= 64
    assert f"batch_size {best['batch_size']}" in (folder / "report.html").read_text()
    # The best candidate is one with these settings, whoever trains it next.
    settings = ("--task", "digits", "--images", 200, "--device", "cpu", "--epochs", 2)
    alone = run("evaluate", folder / "best.json", *settings, "--json")
    assert alone.exit_code == 0, alone.stderr
    (judged,) = json.loads(alone.stdout)
    assert judged["hyperparameters"] == best
    assert judged["value"] == record["best"][0]["value"]
    assert "batch_size" in run("evaluate", folder / "best.json", *settings).stdout
    written = run("export", folder / "best.json", *settings, "--out", tmp_path / "export", "--json")
    assert json.loads(written.stdout)["test"] == record["test"]
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(json.loads((folder / "best.json").read_text()) | {"hyperparameters": {"width": 3}}))
    refused = run("evaluate", wrong, *settings)
    assert refused.exit_code == 3
    assert f"{wrong}: hyperparameters: Expected hyperparameters of" in refused.stderr
    for options, message in (
        (("--joint", "sgd", "--sampler", "evolution"), "--sampler evolution searches no hyperparameters"),
        (("--joint", "sgd"), "--joint: cutout is out of range: expected fewer pixels than the 8 of an image of digits"),
        (("--joint", "sdg"), "--joint: sdg: no such hyperparameters; known: sgd, sgd-small"),
        (("--sampler", "latent-joint"), "searches hyperparameters too: add --joint"),
    ):
        wrong = run("search", "nasbench101", *settings, *options, "--out", tmp_path / "wrong")
        assert wrong.exit_code == 2
        assert message in " ".join(wrong.stderr.replace("│", " ").split())
    wrong = run("search", "nasbench101", *settings, "--recipe", "darts", "--out", tmp_path / "wrong")
    assert wrong.exit_code == 3
    assert "cutout is out of range: expected fewer pixels than the 8 of an image of digits" in wrong.stderr
    for row, message in (
        ("width = { low = 1, high = 2 }", "--joint: width is no setting of a training: optimizer"),
        ("momentum = { low = 0.5, high = 1.0 }", "--joint: momentum is out of range"),
    ):
        space.write_text(f"[hyperparameters]\n{row}\n")
        wrong = run("search", "nasbench101", *settings, "--joint", space, "--out", tmp_path / "wrong")
        assert wrong.exit_code == 2
        assert message in " ".join(wrong.stderr.replace("│", " ").split())
    wrong = run("search", "nasbench201", "--objective", "table", "--joint", "sgd", "--out", tmp_path / "wrong")
    assert wrong.exit_code == 2
    assert not (tmp_path / "wrong").exists()


def test_a_search_among_given_architectures_proposes_no_others(cells: Path, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    settings = ("--task", "digits", "--images", 200, "--workers", 0, "--device", "cpu", "--epochs", 1)
    result = run("search", "nasbench101", *settings, "--among", cells, "--sampler", "random", "--out", folder, "--json")
    assert result.exit_code == 0, result.stderr
    listed = len(cells.read_text().splitlines())
    assert json.loads(result.stdout)["trials"] == listed
    again = run("search", "--resume", folder, "--trials", 50, "--device", "cpu", "--json")
    assert json.loads(again.stdout)["trials"] == listed
    wrong = run("search", "nasbench101", *settings, "--among", cells, "--sampler", "tpe", "--out", tmp_path / "wrong")
    assert "--among: tpe is Optuna's own sampler" in " ".join(wrong.stderr.replace("│", " ").split())
