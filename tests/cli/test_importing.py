from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphnas.cell import Cell
from graphnas.cli.main import app
from graphnas.formats.graphs import to_graphml

SMALL = """
from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from graphnas.networks import build_network
from graphnas.spaces import Space
from torch import nn

wide = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
number = 3


def cell():
    space = Space.load("nasbench201")
    import numpy as np

    architecture = space.sample(1, np.random.default_rng(0))[0]
    return build_network(architecture, space, sizes={"cells_per_stage": 1, "channels": 4})


texts = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 4))
double = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).double()


@dataclass
class Settings:
    width: int = 4


def sized():
    return nn.Conv2d(3, Settings().width, 3)


def leaving():
    sys.exit(0)


def broken():
    raise RuntimeError("no such weights")


class Cumulated(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 1)
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(SMALL)
    return path


def test_a_network_is_taken_apart(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    result = run("import", f"{file}:wide", f"{file}:cell", f"{file}:Cumulated", "--input", "3x32x32", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "nets.py:wide: 3 operators, 100.0 % of them known" in result.stdout
    assert "unknown: 1 cumsum" in result.stdout
    assert "the network of an architecture of nasbench201 (cells_per_stage 1, channels 4)" in result.stdout
    wide, cell, cumulated = json.loads(out.read_text())
    assert wide["graph"] == {
        "ops": ["input", "conv3x3", "conv3x3", "output"],
        "edges": [[0, 1], [1, 2], [2, 3]],
    }
    assert wide["cells"][0]["space"] == "nasbench101"
    assert cell["recognised"]["architecture"]["space"] == "nasbench201"
    assert cumulated["mapped"] == 0
    again = run("import", f"{file}:wide", "--input", "3x32x32", "--json")
    assert json.loads(again.stdout) == [wide]


@pytest.mark.parametrize(
    ("network", "code", "message"),
    [
        ("none.py:net", 3, "there is no such file"),
        ("nets.py", 3, "expected FILE.onnx, FILE.graphml or FILE.py:NAME"),
        ("nets.py:missing", 3, "there is no 'missing' in it"),
        ("nets.py:broken", 3, "RuntimeError: no such weights"),
        ("nets.py:number", 3, "object is not callable"),
        ("nets.py:leaving", 3, "SystemExit: 0"),
        ("none.onnx", 3, "none.onnx"),
    ],
)
def test_what_is_no_network_is_refused(file: Path, network: str, code: int, message: str) -> None:
    result = run("import", str(file.parent / network))
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())


def test_a_file_with_data_classes_is_read(file: Path) -> None:
    result = run("import", f"{file}:sized", "--input", "3x8x8")
    assert result.exit_code == 0, result.stderr


def test_inputs_have_the_types_that_networks_take(file: Path) -> None:
    texts = run("import", f"{file}:texts", "--input", "16:int64", "--json")
    assert texts.exit_code == 0, texts.output
    assert json.loads(texts.stdout)[0]["vertices"] == {"embedding": 1, "linear": 1}
    assert run("import", f"{file}:double", "--input", "3x8x8").exit_code == 0
    wrong = run("import", f"{file}:texts", "--input", "16:text")
    assert wrong.exit_code == 2
    assert "a type out of float32" in " ".join(wrong.output.replace("│", " ").split())


def test_a_shape_is_sizes(file: Path) -> None:
    result = run("import", f"{file}:wide", "--input", "900000x900000x900000")
    assert result.exit_code == 3
    assert "--input:" in result.stderr
    result = run("import", f"{file}:wide", "--input", "3,32,32")
    assert result.exit_code == 2
    assert "--input: expected sizes with x between" in " ".join(result.stderr.replace("│", " ").split())


def test_what_is_read_is_not_overwritten(file: Path) -> None:
    before = file.read_text()
    result = run("import", f"{file}:wide", "--input", "3x8x8", "--out", file)
    assert result.exit_code == 2
    assert "--out" in result.output
    assert file.read_text() == before


def test_a_graph_of_vertices_is_a_network(tmp_path: Path) -> None:
    ops = ("input", "conv3x3", "conv1x1", "\u009b31mfft", "relu", "output")
    path = tmp_path / "cell.graphml"
    path.write_text(to_graphml(Cell(ops, frozenset({(0, 1), (1, 2), (2, 3), (3, 5), (1, 4)}))))
    result = run("import", path)
    assert result.exit_code == 0, result.output
    assert "3 operators, 66.7 % of them known" in result.stdout
    assert "since no output depends on them: 1 activation" in result.stdout
    # A terminal would obey it.
    assert "\u009b" not in result.stdout
    assert "31mfft" in result.stdout
    path.write_text(to_graphml(Cell(ops[:2] + ops[-1:], frozenset({(0, 1)}))))
    assert "no path joins them" in run("import", path).stderr
    path.write_text("<graphml>")
    assert run("import", path).exit_code == 3
