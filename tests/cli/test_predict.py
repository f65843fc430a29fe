from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import NASBench201Table
from graphnas.predictors import make_predictor
from graphnas.spaces import Space


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *(str(argument) for argument in arguments)])


def test_predictors_are_listed() -> None:
    records = {one["name"]: one for one in json.loads(run("list", "--json").stdout)}
    assert len(records) == 44
    assert records["sotl-e"]["needs"] == ["first epochs"]
    assert records["latent-gp"]["needs"] == ["trainings", "an encoder"]
    assert records["seminas"]["needs"] == ["trainings", "unlabelled architectures"]
    assert records["rsws"]["needs"] == ["a supernet"]
    assert records["omni-no-curve"]["needs"] == ["trainings", "one minibatch"]
    assert "Gaussian process on latent means" in " ".join(run("list").stdout.split())


def test_the_list_says_what_predictors_say() -> None:
    space = Space.load("nasbench201")
    encoder = CellAutoencoder.from_pretrained("nasbench201")
    for record in json.loads(run("list", "--json").stdout):
        needs, latent = make_predictor(record["name"], space, encoder=encoder).needs, record["family"] == "latent"
        supernet = record["family"] == "weight sharing"
        words = {
            "trainings": needs.targets,
            "unlabelled architectures": needs.unlabelled,
            "an encoder": latent,
            "one minibatch": needs.scores and not supernet,
            "a supernet": supernet,
            "first epochs": needs.curves,
        }
        assert record["needs"] == [word for word, needed in words.items() if needed], record["name"]


def test_a_comparison_is_printed_and_kept(tmp_path: Path) -> None:
    try:
        NASBench201Table.open()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    command = (
        "bench",
        "nasbench201",
        "--predictors",
        "random-forest,latent-gp",
        "--train-sizes",
        "20,60",
        "--seeds",
        2,
    )
    result = run(*command, "--test", 50, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "NAS-Bench-201, CIFAR-10 validation accuracy: 50 others predicted" in " ".join(result.stdout.split())
    assert result.stderr.count("seed 0") == 4
    report = json.loads((tmp_path / "results.json").read_text())
    assert [(row["predictor"], row["train_size"], row["seeds"]) for row in report["rows"]] == [
        ("random-forest", 20, 2),
        ("random-forest", 60, 2),
        ("latent-gp", 20, 2),
        ("latent-gp", 60, 2),
    ]
    assert (tmp_path / "budgets.svg").read_text().startswith("<svg")
    again = run(*command, "--test", 50, "--out", tmp_path, "--json")
    assert again.stderr == ""
    assert json.loads(again.stdout)["rows"] == report["rows"]


def test_a_comparison_goes_on_with_others_and_counts_them(tmp_path: Path) -> None:
    command = ("bench", "digits101", "--seeds", 2, "--test", 20, "--out", tmp_path)
    first = run(*command, "--predictors", "sotl-e,macs", "--epochs", "2,6", "--json")
    assert first.exit_code == 0, first.stderr
    second = run(*command, "--predictors", "random-forest", "--train-sizes", "10", "--json")
    assert second.exit_code == 0, second.stderr
    rows = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)["rows"]
    assert {(row["predictor"], row["train_size"], row["epochs"], row["seeds"]) for row in rows} == {
        ("sotl-e", 0, 2, 2),
        ("sotl-e", 0, 6, 2),
        ("macs", 0, 0, 2),
        ("random-forest", 10, 0, 2),
    }
    assert json.loads(second.stdout)["rows"] == rows
    # In another setting others are asked about.
    third = run(*command, "--predictors", "random-forest", "--train-sizes", "10", "--setting", "mutation", "--json")
    assert third.exit_code == 0, third.stderr
    (row,) = json.loads(third.stdout)["rows"]
    assert row["measures"] != rows[-1]["measures"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("imagenet",), "'imagenet' is no data; known: digits101, nasbench101, nasbench201, spikenas"),
        (("nasbench201", "--predictors", "oracle"), "expected names out of fisher"),
        (("nasbench201", "--train-sizes", "10,x"), "--train-sizes: expected whole numbers of 2 or more"),
        (("nasbench201", "--train-sizes", "1"), "--train-sizes: expected whole numbers of 2 or more"),
    ],
)
def test_wrong_usage_is_refused(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = run("bench", *arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
