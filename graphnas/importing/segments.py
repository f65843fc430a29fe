"""Where a network can be cut, and what lies between two cuts as a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphnas.cell import OUTPUT, Cell
from graphnas.importing.coarsening import Vertex

_WIRING = ("add", "concat")
_MOST_INNER = 32  # vertices of a cell that can be one of a space


def cuts(vertices: Sequence[Vertex]) -> list[int]:
    """Vertices that every path from the input to the output goes through, in their order.

    Args:
        vertices: In topological order; all lie on a path from the one input to the output.
    """
    furthest = list(range(len(vertices)))
    for number, one in enumerate(vertices):
        for source in one.sources:
            furthest[source] = number
    found, reach = [], 0
    for number in range(len(vertices)):
        # No edge leads from before this vertex to behind it.
        if reach <= number:
            found.append(number)
        reach = max(reach, furthest[number])
    return found


def wired(
    vertices: Sequence[Vertex], first: int, last: int, operations: Mapping[str, str], *, projected: bool = False
) -> Cell | None:
    """What lies between two cuts as a cell whose vertices add up what feeds them.

    Sums and concatenations are no vertices but the wiring between these.

    Args:
        vertices: Of the whole network.
        first: The cut whose result enters the cell.
        last: The cut whose result leaves it.
        operations: Operations of a space by the labels of vertices.
        projected: Whether the cell begins with 1 x 1 convolutions of its input that are no vertices, one for each
            vertex that reads it (Ying et al. 2019, Sec. 2.4).

    Returns:
        The cell; None if a vertex is no operation of the space, the input is read without a projection, or it is larger
        than any cell.
    """
    inner = [number for number in range(first + 1, last + 1) if vertices[number].label not in _WIRING]
    projections = {
        number for number in inner if projected and vertices[number].label == "conv1x1"
        and vertices[number].sources == (first,)
    }  # fmt: skip
    inner = [number for number in inner if number not in projections]
    if len(inner) > _MOST_INNER:
        return None
    place = {number: vertex for vertex, number in enumerate(inner, start=1)}
    if any(vertices[number].label not in operations for number in inner):
        return None
    # What feeds whoever reads a vertex: itself, or what a sum or a concatenation is made of.
    behind: dict[int, set[int]] = {first: {0}}
    edges: set[tuple[int, int]] = set()
    for number in range(first + 1, last + 1):
        one = vertices[number]
        if projected and first in one.sources and number not in projections:
            return None
        feeding = set().union(*(behind[source] for source in one.sources))
        if number in place:
            edges |= {(source, place[number]) for source in feeding}
        behind[number] = {place[number]} if number in place else feeding
    output = len(inner) + 1
    edges |= {(source, output) for source in behind[last]}
    return Cell(("input", *(operations[vertices[number].label] for number in inner), OUTPUT), frozenset(edges))
