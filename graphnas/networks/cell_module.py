"""A cell as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphnas.cell import Cell, to_arrays
from graphnas.networks.channels import vertex_channels
from graphnas.networks.operations import build_operation, conv_bn_relu
from graphnas.networks.skeleton import vocabulary


class CellModule(nn.Module):
    """The computation of one cell (Ying et al. 2019, Sec. 2.4).

    Each inner vertex adds up the tensors that feed it, truncated to its own channels, where the cell's input is first
    projected by a 1 x 1 convolution; then it applies its operation. The output concatenates the inner vertices
    that feed it, and adds the projected input if the input feeds it too.

    Args:
        cell: A pruned cell with one input, whose input reaches the output.
        operations: The space's table of operations.
        in_channels: Channels that enter.
        out_channels: Channels that leave.

    Raises:
        ValueError: if there is no path from input to output or more vertices feed the output than it has channels.
    """

    def __init__(
        self, cell: Cell, operations: Mapping[str, Mapping[str, Any]], in_channels: int, out_channels: int
    ) -> None:
        super().__init__()
        if not cell.edges:
            raise ValueError("Expected a cell whose input reaches its output, but no path joins them")
        channels = vertex_channels(to_arrays([cell], vocabulary(operations)), in_channels, out_channels)[0].tolist()
        self.cell = cell
        self.channels: tuple[int, ...] = tuple(channels)
        self.output = cell.size - 1
        self.sources: list[list[int]] = [[i for i in range(1, j) if (i, j) in cell.edges] for j in range(cell.size)]
        if min(channels) < 1:
            raise ValueError(
                f"Expected at least as many channels as vertices that feed the output, "
                f"{len(self.sources[self.output])}, but got {out_channels} channels"
            )
        for j in range(1, cell.size):
            if (0, j) in cell.edges:
                self.add_module(f"project{j}", conv_bn_relu(in_channels, channels[j], 1))
            if j < self.output:
                self.add_module(f"vertex{j}", build_operation(operations[cell.ops[j]], channels[j]))

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width -> n x out_channels x height x width`."""
        layers = self._modules
        values = [x]
        for j in range(1, self.output):
            terms = [values[i][:, : self.channels[j]] for i in self.sources[j]]
            if (project := layers.get(f"project{j}")) is not None:
                terms.append(project(x))
            values.append(self.get_submodule(f"vertex{j}")(_sum(terms)))
        inner = [values[i] for i in self.sources[self.output]]
        terms = [torch.cat(inner, dim=1)] if inner else []
        if (project := layers.get(f"project{self.output}")) is not None:
            terms.append(project(x))
        return _sum(terms)


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
