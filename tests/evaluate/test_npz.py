import zipfile
from pathlib import Path

import numpy as np
import pytest

from graphnas.evaluate.npz import npz_names, read_npz


def test_arrays_are_read_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.eye(2))
    assert npz_names(tmp_path / "a.npz") == ("x", "y")
    assert read_npz(tmp_path / "a.npz", "x").tolist() == [0, 1, 2]


def test_other_files_and_damaged_members_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100.0), o=np.array([None]))
    whole = path.read_bytes()
    with pytest.raises(ValueError, match=r"a\.npz: expected an array 'z', but got x, o"):
        read_npz(path, "z")
    with pytest.raises(ValueError, match=r"a\.npz: column o cannot be read: Object arrays"):
        read_npz(path, "o")
    start = whole.index(b"NUMPY") + 200
    path.write_bytes(whole[:start] + bytes([whole[start] ^ 255]) + whole[start + 1 :])
    with pytest.raises(ValueError, match=r"a\.npz: column x cannot be read: Bad CRC-32"):
        read_npz(path, "x")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"raw")
    with pytest.raises(ValueError, match=r"a\.npz: column x cannot be read: it is no array"):
        read_npz(path, "x")
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz: expected an npz file of columns"):
            npz_names(path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(ValueError, match=r"a\.npz: expected an npz file of columns"):
        npz_names(path)
    with pytest.raises(FileNotFoundError):
        npz_names(tmp_path / "none.npz")
