from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner, Result

from graphnas.cell import Architecture
from graphnas.cli.main import app
from graphnas.formats.darts import to_genotype
from graphnas.spaces import Space


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_an_encoder_is_not_overwritten_unless_asked(small_space: Path, tmp_path: Path) -> None:
    command = ("train", small_space, "--minutes", 0.02, "--out", tmp_path)
    assert run(*command).exit_code == 0
    weights = (tmp_path / "model.safetensors").read_bytes()
    again = run(*command)
    assert again.exit_code == 2
    assert "holds an encoder already" in " ".join(again.stderr.replace("│", " ").split())
    assert (tmp_path / "model.safetensors").read_bytes() == weights
    assert run(*command, "--overwrite").exit_code == 0
    assert (tmp_path / "space.toml").read_text() == small_space.read_text()


def test_too_few_architectures_are_refused(small_space: Path, tmp_path: Path) -> None:
    result = run("train", small_space, "--limit", "max_vertices=3", "--out", tmp_path / "none")
    assert result.exit_code == 3
    assert "expected at least 50 architectures to fit an encoder to, but got 7" in result.stderr


def test_a_wrong_number_of_classes_is_found_by_the_check(small_space: Path, tmp_path: Path) -> None:
    path = tmp_path / "counted.toml"
    for size, code in ((2532, 0), (2533, 3)):
        path.write_text(f"size = {size}\n{small_space.read_text()}".replace("size = 2532\nsize", "size"))
        result = run("spaces", "check", path)
        assert result.exit_code == code, result.stderr
    assert "size: expected 2,532, the number of classes, but got 2,533" in result.stderr


def test_a_table_of_a_sliver_of_the_space_is_not_searched(small_table: Path, tmp_path: Path) -> None:
    result = run("search", "nasbench101", "--objective", f"table:{small_table}", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "holds 2,532 of the 423,624" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_genotypes_with_none_are_embedded_where_the_limits_allow_it(tmp_path: Path) -> None:
    (one,) = Space.load("darts", exclude=[]).sample(1, np.random.default_rng(3))
    (tmp_path / "one.txt").write_text(to_genotype(one).replace("sep_conv_3x3", "none"))
    command = ("embed", tmp_path / "one.txt", "--encoder", "darts", "--out", tmp_path / "z.csv")
    refused = run(*command)
    assert refused.exit_code == 3
    assert "'none' is excluded here" in refused.stderr
    assert run(*command, "--limit", "exclude=[]").exit_code == 0
    decoded = run("decode", tmp_path / "z.csv", "--encoder", "darts").stdout
    Space.load("darts").validate(Architecture.from_json(decoded))
