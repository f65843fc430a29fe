"""Budgets at which candidates are compared."""

from __future__ import annotations


def geometric_budgets(epochs: int, *, factor: int = 3, least: int = 1) -> list[int]:
    """So many epochs and what repeated division leaves of them, down to a least number, smallest first.

    Example:
        >>> geometric_budgets(27)
        [1, 3, 9, 27]
    """
    budgets: list[int] = []
    while epochs >= least:
        budgets.insert(0, epochs)
        epochs //= factor
    return budgets
