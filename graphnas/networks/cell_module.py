"""The vertices of a cell as a torch module.

Modules know a cell as a list with one pair for each vertex, inputs first and the output last: the name of its
operation, and the numbers of the vertices that feed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn


def add(terms: Sequence[Tensor]) -> Tensor:
    """The sum of one tensor or more, from the first to the last."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class Vertices(nn.Module):
    """The inner vertices of a cell; each applies its operation to the sum of the vertices that feed it.

    Args:
        cell: For each vertex its operation and the vertices that feed it; inputs, which nothing feeds, come first.
        operations: For each operation the function from channels and stride to its module.
        channels: Channels of every vertex.
        stride: Stride of the operations that read an input.
    """

    def __init__(
        self,
        cell: Sequence[tuple[str, Sequence[int]]],
        operations: Mapping[str, Callable[[int, int], nn.Module]],
        channels: int,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.sources = [sources for _, sources in cell]
        self.inputs = sum(not sources for sources in self.sources)
        for j in range(self.inputs, len(cell) - 1):
            operation, sources = cell[j]
            module = operations[operation](channels, stride if sources[0] < self.inputs else 1)
            self.add_module(f"vertex{j}", module)

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """The cell's inputs to the values of the vertices that feed its output, all `n x channels x height x width`."""
        values = list(inputs)
        for j in range(self.inputs, len(self.sources) - 1):
            values.append(self.get_submodule(f"vertex{j}")(add([values[i] for i in self.sources[j]])))
        return [values[i] for i in self.sources[-1]]
