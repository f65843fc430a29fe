"""The records of NAS-Bench-101's official files: one training run of one cell each (Ying et al. 2019).

A record is the JSON list [module hash, epochs, adjacency, operations, metrics]: the adjacency matrix row by row as
one string of 0 and 1, the operations joined by commas, and a protocol buffer message in base64. Field 1 of the
message, repeated, holds what was evaluated at the start, half-way and at the end of the training, field 2 the number
of trainable parameters.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
from typing import NamedTuple

from graphnas.cell import Cell
from graphnas.formats.nasbench101 import from_matrix, module_hash
from graphnas.formats.protobuf import read_fields

EPOCHS = (4, 12, 36, 108)
"""Lengths of the published trainings; the smaller file has the last one only."""

_EVALUATIONS = ("start", "half-way", "end")
_FIELDS = {2: "training_time", 3: "train_accuracy", 4: "validation_accuracy", 5: "test_accuracy"}


class TrainingRun(NamedTuple):
    """What one record says."""

    cell: Cell
    """The cell, vertices in the record's order."""
    module_hash: str
    """Its 32 hex digits, found equal to our own."""
    epochs: int
    """Length of the training."""
    parameters: int
    """Trainable parameters of the network."""
    seconds: float
    """Training time up to the last epoch."""
    train_accuracy: float
    """Fraction of 10,000 training images, at the end."""
    validation_accuracy: float
    """Fraction of the validation images, at the end."""
    test_accuracy: float
    """Fraction of the test images, at the end."""


def read_training_run(data: bytes) -> TrainingRun:
    """The content of a record.

    Raises:
        ValueError: saying which part of the record is wrong.
    """
    try:
        record = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"expected JSON, but {error}") from None
    if not isinstance(record, list) or [type(part) for part in record] != [str, int, str, str, str]:
        raise ValueError(f"expected [hash, epochs, adjacency, operations, metrics], but got {record!r:.100}")
    published, epochs, adjacency, operations, metrics = record
    if epochs not in EPOCHS:
        raise ValueError(f"expected a training of {', '.join(map(str, EPOCHS))} epochs, but got {epochs}")
    cell, own = _specification(adjacency, operations)
    if published != own:
        raise ValueError(f"expected the module hash {own} of its cell, but got {published:.40}")
    try:
        # Some encoders break base64 into lines.
        message = base64.b64decode("".join(metrics.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected metrics in base64, but {error}") from None
    try:
        return TrainingRun(cell, own, epochs, *_metrics(message))
    except ValueError as error:
        raise ValueError(f"metrics: {error}") from None


# Hashing is the expensive part of a record, and the runs of a cell may follow one another.
@functools.lru_cache(maxsize=2**10)
def _specification(adjacency: str, operations: str) -> tuple[Cell, str]:
    ops = operations.split(",")
    if len(ops) > 7 or len(adjacency) != len(ops) ** 2 or set(adjacency) - {"0", "1"}:
        raise ValueError(
            f"expected at most 7 operations and an adjacency of their number squared, in 0 and 1, but got "
            f"{len(ops)} operations and {adjacency!r:.60}"
        )
    bits = [int(digit) for digit in adjacency]
    cell = from_matrix([bits[row * len(ops) : (row + 1) * len(ops)] for row in range(len(ops))], ops)
    return cell, module_hash(cell)


def _metrics(message: bytes) -> tuple[int, float, float, float, float]:
    """Parameters, seconds, and the accuracies on training, validation and test images at the end."""
    evaluations, parameters = [], None
    for number, value in read_fields(message):
        if number == 1:
            evaluations.append(value)
        elif number == 2:
            parameters = value
    if len(evaluations) != len(_EVALUATIONS) or not isinstance(evaluations[-1], bytes):
        raise ValueError(f"expected evaluations at {', '.join(_EVALUATIONS)}, but got {len(evaluations)}")
    if not isinstance(parameters, int) or parameters >= 2**31:
        raise ValueError(f"expected trainable_parameters below 2**31, but got {parameters!r}")
    last = dict(read_fields(evaluations[-1]))
    figures = []
    for number, name in _FIELDS.items():
        figure = last.get(number)
        if not isinstance(figure, float) or not math.isfinite(figure) or figure < 0 or (number > 2 and figure > 1):
            kind = "an accuracy from 0 to 1" if number > 2 else "seconds"
            raise ValueError(f"expected {name} to be {kind}, but got {figure!r:.60}")
        figures.append(figure)
    seconds, train, validation, test = figures
    return parameters, seconds, train, validation, test
