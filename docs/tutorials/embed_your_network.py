"""# Embed your own network

A network that was made elsewhere is traced, taken apart into blocks, and put into the latent space that all spaces
share: what is it like, and what do trainings of cells like it let expect?
"""

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.analysis import KnownCells, embed_network, points_of, predict_values
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import Digits101Table
from graphnas.importing import coarsen, macro_structure, recognise_cells, trace
from graphnas.report.terminal import cell_text
from graphnas.spaces import Space

torch.set_num_threads(1)

# %%
# A small residual network, as anybody would write it.


def unit(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """A convolution with its normalisation."""
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out))


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = unit(channels, channels), unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`n x channels x height x width` to the same."""
        return torch.relu(self.second(torch.relu(self.first(x))) + x)


network = nn.Sequential(
    unit(3, 16), nn.ReLU(), Block(16), Block(16), unit(16, 32, 2), nn.ReLU(), Block(32), Block(32),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
)  # fmt: skip

# %%
# Tracing gives operators; what belongs together becomes one vertex, such as a convolution with its normalisation and
# its activation. Whatever could not be mapped is counted and named.

graph = coarsen(trace(network, torch.zeros(2, 3, 32, 32)))
print(f"{graph.mapping.operators} operators, {graph.mapping.share:.0%} known: {dict(graph.mapping.vertices)}")

# %%
# Blocks that repeat are found, so that the network becomes a sequence of blocks.

macro = macro_structure(graph)
for number, block in enumerate(macro.blocks):
    print(f"\nblock {number}, {block.count} times")
    print(cell_text(block.cell))

# %%
# Some are cells of a known space, so that its tables and its own encoder can be asked about them.

for one in recognise_cells(graph, macro, [Space.load("nasbench101")]):
    print(f"\na cell of {one.space}, {len(one.places)} times")
    print(cell_text(one.architecture.cells[0]))

# %%
# Whether they are or not, the universal encoder has a place for every block and for the network as a whole.

encoder = CellAutoencoder.from_pretrained("universal")
embedded = embed_network(encoder, "mine", macro)
points = points_of(embedded)

# %%
# Which of the cells that others trained are they like, and what can be expected of them? Far from all that was trained,
# a prediction is a guess: distances are in those that known cells have from each other.

table = Digits101Table.open()
cells = table.architectures(range(len(table)))
known = KnownCells.of(encoder, Space.load("digits101"), cells, table.column("validation_accuracy").astype(float))
distances, rows = known.nearest(np.stack(list(points.values())), 1)
values = predict_values(known, np.stack(list(points.values())))
for number, name in enumerate(points):
    expected, nearest = values[number], rows[number, 0]
    print(f"\n{name}: {expected.mean:.3f} ± {expected.std:.3f}, {expected.distance:.1f} usual distances away")
    print(f"nearest is a cell that reached {known.values[nearest]:.3f}")
    print(cell_text(cells[nearest].cells[0]))
