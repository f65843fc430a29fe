from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphnas.evaluate import DARTSTable, NASBench201Table
from graphnas.spaces import Space
from graphnas.surrogates import Archive, split

SPACE = Space.load("nasbench101")


@pytest.fixture
def archive() -> Archive:
    cells = SPACE.sample(40, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    # Each of twenty architectures twice, by different samplers.
    samplers = ["random"] * 20 + ["evolution"] * 20
    return Archive.of(SPACE, cells[:20] * 2, rng.uniform(0.8, 0.9, 40), samplers=samplers, seconds=np.arange(40.0))


def test_a_file_holds_all_of_it(archive: Archive, tmp_path: Path) -> None:
    archive.write(tmp_path / "trainings.parquet")
    again = Archive.read(tmp_path / "trainings.parquet", SPACE)
    assert again.samplers == archive.samplers
    np.testing.assert_array_equal(again.values, archive.values)
    np.testing.assert_array_equal(again.seconds, archive.seconds)
    assert SPACE.hashes(again.cells) == SPACE.hashes(archive.cells)
    assert len(archive.digest()) == 16
    assert archive.take(np.arange(39)).digest() != archive.digest()


def test_a_class_is_on_one_side_only(archive: Archive) -> None:
    fitted, tested = split(archive, test=0.2)
    assert len(fitted) + len(tested) == 40
    assert not set(SPACE.hashes(fitted.cells)) & set(SPACE.hashes(tested.cells))
    assert set(tested.samplers) == {"random", "evolution"}
    assert len(set(archive.groups().tolist())) == len(set(SPACE.hashes(archive.cells)))


def test_samplers_of_few_trainings_are_drawn_from_together(archive: Archive) -> None:
    each = replace(archive, samplers=tuple(f"sampler {number % 20}" for number in range(40)))
    _, tested = split(each)
    assert 2 <= len(tested) <= 4
    with pytest.raises(ValueError, match="Expected two or more different architectures"):
        split(archive.take(np.array([0, 20])))


def test_a_sampler_need_not_be_known(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    archive.write(path)
    table = pq.read_table(path)
    names = pa.array([None, 3, *[4] * 38])
    pq.write_table(table.set_column(table.column_names.index("sampler"), "sampler", names), path)
    assert Archive.read(path, SPACE).samplers == ("unknown", "3", *["4"] * 38)
    nothing = pa.array([*table["architecture"].to_pylist()[:2], None, *table["architecture"].to_pylist()[3:]])
    pq.write_table(table.set_column(table.column_names.index("architecture"), "architecture", nothing), path)
    with pytest.raises(ValueError, match=r"some\.parquet, row 2: expected an architecture as JSON, but got null"):
        Archive.read(path, SPACE)
    values = archive.values.copy()
    values[[1, 2]] = np.nan
    with pytest.raises(ValueError, match="Expected finite values, but 2 of 40 are not"):
        Archive.of(SPACE, archive.cells, values)


def test_two_become_one(archive: Archive) -> None:
    both = archive.joined(archive.take(np.array([3])))
    assert len(both) == 41
    assert both.values[-1] == archive.values[3]
    assert both.samplers[-1] == archive.samplers[3]


def test_what_is_no_archive_is_refused(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"some\.parquet: expected a Parquet file of trainings"):
        Archive.read(path, SPACE)
    pq.write_table(pa.table({"architecture": ["{}"]}), path)
    with pytest.raises(ValueError, match=r"some\.parquet: expected the columns .*, but value is missing"):
        Archive.read(path, SPACE)
    pq.write_table(pa.table({"architecture": ["{}"], "value": [0.5]}), path)
    with pytest.raises(ValueError, match=r"some\.parquet: "):
        Archive.read(path, SPACE)
    with pytest.raises(ValueError, match=r"Expected 40 values, one for each training, but got shape \(39,\)"):
        Archive.of(SPACE, archive.cells, archive.values[:39])
    with pytest.raises(ValueError, match="Expected 40 samplers and seconds, but got 1"):
        Archive.of(SPACE, archive.cells, archive.values, samplers=["random"])


def test_rows_of_tables() -> None:
    try:
        darts, cells = DARTSTable.open(), NASBench201Table.open()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    archive = Archive.of_table(Space.load("darts"), darts)
    assert len(archive) == 545
    assert archive.seconds.min() > 100
    assert archive.values.max() == pytest.approx(0.9437, abs=1e-4)
    latency = Archive.of_table(Space.load("nasbench201"), cells, "lat_ms_pixel3", rows=np.arange(5))
    np.testing.assert_array_equal(latency.values, -cells.column("lat_ms_pixel3")[:5])
    with pytest.raises(ValueError, match="'accuracy' is no metric of"):
        Archive.of_table(Space.load("darts"), darts, "accuracy")
