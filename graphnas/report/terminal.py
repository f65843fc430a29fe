"""A cell as text: one line a vertex, and a lane for everything that one of them hands on."""

from __future__ import annotations

from collections.abc import Sequence

from graphnas.cell import Architecture, Cell

_ASCII = str.maketrans("─│┐┘┤┬┴┼", "-|.'+-'+")


def cell_text(cell: Cell, *, ascii_only: bool = False) -> str:
    """A drawing of a cell, vertices from the input down.

    From each vertex a line turns down into a lane of its own, from which it turns left again into every vertex that it
    feeds, the last of which ends the lane. A lane that is merely crossed stays a plain vertical stroke.

    Args:
        cell: The cell.
        ascii_only: Whether to draw with characters of ASCII alone.

    Example:
        >>> print(cell_text(Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2), (0, 2)}))))
        input    ─┐
        conv3x3  ─┼─┐
        output   ─┴─┘
    """
    size = cell.size
    last = [max((j for i, j in cell.edges if i == vertex), default=vertex) for vertex in range(size)]
    lanes: list[int | None] = []  # which vertex's line runs in each lane
    width, rows = max(map(len, cell.ops)), []
    for vertex, name in enumerate(cell.ops):
        feeding = {lane for lane, source in enumerate(lanes) if source is not None and (source, vertex) in cell.edges}
        # A line begins beside those that end here, never in their place, where it would seem to go on.
        own = next((lane for lane, source in enumerate([*lanes, None]) if source is None), 0)
        if last[vertex] == vertex:
            own = -1
        elif own == len(lanes):
            lanes.append(vertex)
        else:
            lanes[own] = vertex
        rows.append(f"{name:<{width}}  {_row(lanes, vertex, feeding, own, last)}".rstrip())
        lanes = [None if source is None or last[source] <= vertex else source for source in lanes]
    text = "\n".join(rows)
    return text.translate(_ASCII) if ascii_only else text


def _row(lanes: Sequence[int | None], vertex: int, feeding: set[int], own: int, last: Sequence[int]) -> str:
    """What stands right of a vertex's name."""
    reach = max([own, *feeding], default=-1)
    signs = []
    for lane, source in enumerate(lanes):
        beyond = lane < reach
        if lane == own:
            sign = "┬" if beyond else "┐"
        elif lane in feeding and source is not None:
            ends = last[source] == vertex
            sign = ("┴" if beyond else "┘") if ends else ("┼" if beyond else "┤")
        else:
            sign = " " if source is None else "│"
        passed = lane <= reach
        signs.append(("─" if passed else " ") + ("─" if passed and sign == " " else sign))
    return "".join(signs)


def architecture_text(architecture: Architecture, cell_names: Sequence[str] = (), *, ascii_only: bool = False) -> str:
    """The drawings of all cells below one another, each under its name if there are several.

    Args:
        architecture: Its cells.
        cell_names: Their names.
        ascii_only: As in `cell_text`.
    """
    drawings = [cell_text(cell, ascii_only=ascii_only) for cell in architecture.cells]
    if len(drawings) == 1:
        return drawings[0]
    return "\n\n".join(f"{name}:\n{drawing}" for name, drawing in zip(cell_names, drawings, strict=True))
