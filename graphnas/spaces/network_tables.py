"""What the tables `[operations]` and `[network]` of a space file may hold; `graphnas.networks` builds from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODULE_OPTIONS: dict[str, tuple[str, ...]] = {
    "avg_pool": ("kernel",),
    "conv": ("kernel",),
    "dil_conv": ("kernel", "dilation"),
    "identity": (),
    "max_pool": ("kernel",),
    "relu_conv": ("kernel",),
    "sep_conv": ("kernel",),
    "separable_conv": ("kernel",),
    "zero": (),
}
"""Modules of operations, each with the options that it needs."""

SKELETON_SIZES: dict[str, tuple[str, ...]] = {
    "stacked": ("stacks", "cells_per_stack", "channels"),
    "nasbench201": ("cells_per_stage", "channels"),
    "darts": ("layers", "channels"),
    "enas": ("channels",),
}
"""Skeletons of networks, each with the sizes that may be given."""


def check_operation(table: Mapping[str, Any]) -> None:
    """Refuse a table of an operation that no module can be built from.

    Args:
        table: A module and its options, such as `{"module": "conv", "kernel": 3}`.

    Raises:
        ValueError: if the table names an unknown module, or an option is missing, unknown or out of range.
    """
    kind = table.get("module")
    if not isinstance(kind, str) or kind not in MODULE_OPTIONS:
        raise ValueError(f"Expected an operation's module to be one of {sorted(MODULE_OPTIONS)}, but got {kind!r}")
    options = MODULE_OPTIONS[kind]
    given = {name: value for name, value in table.items() if name != "module"}
    if set(given) != set(options):
        expected = f"the options {', '.join(options)}" if options else "no options"
        raise ValueError(f"Expected {expected} for the module {kind!r}, but got {', '.join(given) or 'none'}")
    for name, value in given.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"Expected {name} of the module {kind!r} to be a positive integer, but got {value!r}")
    if given.get("kernel", 1) % 2 == 0:
        raise ValueError(f"Expected an odd kernel size, but got {given['kernel']!r}")
