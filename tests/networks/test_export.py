import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from networks.every_kind import ARCHITECTURES, SIZES, SPACES, PlainSpace
from safetensors.torch import load_file, save_file

from graphnas.cell import Architecture, Cell
from graphnas.networks import SKELETONS, build_network, export_source
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
CELLS = [
    Cell(("input", "output"), frozenset({(0, 1)})),
    Cell(
        ("input", "conv3x3", "conv1x1", "maxpool3x3", "output"),
        frozenset({(0, 1), (1, 2), (1, 3), (0, 3), (2, 4), (3, 4), (0, 4)}),
    ),
    *(each.cells[0] for each in SPACE.sample(4, np.random.default_rng(0))),
]
SMALL = {"channels": 7, "stacks": 2, "cells_per_stack": 2}
# Run as plain Python in an isolated process, in which graphnas cannot be imported.
READER = """
import sys
sys.modules["graphnas"] = None
import importlib.util
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)  # the order of additions depends on it
images = load_file("images.safetensors")["images"]
logits = {}
for path in sorted(Path().glob("network_*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    logits[path.stem] = module.load()(images).detach()
save_file(logits, "logits.safetensors")
"""


def test_exported_sources_give_equal_logits_without_graphnas(tmp_path: Path) -> None:
    networks = {
        f"network_{name}": build_network(ARCHITECTURES[name], SPACES[name], in_channels=1) for name in SKELETONS
    }
    for number, cell in enumerate(CELLS):
        architecture = Architecture("nasbench101", (cell,))
        networks[f"network_{number}"] = build_network(architecture, SPACE, sizes=SMALL, in_channels=1)
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    save_file({"images": images}, tmp_path / "images.safetensors")
    expected = {}
    for name, network in networks.items():
        with torch.no_grad():
            network(torch.randn(8, 1, 8, 8))  # running statistics other than the initial ones
            path = export_source(network, tmp_path, name=name)
            expected[name] = network.eval()(images)
        assert "graphnas" not in path.read_text()
    subprocess.run([sys.executable, "-I", "-c", READER], cwd=tmp_path, check=True, timeout=100)
    logits = load_file(tmp_path / "logits.safetensors")
    assert set(logits) == set(expected)
    for name, values in expected.items():
        torch.testing.assert_close(logits[name], values, rtol=0, atol=0)


def test_a_source_draws_its_cell_and_holds_what_it_uses(tmp_path: Path) -> None:
    network = build_network(Architecture("nasbench101", (CELLS[1],)), SPACE, sizes=SMALL)
    source = export_source(network, tmp_path).read_text()
    assert "The cell, each vertex with what feeds it:\n\n    1 conv3x3 <- input\n    2 conv1x1 <- 1\n" in source
    assert "    3 maxpool3x3 <- input, 1\n    output <- input, 2, 3\n" in source
    assert '                    ("maxpool3x3", [0, 1]),\n' in source
    assert '                "conv3x3": partial(conv, kernel=3),\n' in source
    assert "stacks=[[[7, 4, 4, 3, 7], [7, 4, 4, 3, 7]], [[7, 7, 7, 7, 14], [14, 7, 7, 7, 14]]]," in source
    assert "def max_pool(" in source
    assert "def avg_pool(" not in source
    assert "Skeleton" not in source
    assert (tmp_path / "best_network.safetensors").is_file()


def test_both_cells_are_drawn(tmp_path: Path) -> None:
    source = export_source(build_network(ARCHITECTURES["darts"], SPACES["darts"]), tmp_path).read_text()
    assert "The normal cell, each vertex with what feeds it:\n\n    2 conv3 <- input0\n" in source
    assert "The reduce cell, each vertex with what feeds it:\n\n    2 skip <- input0\n" in source
    assert "    4 sum <- 2, 3\n" in source


def test_names_and_titles_are_validated(tmp_path: Path) -> None:
    network = build_network(Architecture("nasbench101", (CELLS[0],)), SPACE, sizes=SMALL)
    for name in ("my-network", "class", "__main__", "../network", ""):
        with pytest.raises(ValueError, match=f"identifier that can be imported, but got '{name}'"):
            export_source(network, tmp_path, name=name)
    for name in ("torch", "safetensors", "numpy", "pathlib", "json", "graphnas"):
        with pytest.raises(ValueError, match=f"that of no other module, but got '{name}'"):
            export_source(network, tmp_path, name=name)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="title to be one line without quotes"):
        export_source(network, tmp_path, title='"""')


@pytest.mark.parametrize("name", ['"""', "a\\", "two\nlines"])
def test_names_of_operations_cannot_break_out_of_the_docstring(tmp_path: Path, name: str) -> None:
    space = PlainSpace("enas", {"skeleton": "enas", **SIZES["enas"]}, {name: {"module": "identity"}})
    cell = Cell(("input", name, "output"), frozenset({(0, 1), (1, 2)}))
    network = build_network(Architecture("enas", (cell,)), space)
    with pytest.raises(ValueError, match="operation's name to be one line without quotes"):
        export_source(network, tmp_path)
