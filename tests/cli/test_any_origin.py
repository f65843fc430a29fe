from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from graphnas.cell import Cell
from graphnas.cli.main import app
from graphnas.encoders import CellAutoencoder
from graphnas.formats.graphs import to_graphml
from graphnas.spaces import Space
from graphnas.spaces.universal import any_space

NETWORK = """
import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + x)


def residual():
    return nn.Sequential(nn.Conv2d(3, 4, 1), Residual(), Residual(), Residual())
"""

GRAPHML = """<?xml version="1.0"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="op" for="node" attr.name="op" attr.type="string"/>
  <graph edgedefault="directed">
    <node id="a"><data key="op">input</data></node>
    <node id="b"><data key="op">fft</data></node>
    <node id="c"><data key="op">output</data></node>
    <edge source="a" target="b"/><edge source="b" target="c"/>
  </graph>
</graphml>
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A universal encoder that has learnt nothing."""
    folder = tmp_path_factory.mktemp("encoder")
    CellAutoencoder.for_space(any_space(), kind="universal", latent_dim=8, seed=1).save_pretrained(folder)
    return folder


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network, two genotypes and a graph, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETWORK)
    drawn = Space.load("darts").sample(2, np.random.default_rng(0))
    (tmp_path / "genotypes.jsonl").write_text("\n".join(one.to_json() for one in drawn))
    (tmp_path / "graph.graphml").write_text(GRAPHML)
    return ["nets.py:residual", "genotypes.jsonl", "graph.graphml"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["embed", *map(str, arguments)])


