"""Parameters and multiply-adds: of many cells' networks by arithmetic, and of one module by running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graphnas.cell import CellArrays, IntArray, prune_arrays
from graphnas.networks.build import read_skeleton
from graphnas.networks.channels import vertex_channels
from graphnas.networks.operations import Operation, make_operations
from graphnas.networks.stacked import StackedSkeleton
from graphnas.spaces import Space


def count_costs(
    arrays: CellArrays,
    operations: Mapping[str, Mapping[str, Any]],
    skeleton: StackedSkeleton | Mapping[str, Any],
    *,
    classes: int = 10,
    in_channels: int = 3,
    image_size: int = 32,
) -> tuple[IntArray, IntArray]:
    """Trainable parameters and multiply-adds of the stacked networks of many cells, without building one.

    Args:
        arrays: `n` cells; dead vertices are dropped first.
        operations: The space's table, in the order of the operations' codes.
        skeleton: Sizes of the network, or a space's `[network]` table.
        classes: Number of outputs of the classifier.
        in_channels: Channels of the image.
        image_size: Height and width of the image in pixels.

    Returns:
        `n` parameters of convolutions, batch normalisations and the dense layer, and `n` multiply-adds of the
        convolutions and the dense layer for one image.

    Raises:
        ValueError: if the skeleton is another one or a table is wrong.
    """
    if isinstance(skeleton, Mapping):
        known = read_skeleton(skeleton)
        if not isinstance(known, StackedSkeleton):
            raise ValueError(f"Expected the skeleton 'stacked', but got {skeleton['skeleton']!r}")
        skeleton = known
    arrays = prune_arrays(arrays)
    n, v = arrays.ops.shape
    vertex = np.arange(v)
    output = arrays.size[:, None] - 1
    # By operation code, weights for each square of channels, weights and normalisations for each channel; 0 for the
    # input, the output and, at the end, padding.
    per_code = np.zeros((2 + len(operations) + 1, 3), dtype=np.int64)
    for code, operation in enumerate(make_operations(operations).values(), start=2):
        per_code[code] = _coefficients(operation)
    square, linear, norms = np.moveaxis(per_code[arrays.ops], -1, 0)
    # The cell's input is projected to the channels of each vertex that it feeds, the output included.
    projected = arrays.adjacency[:, 0] & (vertex > 0) & (vertex <= output)

    channels, pixels = skeleton.channels, image_size**2
    weights = np.full(n, 9 * in_channels * channels, dtype=np.int64)
    normalised = np.full(n, channels, dtype=np.int64)
    macs = weights * pixels
    side = image_size
    for stack, cells in enumerate(skeleton.cell_channels()):
        if stack:
            side //= 2
        for (width, out), repeats in _runs(cells):
            c = vertex_channels(arrays, width, out)
            cell_weights = (square * c * c + linear * c + projected * width * c).sum(1)
            weights += repeats * cell_weights
            normalised += repeats * (norms * c + projected * c).sum(1)
            macs += repeats * cell_weights * side**2
    dense = cells[-1][1] * classes
    return weights + 2 * normalised + dense + classes, macs + dense


def log_costs(space: Space, cells: CellArrays) -> NDArray[np.float64] | None:
    """Natural logarithms of the costs of a space's networks: what cells say of themselves through their skeleton.

    Args:
        space: The space.
        cells: `n` of its cells.

    Returns:
        `n x 2` logarithms of parameters and multiply-adds (`count_costs`); None where the skeleton is not a stack of
        one cell, and costs are little more than sums over the operations.
    """
    if space.network.get("skeleton") != "stacked":
        return None
    return np.log(np.column_stack(count_costs(cells, space.operations, space.network)).astype(np.float64))


def _coefficients(operation: Operation) -> tuple[int, int, int]:
    """`a`, `b` and `m` of an operation with `a c^2 + b c` weights and `m c` normalisations on `c` channels.

    At stride 1 each weight is multiplied once for every pixel.
    """
    with torch.device("meta"):
        one, two = operation(1, 1), operation(2, 1)
    first, second = (
        sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Conv2d)) for module in (one, two)
    )
    square = second // 2 - first
    return square, first - square, sum(isinstance(layer, nn.BatchNorm2d) for layer in one.modules())


def _runs(cells: list[tuple[int, int]]) -> list[tuple[tuple[int, int], int]]:
    return [(pair, cells.count(pair)) for pair in dict.fromkeys(cells)]


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def count_macs(module: nn.Module, input_size: tuple[int, int, int]) -> int:
    """Multiply-adds of the convolutions and dense layers for one input, found by running the module on zeros.

    Args:
        module: A network of one tensor; also on the meta device, where nothing is computed.
        input_size: Channels, height and width of the input.
    """
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            taps = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        else:
            taps = inputs[0].shape[-1]
        total += output.numel() * taps

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    like = next(module.parameters(), torch.empty(0))
    training = {layer: layer.training for layer in module.modules()}
    try:
        module.eval()
        with torch.no_grad():
            module(like.new_zeros((1, *input_size)))
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in training.items():
            layer.training = mode
    return total
