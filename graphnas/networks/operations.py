"""The operations of a space file as torch modules.

An operation is a function from channels and stride to a module that keeps the number of channels and divides the
image's size by the stride, rounded up. `conv` and `separable_conv` end in ReLU (Ying et al. 2019, Pham et al. 2018);
`relu_conv`, `sep_conv` and `dil_conv` begin with it (Dong & Yang 2020, Liu et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnas.spaces.network_tables import check_operation

Operation = Callable[[int, int], nn.Module]
"""From channels and stride to a module."""


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias that divides the image's size by the stride, then batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias that divides the image's size by the stride, then batch normalisation and ReLU."""
    return nn.Sequential(*conv_bn(in_channels, out_channels, kernel, stride), nn.ReLU())


def relu_conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, then a convolution without bias that divides the image's size by the stride, and batch normalisation."""
    return nn.Sequential(nn.ReLU(), *conv_bn(in_channels, out_channels, kernel, stride))


def depthwise_conv(channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias of each channel by itself that divides the image's size by the stride."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


class FactorizedReduce(nn.Module):
    """Half the image's size without losing pixels: ReLU, two 1 x 1 convolutions of stride 2, one of them shifted.

    Each gives half of the channels, which are normalised together. A size that is odd is rounded up: the shifted
    convolution sees zeros beyond the last row and column.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.even = nn.Conv2d(in_channels, out_channels - half, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width -> n x out_channels x ceil(height / 2) x ceil(width / 2)`."""
        x = F.relu(x)
        shifted = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))[..., 1:, 1:]
        result: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return result


class Zero(nn.Module):
    """Zeros in place of the image."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the image's shape, its size divided by the stride."""
        return torch.zeros_like(x[..., :: self.stride, :: self.stride])


def conv(channels: int, stride: int, *, kernel: int) -> nn.Module:
    """Convolution, normalisation, ReLU."""
    return conv_bn_relu(channels, channels, kernel, stride)


def relu_conv(channels: int, stride: int, *, kernel: int) -> nn.Module:
    """ReLU, convolution, normalisation."""
    return relu_conv_bn(channels, channels, kernel, stride)


def separable_conv(channels: int, stride: int, *, kernel: int) -> nn.Module:
    """A convolution of each channel by itself, then a 1 x 1 convolution, normalisation, ReLU."""
    return nn.Sequential(depthwise_conv(channels, kernel, stride), *conv_bn_relu(channels, channels, 1))


def sep_conv(channels: int, stride: int, *, kernel: int) -> nn.Module:
    """Twice ReLU, a convolution of each channel by itself, a 1 x 1 convolution, normalisation."""
    first = dil_conv(channels, stride, kernel=kernel, dilation=1)
    return nn.Sequential(*first, *dil_conv(channels, 1, kernel=kernel, dilation=1))


def dil_conv(channels: int, stride: int, *, kernel: int, dilation: int) -> nn.Sequential:
    """ReLU, a dilated convolution of each channel by itself, a 1 x 1 convolution, normalisation."""
    return nn.Sequential(
        nn.ReLU(),
        depthwise_conv(channels, kernel, stride, dilation),
        *conv_bn(channels, channels, 1),
    )


def avg_pool(channels: int, stride: int, *, kernel: int) -> nn.Module:
    """The average of each neighbourhood, of its pixels inside the image."""
    return nn.AvgPool2d(kernel, stride, padding=kernel // 2, count_include_pad=False)


def max_pool(channels: int, stride: int, *, kernel: int) -> nn.Module:
    """The largest value of each neighbourhood."""
    return nn.MaxPool2d(kernel, stride, padding=kernel // 2)


def identity(channels: int, stride: int) -> nn.Module:
    """The image itself; a factorised reduction where the stride is 2."""
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)


def zero(channels: int, stride: int) -> nn.Module:
    """No image at all."""
    return Zero(stride)


MODULES: dict[str, Callable[..., nn.Module]] = {
    "avg_pool": avg_pool,
    "conv": conv,
    "dil_conv": dil_conv,
    "identity": identity,
    "max_pool": max_pool,
    "relu_conv": relu_conv,
    "sep_conv": sep_conv,
    "separable_conv": separable_conv,
    "zero": zero,
}
"""What `module` in a space file's table of operations may name; `MODULE_OPTIONS` has their options."""


def make_operation(table: Mapping[str, Any]) -> Operation:
    """The operation that a table of the space file describes.

    Args:
        table: A module and its options, such as `{"module": "conv", "kernel": 3}`.

    Raises:
        ValueError: if the table names an unknown module, or an option is missing, unknown or out of range.
    """
    check_operation(table)
    module = MODULES[table["module"]]
    options = {name: value for name, value in table.items() if name != "module"}
    return partial(module, **options) if options else module


def make_operations(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Operation]:
    """The operations of a space file by name.

    Raises:
        ValueError: naming the operation and what is wrong with its table.
    """
    operations = {}
    for name, table in tables.items():
        try:
            operations[name] = make_operation(table)
        except ValueError as error:
            raise ValueError(f"operations.{name}: {error}") from None
    return operations