def test_sources_of_any_origin_get_neighbours_predictions_and_a_map(
    encoder: Path, sources: list[str], tmp_path: Path
) -> None:
    result = run(*sources, "--encoder", encoder, "--neighbours", 2, "--out", tmp_path / "points.npz", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    parts = found["parts"]
    assert [one["source"] for one in parts if one["part"] is None] == [
        "nets.py:residual",
        "genotypes.jsonl 0",
        "genotypes.jsonl 1",
        "graph.graphml",
    ]
    # The block that occurs three times is the cell of a residual network, which digits101 has.
    (block,) = [one for one in parts if one["count"] == 3]
    near = block["neighbours"][0]
    assert near["distance"] == pytest.approx(0, abs=1e-4)
    assert near["space"] == "digits101"
    assert near["architecture"]["cells"][0]["ops"] == ["input", "conv3x3", "conv3x3", "output"]
    assert 0 < near["value"] < 1
    assert all(len(one["neighbours"]) == 2 and one["predicted"]["std"] > 0 for one in parts)
    assert parts[-1]["unmapped"] == {"fft": 1}
    with np.load(tmp_path / "points.npz") as points:
        assert points["mu"].shape == (found["rows"], 8)
        assert points["part"].tolist()[-5:] == ["normal", "reduce", "normal", "reduce", "cell"]
    page = (tmp_path / "points.html").read_text()
    assert "genotypes.jsonl 1" in page
    assert '"by_origin":true' in page
    assert found["predicted"] == "validation accuracy in digits101"


def test_the_table_names_each_part_once_and_what_has_no_label(
    encoder: Path, sources: list[str], tmp_path: Path
) -> None:
    asked = ("--encoder", encoder, "--out", tmp_path / "points.csv", "--map", tmp_path / "map.html")
    result = run(sources[0], sources[2], *asked, "--predict", "none")
    assert result.exit_code == 0, result.output
    assert "predicted" not in result.output
    assert (tmp_path / "map.html").is_file()
    assert "read as other: 1 fft" in result.output
    assert result.output.count("graph.graphml") == 1
    assert (tmp_path / "points.csv").read_text().startswith("z0,z1")


def test_architectures_of_a_file_are_told_apart_whatever_their_spaces(encoder: Path, tmp_path: Path) -> None:
    drawn = [Space.load(name).sample(1, np.random.default_rng(0))[0] for name in ("nasbench101", "nasbench201", "enas")]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(one.to_json() for one in drawn))
    result = run(path, path, "--encoder", encoder, "--out", tmp_path / "points.npz", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [one["source"] for one in found["parts"]] == [f"{path} {number}" for number in range(3)]
    assert found["rows"] == 3
    assert len({json.dumps(one["neighbours"]) for one in found["parts"]}) == 3


def test_a_universal_encoder_serves_one_space_too(encoder: Path, tmp_path: Path) -> None:
    cells = tmp_path / "cells.jsonl"
    drawn = Space.load("nasbench201").sample(30, np.random.default_rng(0))
    cells.write_text("\n".join(one.to_json() for one in drawn))
    page = tmp_path / "map.html"
    call = ["map", str(cells), "--out", str(page), "--encoder"]
    result = CliRunner().invoke(app, [*call, f"{encoder}:nasbench201"])
    assert result.exit_code == 0, result.output
    assert page.is_file()
    refused = CliRunner().invoke(app, [*call, str(encoder)])
    assert refused.exit_code == 2
    assert "serves all spaces; say which" in " ".join(refused.output.replace("│", " ").split())
    other = CliRunner().invoke(app, [*call, "nasbench101:nasbench201"])
    assert "nasbench101 is of nasbench101 alone" in " ".join(other.output.replace("│", " ").split())


def test_a_network_needs_a_universal_encoder(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETWORK)
    result = run(f"{tmp_path}/nets.py:residual", "--encoder", "nasbench101", "--out", tmp_path / "points.csv")
    assert result.exit_code == 2
    assert "networks go with --encoder universal" in " ".join(result.output.replace("│", " ").split())


def test_what_cannot_be_embedded_is_refused(encoder: Path, tmp_path: Path) -> None:
    out = ("--encoder", encoder, "--out", tmp_path / "points.csv")
    (tmp_path / "nets.py").write_text(NETWORK)
    for source, named in (
        (tmp_path / "missing.json", "expected FILE.onnx, FILE.py:NAME or a file"),
        (f"{tmp_path}/nets.py:absent", "absent"),
    ):
        result = run(source, *out)
        assert result.exit_code != 0
        assert named in result.output
    (tmp_path / "graph.graphml").write_text(GRAPHML)
    result = run(tmp_path / "graph.graphml", *out, "--predict", "digits101:beauty")
    assert result.exit_code == 2
    assert "is no metric" in result.output
    result = run(tmp_path / "graph.graphml", *out, "--predict", "nowhere")
    assert result.exit_code != 0
    assert "nowhere" in result.output
    assert not (tmp_path / "points.csv").exists()


@pytest.mark.parametrize("option", ["--out", "--map"])
def test_what_is_read_is_not_overwritten(encoder: Path, tmp_path: Path, option: str) -> None:
    path = tmp_path / "graph.csv"
    path.write_text(GRAPHML)
    asked = {"--out": tmp_path / "points.csv", "--map": tmp_path / "map.html"} | {option: path}
    result = run(path, "--encoder", encoder, *(part for pair in asked.items() for part in pair))
    assert result.exit_code == 2
    assert option in result.output
    assert path.read_text() == GRAPHML


def test_large_graphs_come_in_blocks(encoder: Path, tmp_path: Path) -> None:
    ops = ("input", *(("conv3x3", "maxpool3x3", "conv1x1") * 40), "output")
    path = tmp_path / "long.graphml"
    path.write_text(to_graphml(Cell(ops, frozenset((number, number + 1) for number in range(len(ops) - 1)))))
    result = run(path, "--encoder", encoder, "--out", tmp_path / "points.csv", "--predict", "none", "--json")
    assert result.exit_code == 0, result.output
    parts = json.loads(result.stdout)["parts"]
    assert [(one["part"], one["count"]) for one in parts] == [(None, 1), ("block 0", 40)]
