"""A trained network as plain PyTorch source that needs no graphnas."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from graphnas.cell import Cell
from graphnas.networks.cell_module import CellModule
from graphnas.networks.stacked import StackedNetwork

_SOURCE = '''\
"""{title}

Needs torch and safetensors. `load()` returns the network with its weights, in evaluation mode.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the image's size, then batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class Cell(nn.Module):
    """The cell that is repeated through the network.

{drawing}
    """

    def __init__(self, in_channels: int, out_channels: int{channel_arguments}) -> None:
        super().__init__()
{layers}

    def forward(self, x: Tensor) -> Tensor:
{steps}


class Network(nn.Module):
    """`n x {in_channels} x height x width` images to `n x {classes}` logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn_relu({in_channels}, {channels}, kernel=3)
        self.cells = nn.Sequential(
{cells}
        )
        self.classifier = nn.Linear({width}, {classes})

    def forward(self, x: Tensor) -> Tensor:
        features = self.cells(self.stem(x))
        return self.classifier(features.mean(dim=(2, 3)))


def load(weights: str | Path = Path(__file__).with_suffix(".safetensors")) -> Network:
    """The trained network, in evaluation mode."""
    network = Network()
    network.load_state_dict(load_file(weights))
    return network.eval()
'''


def export_source(
    network: StackedNetwork,
    folder: str | Path,
    *,
    operations: Mapping[str, Mapping[str, Any]],
    name: str = "best_network",
    title: str = "An image classifier found by architecture search.",
) -> Path:
    """Write a network as a Python file and its weights beside it.

    Args:
        network: A network from `build_network`, usually trained.
        folder: Where `NAME.py` and `NAME.safetensors` are written; created if missing.
        operations: The space's table of operations, which says how each vertex is written.
        name: Name of both files, a Python identifier.
        title: First line of the file's docstring.

    Returns:
        The path of the Python file. It imports torch and safetensors only, and its `load()` gives equal logits.

    Raises:
        ValueError: if `name` is not an identifier or the title not one line of plain text.
    """
    if not name.isidentifier():
        raise ValueError(f"Expected name to be a Python identifier, but got {name!r}")
    if '"' in title or "\\" in title or not title.isprintable():
        raise ValueError(f"Expected title to be one line without quotes or backslashes, but got {title!r}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(_source(network, operations, title), encoding="utf-8")
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(tensors, folder / f"{name}.safetensors")
    return path


def _source(network: StackedNetwork, operations: Mapping[str, Mapping[str, Any]], title: str) -> str:
    blocks = [module for module in network.cells if isinstance(module, CellModule)]
    stem = network.stem[0]
    assert isinstance(stem, nn.Conv2d)
    inner = range(1, blocks[0].output)
    cells = []
    for module in network.cells:
        if isinstance(module, CellModule):
            sizes = (module.channels[0], module.channels[-1], *module.channels[1:-1])
            cells.append(f"Cell({', '.join(map(str, sizes))}),")
        else:
            cells.append("nn.MaxPool2d(2),")
    return _SOURCE.format(
        title=title,
        drawing=textwrap.indent(_drawing(blocks[0].cell), "    "),
        channel_arguments="".join(f", c{j}: int" for j in inner),
        layers=textwrap.indent("\n".join(_layers(blocks, operations)), " " * 8),
        steps=textwrap.indent("\n".join(_steps(blocks)), " " * 8),
        cells=textwrap.indent("\n".join(cells), " " * 12),
        in_channels=stem.in_channels,
        channels=stem.out_channels,
        width=network.classifier.in_features,
        classes=network.classifier.out_features,
    )


def _drawing(cell: Cell) -> str:
    """One line for each vertex with what feeds it."""
    names = ["input", *(f"{j}" for j in range(1, cell.size - 1)), "output"]
    lines = []
    for j in range(1, cell.size):
        sources = [names[i] for i in range(j) if (i, j) in cell.edges]
        operation = "" if j == cell.size - 1 else f" {cell.ops[j]}"
        lines.append(f"{names[j]}{operation} <- {', '.join(sources)}")
    return "\n".join(lines)


def _layers(blocks: list[CellModule], operations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Assignments of the cell's constructor, under the names that `CellModule` gives its modules."""
    block, lines = blocks[0], []
    for j in range(1, block.output + 1):
        channels = f"c{j}" if j < block.output else "out_channels"
        if (0, j) in block.cell.edges:
            lines.append(f"self.project{j} = conv_bn_relu(in_channels, {channels}, kernel=1)")
        if j < block.output:
            table = operations[block.cell.ops[j]]
            kernel = table["kernel"]
            if table["module"] == "conv":
                lines.append(f"self.vertex{j} = conv_bn_relu({channels}, {channels}, kernel={kernel})")
            else:
                lines.append(f"self.vertex{j} = nn.MaxPool2d({kernel}, stride=1, padding={kernel // 2})")
    return lines + [f"self.c{j} = c{j}" for j in range(1, block.output) if _truncates(blocks, j)]


def _truncates(blocks: list[CellModule], j: int) -> bool:
    """Whether a vertex is fed by a wider one and so has to drop channels, in any of the cells."""
    return any(block.channels[i] > block.channels[j] for block in blocks for i in block.sources[j])


def _steps(blocks: list[CellModule]) -> list[str]:
    """Statements of the cell's `forward`, in the same order of additions as `CellModule.forward`."""
    block, lines = blocks[0], []
    for j in range(1, block.output):
        cut = f"[:, : self.c{j}]" if _truncates(blocks, j) else ""
        terms = [f"v{i}{cut}" for i in block.sources[j]]
        if (0, j) in block.cell.edges:
            terms.append(f"self.project{j}(x)")
        lines.append(f"v{j} = self.vertex{j}({' + '.join(terms)})")
    inner = [f"v{i}" for i in block.sources[block.output]]
    terms = [f"torch.cat([{', '.join(inner)}], dim=1)" if len(inner) > 1 else inner[0]] if inner else []
    if (0, block.output) in block.cell.edges:
        terms.append(f"self.project{block.output}(x)")
    return [*lines, f"return {' + '.join(terms)}"]
