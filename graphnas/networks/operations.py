"""The operations of a space file as torch modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the image's size, without bias, then batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _conv(channels: int, kernel: int) -> nn.Module:
    return conv_bn_relu(channels, channels, kernel)


def _max_pool(channels: int, kernel: int) -> nn.Module:
    return nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)


_MODULES: dict[str, Callable[[int, int], nn.Module]] = {"conv": _conv, "max_pool": _max_pool}


def build_operation(table: Mapping[str, Any], channels: int) -> nn.Module:
    """The module of one vertex; it keeps the number of channels and the image's size.

    Args:
        table: An operation of the space file, such as `{"module": "conv", "kernel": 3}`.
        channels: Channels that enter and leave.

    Raises:
        ValueError: if the table names an unknown module or a kernel that is not odd.
    """
    kind, kernel = table.get("module"), table.get("kernel")
    if kind not in _MODULES:
        raise ValueError(f"Expected an operation's module to be one of {sorted(_MODULES)}, but got {kind!r}")
    if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"Expected an odd kernel size, but got {kernel!r}")
    return _MODULES[kind](channels, kernel)
