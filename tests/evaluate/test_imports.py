import bz2
import io
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import official_files
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from graphnas.data_folder import data_folder
from graphnas.evaluate import TABLES, NASBench101Table, import_file, open_table

TIMES = "nasbench201_runs1000.parquet"


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def zipped(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)


def test_pickles_are_refused_unread_with_the_reason(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "executed"))
    archive = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, archive)
    folder = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    (folder / "meta.pickle.pbz2").write_bytes(bz2.compress(trap))
    (tmp_path / "NAS-Bench-201-v1_1-096897.pth").write_bytes(trap)
    (tmp_path / "renamed").write_bytes(trap)
    (tmp_path / "packed").write_bytes(bz2.compress(trap))
    (tmp_path / "archive").write_bytes(archive.getvalue())
    zipped(tmp_path / "nasbench101.npz", "hash.pkl", trap)
    for name in ("NAS-Bench-201-v1_1-096897.pth", "renamed", "packed", "archive", "nasbench101.npz", folder.name):
        with pytest.raises(ValueError, match=rf"{name} holds pickles, .* executes code .* nasbench201\.parquet"):
            import_file(tmp_path / name, tmp_path / "data")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "data").exists()


def test_arrays_of_objects_are_not_unpickled(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "executed")], dtype=object)
    np.savez(tmp_path / "nasbench101.npz", hash=np.zeros((1, 16), dtype=np.uint8), n_vertices=trap)
    with pytest.raises(ValueError, match=r"nasbench101\.npz: "):
        import_file(tmp_path / "nasbench101.npz", tmp_path / "data")
    with pytest.raises(ValueError, match="column n_vertices cannot be read"):
        NASBench101Table(tmp_path / "nasbench101.npz").column("n_vertices")
    assert not (tmp_path / "executed").exists()


def test_files_that_are_none_of_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"notes\.txt: expected the official nasbench_only108\.tfrecord .* b'hell'"):
        import_file(tmp_path / "notes.txt", tmp_path / "data")
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet: expected the official"):
        import_file(tmp_path / "other.parquet", tmp_path / "data")
    with pytest.raises(FileNotFoundError, match=r"missing\.tfrecord is missing"):
        import_file(tmp_path / "missing.tfrecord")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a file, but got a folder"):
        import_file(tmp_path / "empty")
    (tmp_path / "cut.tfrecord").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"cut\.tfrecord: record 1 at byte 0: the file ends 3 bytes into it"):
        import_file(tmp_path / "cut.tfrecord", tmp_path / "data")


def test_the_data_folder_is_the_default_and_its_files_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path / "data"))
    record = official_files.record(
        "043721b9c7fe8c5fad811d47d83132ec", 108, ("01", "00"), "io", parameters=9, validation=0.5, test=0.5, seconds=1.0
    )
    # The content tells, not the name.
    (tmp_path / "records").write_bytes(official_files.framed(record))
    found = import_file(tmp_path / "records")
    assert found.path == tmp_path / "data" / "nasbench101.npz"
    assert len(open_table("nasbench101")) == 1
    before = found.path.read_bytes()
    with pytest.raises(FileExistsError, match=r"nasbench101\.npz is there already"):
        import_file(tmp_path / "records")
    assert found.path.read_bytes() == before


def test_tables_that_are_not_whole_are_not_copied(tmp_path: Path) -> None:
    record = official_files.record(
        "043721b9c7fe8c5fad811d47d83132ec", 108, ("01", "00"), "io", parameters=9, validation=0.5, test=0.5, seconds=1.0
    )
    (tmp_path / "some.tfrecord").write_bytes(official_files.framed(record))
    path = import_file(tmp_path / "some.tfrecord", tmp_path).path
    with pytest.raises(ValueError, match=r"nasbench101\.npz: expected 423,624 different cells, but got 1 rows"):
        import_file(path, tmp_path / "data")


@pytest.mark.parametrize("name", [*(table.file for table in TABLES.values() if not table.shipped), TIMES])
def test_whole_tables_are_checked_and_copied(tmp_path: Path, name: str) -> None:
    source = data_folder() / name
    if not source.is_file():
        pytest.skip(f"{name} is missing in GRAPHNAS_DATA")
    shutil.copyfile(source, tmp_path / "another-name")
    found = import_file(tmp_path / "another-name", tmp_path / "data")
    assert found.path == tmp_path / "data" / name
    assert found.path.read_bytes() == source.read_bytes()
    assert found.detail.endswith("; copied")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]
