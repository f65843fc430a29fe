"""Where a network can be cut, and what lies between two cuts as a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphnas.cell import OUTPUT, Cell
from graphnas.importing.coarsening import Vertex

_WIRING = ("add", "concat")
_MOST_WAYS = 8  # of cutting what two results lead through
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


def double_cuts(vertices: Sequence[Vertex], start: int, end: int) -> list[list[int]]:
    """Ways to cut what lies between two cuts where only a vertex and the last place that was cut are read further on.

    That is where cells end that read the two before them, as those of NASNet and DARTS do.

    Args:
        vertices: In topological order.
        start: A cut.
        end: The next one.

    Returns:
        The longest ways, and those one place shorter, at most 8: `start`, the places, and `end`.
    """
    furthest: dict[int, int] = {}
    for number in range(start + 1, end + 1):
        for source in vertices[number].sources:
            furthest[source] = number
    before: dict[int, int] = {}
    length, read = {start: 0}, {start}
    for number in range(start + 1, end):
        read = {source for source in (*read, number) if furthest.get(source, 0) > number}
        if len(read) == 2 and number in read:
            (other,) = read - {number}
            if other in length:
                before[number], length[number] = other, length[other] + 1
    longest = max(length.values())
    ways = []
    for last in [number for number in before if length[number] >= longest - 1][-_MOST_WAYS:]:
        way = [end, last]
        while way[-1] in before:
            way.append(before[way[-1]])
        ways.append(way[::-1])
    return ways


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
        The cell; None if a vertex is no operation of the space, the input is read without a projection, something else
        enters or leaves too, or it is larger than any cell.
    """
    if any(first < number < last for number in vertices[-1].sources):
        return None
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
        if any(source not in behind for source in one.sources):
            # It has a second input.
            return None
        feeding = set().union(*(behind[source] for source in one.sources))
        if number in place:
            edges |= {(source, place[number]) for source in feeding}
        behind[number] = {place[number]} if number in place else feeding
    output = len(inner) + 1
    edges |= {(source, output) for source in behind[last]}
    return Cell(("input", *(operations[vertices[number].label] for number in inner), OUTPUT), frozenset(edges))
