import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from graphnas.cell import Architecture, Cell
from graphnas.networks import build_network, export_source
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
# Run as plain Python in an isolated process, in which graphnas cannot be imported.
READER = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)  # the order of additions depends on it
try:
    import graphnas
except ImportError:
    pass
else:
    raise SystemExit("graphnas is importable")
images = load_file("images.safetensors")["images"]
logits = {}
for path in sorted(Path().glob("network_*.py")):
    module = __import__(path.stem)
    logits[path.stem] = module.load()(images).detach()
save_file(logits, "logits.safetensors")
"""


def test_exported_source_gives_equal_logits_without_graphnas(tmp_path: Path) -> None:
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    save_file({"images": images}, tmp_path / "images.safetensors")
    expected = {}
    for number, cell in enumerate(CELLS):
        network = build_network(
            Architecture("nasbench101", (cell,)),
            SPACE,
            channels=7,
            stacks=2,
            cells_per_stack=2,
            in_channels=1,
        )
        with torch.no_grad():
            network(torch.randn(8, 1, 8, 8))  # running statistics other than the initial ones
            path = export_source(network, tmp_path, operations=SPACE.operations, name=f"network_{number}")
            expected[f"network_{number}"] = network.eval()(images)
        assert "graphnas" not in path.read_text()
    program = f"import sys; sys.path = [p for p in sys.path if p and {str(Path.cwd())!r} != p] + ['.']\n" + READER
    blocked = "import sys; sys.modules['graphnas'] = None\n" + program
    subprocess.run([sys.executable, "-I", "-c", blocked], cwd=tmp_path, check=True, timeout=100)
    logits = load_file(tmp_path / "logits.safetensors")
    assert set(logits) == set(expected)
    for name, values in expected.items():
        torch.testing.assert_close(logits[name], values, rtol=0, atol=0)


def test_source_reads_like_the_cell(tmp_path: Path) -> None:
    network = build_network(Architecture("nasbench101", (CELLS[1],)), SPACE, channels=5, stacks=1, cells_per_stack=1)
    source = export_source(network, tmp_path, operations=SPACE.operations).read_text()
    assert "v3 = self.vertex3(v1[:, : self.c3] + self.project3(x))" in source
    assert "return torch.cat([v2, v3], dim=1) + self.project4(x)" in source
    assert "3 maxpool3x3 <- input, 1" in source
    assert (tmp_path / "best_network.safetensors").is_file()


def test_names_and_titles_are_validated(tmp_path: Path) -> None:
    network = build_network(Architecture("nasbench101", (CELLS[0],)), SPACE, channels=2)
    with pytest.raises(ValueError, match="identifier, but got 'my-network'"):
        export_source(network, tmp_path, operations=SPACE.operations, name="my-network")
    with pytest.raises(ValueError, match="one line without quotes"):
        export_source(network, tmp_path, operations=SPACE.operations, title='"""')
