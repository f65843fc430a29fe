import base64
import json
from typing import Any

import official_files
import pytest
from official_files import FIRST_HASH, FIRST_MATRIX, FIRST_OPS

from graphnas.cell import Cell
from graphnas.formats.nasbench101_records import read_training_run

FIGURES: dict[str, Any] = {
    "parameters": 8_555_530,
    "seconds": 1769.1279296875,
    "validation": 0.9241786599159241,
    "test": 0.9211738705635071,
}
RECORD = official_files.record(FIRST_HASH, 108, FIRST_MATRIX, FIRST_OPS, **FIGURES)


def test_a_published_run() -> None:
    run = read_training_run(RECORD)
    ops = ("input", "conv3x3", "maxpool3x3", "conv3x3", "conv3x3", "conv1x1", "output")
    edges = frozenset({(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (3, 5), (4, 5), (2, 6), (5, 6)})
    assert run.cell == Cell(ops, edges)
    assert (run.module_hash, run.epochs, run.parameters, run.seconds) == (FIRST_HASH, 108, 8_555_530, 1769.1279296875)
    accuracies = (run.train_accuracy, run.validation_accuracy, run.test_accuracy)
    assert accuracies == (1.0, 0.9241786599159241, 0.9211738705635071)


def test_base64_may_be_broken_into_lines() -> None:
    record = json.loads(RECORD)
    record[4] = base64.encodebytes(base64.b64decode(record[4])).decode()
    assert "\n" in record[4].strip()
    assert read_training_run(json.dumps(record).encode()) == read_training_run(RECORD)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, "0" * 32, f"expected the module hash {FIRST_HASH} of its cell, but got 0000"),
        (0, None, "expected .hash, epochs, adjacency, operations, metrics."),
        (1, 100, "4, 12, 36, 108 epochs, but got 100"),
        (1, True, "expected .hash, epochs"),
        (2, "01", "an adjacency of their number squared"),
        (2, "2" * 49, "in 0 and 1"),
        (2, "1" * 49, "upper triangular"),
        (3, "input,conv3x3,output", "7 operations|3 operations"),
        (3, ",".join(["input", *["conv5x5"] * 5, "output"]), r"ops\[1\]"),
        (4, "?", "expected metrics in base64"),
        (4, "é", "expected metrics in base64"),
        (4, base64.b64encode(b"\x08").decode(), "metrics: byte 1"),
        (4, "", "metrics: expected evaluations at start, half-way, end, but got 0"),
    ],
)
def test_wrong_parts_are_named(place: int, value: object, reason: str) -> None:
    record = json.loads(RECORD)
    record[place] = value
    with pytest.raises(ValueError, match=reason):
        read_training_run(json.dumps(record).encode())


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b"[" * 100_000, b'["a", 108]'])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_training_run(data)


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"validation": 1.5}, "validation_accuracy to be an accuracy from 0 to 1, but got 1.5"),
        ({"test": float("nan")}, "test_accuracy to be an accuracy from 0 to 1, but got nan"),
        ({"seconds": -1.0}, "training_time to be seconds, but got -1.0"),
        ({"parameters": 2**40}, "trainable_parameters below"),
    ],
)
def test_impossible_figures_are_refused(figures: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=f"metrics: expected {reason}"):
        read_training_run(official_files.record(FIRST_HASH, 108, FIRST_MATRIX, FIRST_OPS, **{**FIGURES, **figures}))
