"""Pooling at the speed of the processor's vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class FastPools:
    """Makes a network's pools work on images whose channels lie side by side.

    On a CPU torch pools these several times faster than images whose channels lie one after the other, to the same
    values and gradients, bit for bit; to change the layout and back costs far less.

    Args:
        network: Is given hooks.
    """

    def __init__(self, network: nn.Module) -> None:
        pools = [module for module in network.modules() if isinstance(module, nn.MaxPool2d | nn.AvgPool2d)]
        self._handles = [
            *(pool.register_forward_pre_hook(_side_by_side) for pool in pools),
            *(pool.register_forward_hook(_one_after_the_other) for pool in pools),
        ]

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()


class _Layout(torch.autograd.Function):
    """Changes a tensor's layout; its gradient, which would keep the new layout for all before, gets the old one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, after: torch.memory_format, before: torch.memory_format) -> Tensor:
        ctx.before = before
        return x.contiguous(memory_format=after)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].contiguous(memory_format=ctx.before), None, None


def _side_by_side(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Any]:
    return (_Layout.apply(given[0], torch.channels_last, torch.contiguous_format),)  # type: ignore[no-untyped-call]


def _one_after_the_other(module: nn.Module, given: Any, pooled: Tensor) -> Any:
    return _Layout.apply(pooled, torch.contiguous_format, torch.channels_last)  # type: ignore[no-untyped-call]
