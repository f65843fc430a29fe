"""# Embed your own network

A network that was made elsewhere is traced, taken apart into blocks, and, where a block is a cell of a known space, put
into its latent space: what is it like, and what is known of cells like it?
"""

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.encoders import CellAutoencoder
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
# Some are cells of NAS-Bench-101, whose encoder says which cells they are like.

space = Space.load("nasbench101")
encoder = CellAutoencoder.from_pretrained("nasbench101")
found = recognise_cells(graph, macro, [space])
point, _ = encoder.encode([found[0].architecture])
others = space.sample(2_000, np.random.default_rng(0))
distance = (encoder.encode(others)[0] - point).norm(dim=1)
for row in distance.argsort()[:3].tolist():
    print(f"\nat a distance of {distance[row]:.2f}")
    print(cell_text(others[row].cells[0]))
