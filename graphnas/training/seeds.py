"""Seeds of trainings."""

from __future__ import annotations

import operator
from typing import SupportsIndex

LARGEST_SEED = 2**63 - 1
"""What torch's generators take, with room to spare."""


def check_seed(seed: SupportsIndex) -> int:
    """A seed as a Python integer.

    Raises:
        ValueError: if it is no whole number from 0 to `LARGEST_SEED`.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number <= LARGEST_SEED:
        raise ValueError(f"Expected seed to be a whole number from 0 to 2**63 - 1, but got {seed!r}")
    return number
