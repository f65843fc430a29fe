import base64
import json
from pathlib import Path

import numpy as np
import official_files
import pytest
from official_files import FIRST_HASH, FIRST_MATRIX, FIRST_OPS

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import NASBench101Table, TableEvaluator, data_folder, import_file
from graphnas.formats.nasbench101_records import read_training_run

CHAIN = ("010", "001", "000")
# Module hashes of input -> operation -> output, and of input -> output.
CHAINS = {
    "3": "b49ac8c578b4561d79ac7087988f1c61",
    "1": "d1269d9156ddc027c40473008192958a",
    "m": "53cee42601ad14d661bb6878031d6acb",
}
EMPTY = "043721b9c7fe8c5fad811d47d83132ec"


def chain(op: str, epochs: int, validation: float, test: float, seconds: float = 100.0) -> bytes:
    return official_files.record(
        CHAINS[op], epochs, CHAIN, f"i{op}o", parameters=1000, validation=validation, test=test, seconds=seconds
    )


def ten_records() -> list[bytes]:
    """The documented cell with its three published trainings, and three others, in no order of their hashes."""
    first = [
        official_files.record(
            FIRST_HASH, 108, FIRST_MATRIX, FIRST_OPS, parameters=8_555_530, validation=valid, test=test, seconds=seconds
        )
        for valid, test, seconds in (
            (0.9241786599159241, 0.9211738705635071, 1769.1279296875),
            (0.9245793223381042, 0.9190705418586731, 1768.2509765625),
            (0.9304887652397156, 0.9215745329856873, 1768.9759521484375),
        )
    ]
    empty = official_files.record(
        EMPTY, 108, ("01", "00"), "io", parameters=882_570, validation=0.75, test=0.625, seconds=284.0
    )
    return [
        chain("1", 108, 0.5, 0.25, 90.0),
        chain("1", 108, 0.75, 0.5, 110.0),
        chain("1", 12, 0.25, 0.125, 12.0),
        empty,
        *first,
        chain("3", 12, 0.5, 0.5, 14.0),
        chain("1", 12, 0.5, 0.375, 16.0),
        chain("1", 108, 0.25, 0.375, 100.0),
    ]


def write(path: Path, records: list[bytes]) -> Path:
    path.write_bytes(official_files.tfrecord(records))
    return path


@pytest.fixture
def table(tmp_path: Path) -> NASBench101Table:
    found = import_file(write(tmp_path / "nasbench_full.tfrecord", ten_records()), tmp_path / "data")
    assert found.path == tmp_path / "data" / "nasbench101.npz"
    assert (found.rows, found.detail) == (4, "4 of 423,624 cells converted")
    return NASBench101Table.open(tmp_path / "data")


def architecture(letters: str, matrix: tuple[str, ...]) -> Architecture:
    names = {"i": "input", "3": "conv3x3", "1": "conv1x1", "m": "maxpool3x3", "o": "output"}
    edges = {(i, j) for i, row in enumerate(matrix) for j, bit in enumerate(row) if bit == "1"}
    return Architecture("nasbench101", (Cell(tuple(names[letter] for letter in letters), frozenset(edges)),))


def test_ten_records_become_four_rows_in_the_order_of_their_hashes(table: NASBench101Table) -> None:
    hashes = [row.tobytes().hex() for row in table.column("hash")]
    assert hashes == [FIRST_HASH, EMPTY, CHAINS["3"], CHAINS["1"]]
    assert table.column("n_vertices").tolist() == [7, 2, 3, 3]
    assert table.column("adj_bits")[1:].tolist() == [0b1, 0b101, 0b101]
    assert table.column("ops").tolist() == [[0, 2, 0, 0, 1], [255] * 5, [0] + [255] * 4, [1] + [255] * 4]
    assert table.column("params").tolist() == [8_555_530, 882_570, 1000, 1000]
    # Multiply-adds of the published networks, counted by hand elsewhere.
    assert table.column("macs").tolist() == [1_261_835_264, 137_761_792, 1_496_716_288, 288_756_736]
    cell = table.cells().take([0])
    assert np.argwhere(cell.adjacency[0]).tolist() == [
        [i, j] for i, row in enumerate(FIRST_MATRIX) for j, bit in enumerate(row) if bit == "1"
    ]


def test_runs_stand_in_the_order_of_the_file_beside_their_mean(table: NASBench101Table) -> None:
    nan = pytest.approx(np.nan, nan_ok=True)
    runs = [[table.column(f"val_acc_run{run}")[row] for run in range(3)] for row in range(4)]
    assert runs[0] == pytest.approx([0.9241786599159241, 0.9245793223381042, 0.9304887652397156])
    assert runs[1:] == [[0.75, nan, nan], [nan, nan, nan], [0.5, 0.75, 0.25]]
    assert table.column("test_acc_run2")[3] == 0.375
    means = table.column("val_acc_mean").tolist()
    assert means == [pytest.approx(0.9264155824979146), 0.75, nan, 0.5]
    assert table.column("test_acc_mean").tolist() == [pytest.approx(0.9206063151359558), 0.625, nan, 0.375]
    assert table.column("train_time_s").tolist() == [pytest.approx(1768.784953, abs=1e-3), 284, nan, 100]
    assert table.column("val_acc_run0_e12").tolist() == [nan, nan, 0.5, 0.25]
    assert table.column("val_acc_mean_e12").tolist() == [nan, nan, 0.5, 0.375]
    assert table.column("test_acc_mean_e12").tolist() == [nan, nan, 0.5, 0.25]
    assert table.column("train_time_s_e12").tolist() == [nan, nan, 14, 14]
    assert not [name for name in table.columns if name.endswith(("_e4", "_e36"))]


