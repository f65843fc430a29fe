"""Spaces with every kind of operation, one for each skeleton, and an architecture that holds them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphnas.cell import Architecture, Cell

OPERATIONS: dict[str, dict[str, Any]] = {
    "conv3": {"module": "conv", "kernel": 3},
    "relu_conv1": {"module": "relu_conv", "kernel": 1},
    "separable5": {"module": "separable_conv", "kernel": 5},
    "sep3": {"module": "sep_conv", "kernel": 3},
    "dil5": {"module": "dil_conv", "kernel": 5, "dilation": 2},
    "avg3": {"module": "avg_pool", "kernel": 3},
    "max3": {"module": "max_pool", "kernel": 3},
    "skip": {"module": "identity"},
    "none": {"module": "zero"},
}


@dataclass(frozen=True)
class PlainSpace:
    """What `build_network` needs of a space."""

    name: str
    network: dict[str, Any]
    operations: dict[str, dict[str, Any]]


def one_input_cell(*ops: str) -> Cell:
    """A chain of operations in which each vertex is also fed by the last but one; two vertices feed the output."""
    last = len(ops) + 1
    edges = {(i, i + 1) for i in range(last)} | {(i, i + 2) for i in range(last - 1)}
    return Cell(("input", *ops, "output"), frozenset(edges))


def two_input_cell(*ops: str) -> Cell:
    """Nodes of two operations, on the last two states."""
    labels, edges, states = ["input0", "input1"], set(), [0, 1]
    for first, second in zip(ops[::2], ops[1::2], strict=True):
        at = len(labels)
        edges |= {(states[-2], at), (states[-1], at + 1), (at, at + 2), (at + 1, at + 2)}
        labels += [first, second, "sum"]
        states.append(at + 2)
    edges |= {(state, len(labels)) for state in states[2:]}
    return Cell((*labels, "output"), frozenset(edges))


_ONE = (one_input_cell(*OPERATIONS),)
_TWO = (two_input_cell(*OPERATIONS, "skip"), two_input_cell("skip", *OPERATIONS))
SIZES = {
    "stacked": {"stacks": 2, "cells_per_stack": 2, "channels": 5},
    "nasbench201": {"cells_per_stage": 1, "channels": 4},
    "darts": {"layers": 4, "channels": 3},
    "enas": {"channels": 4},
}
SPACES = {name: PlainSpace(name, {"skeleton": name, **sizes}, OPERATIONS) for name, sizes in SIZES.items()}
ARCHITECTURES = {name: Architecture(name, _TWO if name == "darts" else _ONE) for name in SIZES}
