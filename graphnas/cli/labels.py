"""Files of labels: architectures with a figure each, for encoders that are to predict it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graphnas.cli.architectures import read_architecture
from graphnas.cli.console import BadData
from graphnas.cli.tabular import read_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from graphnas.analysis import TrainingSplit
    from graphnas.cell import Architecture
    from graphnas.spaces import Space

_COLUMNS = ("architecture", "value")


class Labelled(NamedTuple):
    """A split whose training side holds every labelled architecture."""

    split: TrainingSplit
    """The architectures; none that has a label is held out, unless one of its class was in the training set."""
    values: NDArray[np.float64]
    """Label of each training architecture, NaN where there is none."""
    known: int
    """Different labelled architectures."""
    added: list[str]
    """Hashes of those of them that were not in the training set."""


def read_labels(path: Path, space: Space) -> dict[str, tuple[Architecture, float]]:
    """The architectures and labels of a CSV or Parquet file, by `Space.hash`; of equal ones, the mean label.

    Args:
        path: A table with the columns `architecture`, in any notation that `graphnas embed` reads, and `value`, a
            number, larger is better. Other columns are passed over.
        space: The space of the architectures.

    Raises:
        BadData: naming the file, the row, counted from 0, and the reason.
    """
    from graphnas.encoders.performance import LARGEST_LABEL

    found: dict[str, tuple[Architecture, list[float]]] = {}
    texts, values = _columns(path)
    for row, (text, value) in enumerate(zip(texts, values, strict=True)):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise BadData(f"{path}: row {row}, column value: expected a number, but got {value!r:.100}") from None
        if not abs(number) <= LARGEST_LABEL:
            raise BadData(
                f"{path}: row {row}, column value: expected a number of at most {LARGEST_LABEL:g}, but got {number}"
            )
        try:
            architecture = read_architecture(str(text), space)
        except (ValueError, RecursionError) as error:
            raise BadData(f"{path}: row {row}, column architecture: {error}") from None
        found.setdefault(space.hash(architecture), (architecture, []))[1].append(number)
    if len(found) < 2:
        raise BadData(f"{path}: expected two or more different architectures with labels, but got {len(found)}")
    return {key: (architecture, sum(numbers) / len(numbers)) for key, (architecture, numbers) in found.items()}


def with_labels(split: TrainingSplit, labels: dict[str, tuple[Architecture, float]], space: Space) -> Labelled:
    """Give the training architectures their labels, and add the labelled ones that are not among them.

    Those that were held out are no longer, as the encoder is fitted to them.
    """
    import numpy as np

    from graphnas.analysis import TrainingSplit
    from graphnas.cell import stack_arrays

    parts, width = len(space.cell_names), space.topology.max_vertices
    hashes = space.hashes(split.train)
    among = set(hashes)
    missing = {key: one for key, one in labels.items() if key not in among}
    values = [labels[key][1] if key in labels else math.nan for key in hashes]
    train = split.train
    if missing:
        further = space.to_arrays([architecture for architecture, _ in missing.values()])
        # As wide as the widest: architectures may have vertices that the space drops.
        width = max(width, train.ops.shape[1], further.ops.shape[1])
        train = stack_arrays([train.padded(width), further.padded(width)])
        values += [value for _, value in missing.values()]
    apart = np.flatnonzero([key not in missing for key in space.hashes(split.held_out)])
    held_out = space.take(split.held_out, apart) if len(apart) * parts < split.held_out.n else split.held_out
    return Labelled(TrainingSplit(held_out, train), np.array(values), len(labels), list(missing))


def _columns(path: Path) -> tuple[list[Any], list[Any]]:
    """The columns `architecture` and `value`."""
    names, rows = read_rows(path, _COLUMNS.__contains__)
    absent = [name for name in _COLUMNS if names.count(name) != 1]
    if absent:
        raise BadData(f"{path}: expected one column {absent[0]}, but got {', '.join(names):.200}")
    architectures, values = ([row[names.index(name)] for row in rows] for name in _COLUMNS)
    return architectures, values
