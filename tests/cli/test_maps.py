from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.main import app
from graphnas.spaces import Space


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def content(path: Path) -> dict[str, Any]:
    found = re.findall(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return json.loads(found[0])


def test_a_search_and_a_file_before_random_cells(tmp_path: Path) -> None:
    search = tmp_path / "mine"
    command = ("search", "nasbench201", "--objective", "proxy:parameters", "--sampler", "random", "--trials", 8)
    assert run(*command, "--out", search).exit_code == 0
    cells = tmp_path / "cells.json"
    space = Space.load("nasbench201")
    cells.write_text(json.dumps([json.loads(one.to_json()) for one in space.sample(3, np.random.default_rng(0))]))
    out = tmp_path / "map.html"
    command = ("map", search, cells, "--encoder", "nasbench201", "--background", 20, "--out", out)
    result = run(*command, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"file": str(out), "architectures": 31, "bytes": out.stat().st_size}
    data = content(out)
    assert [(group["name"], group["count"]) for group in data["groups"]] == [("random", 20), ("mine", 8), ("cells", 3)]
    path = data["groups"][1]["path"]
    assert path[0] == 20
    assert path == sorted(path)
    assert {metric["name"] for metric in data["metrics"]} >= {"value", "trial", "parameters", "macs"}
    assert data["names"][20].startswith("trial 0, random")
    assert data["names"][28] == "entry 0"


@pytest.mark.slow
def test_clusters_are_laid_out_by_umap_alike_each_time(tmp_path: Path) -> None:
    pytest.importorskip("umap")
    cells, places = tmp_path / "cells.json", []
    space = Space.load("nasbench201")
    cells.write_text(json.dumps([json.loads(one.to_json()) for one in space.sample(40, np.random.default_rng(0))]))
    for name in ("one", "two"):
        out = tmp_path / f"{name}.html"
        result = run("map", cells, "--encoder", "nasbench201", "--plane", "umap", "--out", out)
        assert result.exit_code == 0, result.stderr
        data = content(out)
        assert data["axes"] == ["first coordinate", "second coordinate"]
        places.append((data["x"], data["y"]))
    assert places[0] == places[1]


def test_a_missing_umap_is_named_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    cells = tmp_path / "cells.json"
    space = Space.load("nasbench201")
    cells.write_text(space.sample(1, np.random.default_rng(0))[0].to_json())
    result = run(
        "map", cells, "--encoder", "nasbench201", "--background", 5, "--plane", "umap", "--out", tmp_path / "m"
    )
    assert result.exit_code == 1
    assert "pip install 'graphnas[umap]'" in result.stderr


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    result = run("map", tmp_path / "none.json", "--encoder", "nasbench201", "--out", tmp_path / "map.html")
    assert result.exit_code == 3
    result = run("map", "table:none.parquet", "--encoder", "nasbench201", "--out", tmp_path / "map.html")
    assert result.exit_code == 3
    assert not (tmp_path / "map.html").exists()
