from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphnas.analysis import TrainingSplit
from graphnas.cell import Architecture
from graphnas.cli.console import BadData
from graphnas.cli.labels import read_labels, with_labels
from graphnas.spaces import Space

NB101 = Space.load("nasbench101")
NB201 = Space.load("nasbench201")
CELL = '{""matrix"": [[0, 1, 0], [0, 0, 1], [0, 0, 0]], ""ops"": [""input"", ""conv3x3-bn-relu"", ""output""]}'


def test_all_notations_are_read_and_equal_architectures_averaged(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    own = CELL.replace(
        '""matrix"": [[0, 1, 0], [0, 0, 1], [0, 0, 0]]', '""adjacency"": [[0, 1, 0], [0, 0, 1], [0, 0, 0]]'
    )
    skip = '{""space"": ""nasbench101"", ""cells"": [{""ops"": [""input"", ""output""], ""edges"": [[0, 1]]}]}'
    path.write_text(f'\ufeffarchitecture,value,seed\n"{CELL}",1,x\n"{own}",2.5,y\n"{skip}",-1e-1,z\n', encoding="utf-8")
    found = read_labels(path, NB101)
    assert sorted((one.cells[0].size, value) for one, value in found.values()) == [(2, -0.1), (3, 1.75)]
    for key, (one, _) in found.items():
        assert key == NB101.hash(one)


def test_strings_of_a_parquet_file_are_read(tmp_path: Path) -> None:
    texts = [
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    ]
    pq.write_table(pa.table({"architecture": texts, "value": [1, 2]}), tmp_path / "labels.parquet")
    assert sorted(value for _, value in read_labels(tmp_path / "labels.parquet", NB201).values()) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "expected one column architecture, but got "),
        ("architecture,accuracy\nx,1\n", "expected one column value, but got architecture, accuracy"),
        ("value,value\n1,2\n", "expected one column architecture, but got value, value"),
        ("architecture,value\nx\n", "row 0: expected 2 fields, but got 1"),
        (f'architecture,value\n"{CELL}",high\n', "row 0, column value: expected a number, but got 'high'"),
        (
            f'architecture,value\n"{CELL}",1\n"{CELL}",nan\n',
            "row 1, column value: expected a number of at most 1e+15",
        ),
        (
            f'architecture,value\n"{CELL}",1e300\n',
            "of at most 1e+15, but got 1e+300",
        ),
        (f'architecture,value\n"{CELL}",1\nconv,2\n', "row 1, column architecture: Expecting value"),
        ('architecture,value\n"{""space"": 1}",2\n', "row 0, column architecture: "),
        (
            'architecture,value\n"{""matrix"": [[0, 1], [0, 0]], ""ops"": [""input"", ""conv9x9""]}",2\n',
            "row 0, column architecture: ",
        ),
        (f'architecture,value\n"{CELL}",1\n"{CELL}",2\n', "two or more different architectures with labels, but got 1"),
    ],
)
def test_wrong_files_are_refused_with_the_place(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(BadData) as refused:
        read_labels(path, NB101)
    assert str(refused.value).startswith(f"{path}: ")
    assert reason in str(refused.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BadData, match=r"labels\.parquet: "):
        read_labels(tmp_path / "labels.parquet", NB101)
    with pytest.raises(BadData, match=r"labels\.xlsx: expected a name that ends in \.csv or \.parquet"):
        read_labels(tmp_path / "labels.xlsx", NB101)
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_labels(tmp_path / "none.csv", NB101)


def test_labels_go_to_the_training_architectures_and_others_are_added() -> None:
    drawn = Space.load("nasbench101", max_vertices=5).enumerate_arrays().take(slice(100, 130))
    split = TrainingSplit(drawn.take(slice(0, 10)), drawn.take(slice(10, 20)))
    hashes = NB101.hashes(drawn)
    architectures = NB101.from_arrays(drawn)
    # One of the training set, one that was held out, one of neither.
    labels = {hashes[row]: (architectures[row], float(row)) for row in (12, 3, 25)}
    found = with_labels(split, labels, NB101)
    assert (found.known, found.added) == (3, [hashes[3], hashes[25]])
    assert found.split.train.n == 12
    assert found.split.held_out.n == 9
    assert hashes[3] not in NB101.hashes(found.split.held_out)
    given = dict(zip(NB101.hashes(found.split.train), found.values.tolist(), strict=True))
    assert {key: value for key, value in given.items() if not math.isnan(value)} == {
        key: value for key, (_, value) in labels.items()
    }


def test_the_cells_of_an_architecture_stay_together() -> None:
    space = Space.load("darts")
    drawn = space.sample(6, np.random.default_rng(0))
    arrays = space.to_arrays(drawn)
    split = TrainingSplit(space.take(arrays, np.arange(2)), space.take(arrays, np.arange(2, 4)))
    labels = {space.hash(drawn[row]): (drawn[row], float(row)) for row in (0, 3, 5)}
    found = with_labels(split, labels, space)
    assert found.split.held_out.n == 2
    assert found.split.train.n == 8
    np.testing.assert_equal(found.values, [math.nan, 3.0, 0.0, 5.0])
    assert space.hashes(found.split.train) == [space.hash(drawn[row]) for row in (2, 3, 0, 5)]
    assert isinstance(drawn[0], Architecture)
