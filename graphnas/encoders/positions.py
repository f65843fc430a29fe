"""Codes of a vertex's place in canonical order, for any number of vertices."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def position_codes(v: int, width: int, *, device: torch.device | str = "cpu") -> Tensor:
    """`v x width` sinusoids of the places 0 to `v - 1` (Vaswani et al. 2017, Sec. 3.5), shortest period 2.

    The longest period is about 64, the most vertices that a space may have, so that every frequency tells places apart.
    """
    place = torch.arange(v, dtype=torch.float32, device=device)[:, None]
    count = width // 2
    frequency = math.pi * torch.logspace(0, -5, count, base=2, device=device)
    angle = place * frequency
    return torch.cat([angle.sin(), angle.cos(), torch.zeros(v, width - 2 * count, device=device)], dim=1)