def test_the_table_is_queried_like_any_other(table: NASBench101Table) -> None:
    evaluator = TableEvaluator(table)
    assert evaluator.query == "val_acc_mean"
    result = evaluator.evaluate(architecture(FIRST_OPS, FIRST_MATRIX))
    assert result.value == pytest.approx(0.9264156)
    assert result.metrics["test_acc_mean"] == pytest.approx(0.9206063)
    assert result.cost == pytest.approx(1768.785, abs=1e-3)
    early = evaluator.evaluate(architecture("i1o", CHAIN), budget=12)
    assert (early.value, early.cost) == (0.375, 14)


def test_the_smaller_file_has_no_shorter_trainings(tmp_path: Path) -> None:
    records = [one for one in ten_records() if json.loads(one)[1] == 108]
    found = import_file(write(tmp_path / "nasbench_only108.tfrecord", records), tmp_path)
    table = NASBench101Table(found.path)
    assert table.budgets("val_acc_mean") == {108: "val_acc_mean"}
    assert found.rows == 3


def test_progress_counts_all_bytes(tmp_path: Path) -> None:
    steps: list[int] = []
    path = write(tmp_path / "some.tfrecord", ten_records())
    import_file(path, tmp_path, progress=steps.append)
    assert sum(steps) == path.stat().st_size


def test_wrong_records_are_named_and_leave_nothing(tmp_path: Path) -> None:
    records = ten_records()
    wrong_hash = json.loads(records[4])
    wrong_hash[0] = CHAINS["3"]
    other_size = official_files.record(
        CHAINS["1"], 108, CHAIN, "i1o", parameters=7, validation=0.5, test=0.5, seconds=1.0
    )
    message = json.loads(records[4])
    message[4] = base64.b64encode(b"\x08").decode()
    for place, record, reason in (
        (
            4,
            json.dumps(wrong_hash).encode(),
            f"expected the module hash {FIRST_HASH} of its cell, but got {CHAINS['3']}",
        ),
        (9, other_size, f"expected 1,000 parameters, as in an earlier record of {CHAINS['1']}, but got 7"),
        (9, records[0] + b" ", "at most 3 runs"),
        (4, json.dumps(message).encode(), "metrics: byte 1"),
        (2, b"{}", "expected .hash, epochs, adjacency, operations, metrics."),
    ):
        changed = [*records[:place], record, *records[place + 1 :]]
        if reason == "at most 3 runs":
            place, changed = 10, [*records, records[0]]
        path = write(tmp_path / "wrong.tfrecord", changed)
        with pytest.raises(ValueError, match=rf"wrong\.tfrecord: record {place + 1}: .*{reason}"):
            import_file(path, tmp_path / "data")
        assert not any((tmp_path / "data").iterdir())


def test_corrupted_and_truncated_files_are_named_with_record_and_byte(tmp_path: Path) -> None:
    whole = official_files.tfrecord(ten_records())
    path = tmp_path / "nasbench_full.tfrecord"
    third = len(official_files.tfrecord(ten_records()[:2]))
    for content, reason in (
        (whole[: third + 30], f"record 3 at byte {third:,}: the file ends 30 bytes into it"),
        (whole[: third + 4], f"record 3 at byte {third:,}: the file ends 4 bytes into it"),
        (whole[:-1], "record 10 at byte"),
        (whole[: third + 50] + b"!" + whole[third + 51 :], f"record 3 at byte {third:,}: its data do not match"),
        (whole[:third] + b"!" + whole[third + 1 :], f"record 3 at byte {third:,}: its length does not match"),
        (b"", "expected records, but the file is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"nasbench_full\.tfrecord: {reason}"):
            import_file(path, tmp_path / "data")
    assert not any((tmp_path / "data").iterdir())


TABLE = data_folder() / NASBench101Table.file


@pytest.mark.skipif(not TABLE.is_file(), reason="nasbench101.npz is missing in GRAPHNAS_DATA")
def test_an_imported_cell_agrees_with_the_table_of_all_cells(table: NASBench101Table) -> None:
    whole = NASBench101Table(TABLE)
    cell = architecture(FIRST_OPS, FIRST_MATRIX)
    here, there = table.row(cell), whole.row(cell)
    for ours, theirs in (("test_acc_run0", "test_acc_run0"), ("val_acc_run2", "val_acc_max3_e108"), ("macs", "macs")):
        assert table.column(ours)[here] == whole.column(theirs)[there]
    assert read_training_run(ten_records()[4]).parameters == whole.column("params")[there]
