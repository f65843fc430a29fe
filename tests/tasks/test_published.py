"""Tasks that are read from published files: from small ones of the same form, and from real ones where they are."""

from __future__ import annotations

import gzip
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graphnas.data_folder import data_folder
from graphnas.tasks import cifar10, fashion_mnist, load_task

RNG = np.random.default_rng(0)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Published sizes cut down, and a home of its own for caches."""
    monkeypatch.setattr(fashion_mnist, "_FILES", {"train": 200, "t10k": 40})
    monkeypatch.setattr(fashion_mnist, "_VALIDATION", 50)
    monkeypatch.setattr(cifar10, "_IMAGES", {"train": 200, "test": 40})
    monkeypatch.setattr(cifar10, "_VALIDATION", 50)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def write_idx(path: Path, values: np.ndarray, rank: int | None = None) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim if rank is None else rank, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def write_fashion_mnist(folder: Path) -> dict[str, np.ndarray]:
    images = {"train": RNG.integers(0, 256, (200, 28, 28)), "t10k": RNG.integers(0, 256, (40, 28, 28))}
    for split, pixels in images.items():
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", pixels)
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", np.arange(len(pixels)) % 10)
    return images


def test_fashion_mnist_is_read_from_its_four_files(small: Path) -> None:
    images = write_fashion_mnist(small)
    task = load_task(f"fashion-mnist:{small}")
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [150, 50, 40]
    assert (task.classes, task.in_channels, task.image_size, task.shift, task.flip) == (10, 1, 28, 3, True)
    assert torch.equal(task.test.images[:, 0], torch.from_numpy(images["t10k"].astype(np.uint8)))
    assert task.test.labels[:12].tolist() == [*range(10), 0, 1]
    known = {one.tobytes() for one in images["train"].astype(np.uint8)}
    parts = [{one.tobytes() for one in split.images.numpy()} for split in (task.train, task.validation)]
    assert parts[0] | parts[1] == known
    assert not parts[0] & parts[1]
    assert load_task(f"fashion-mnist:{small}@14#100").train.images.shape == (100, 1, 14, 14)


@pytest.mark.skipif(fashion_mnist.fashion_mnist_place() is None, reason="Fashion-MNIST is not there")
def test_the_published_fashion_mnist_is_whole() -> None:
    task = load_task("fashion-mnist")
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [50_000, 10_000, 10_000]
    # All classes are equally frequent, and so they are in the split that is held out.
    assert all(len(set(torch.bincount(split.labels).tolist())) == 1 for split in (task.train, task.validation))
    # Mean and deviation of the training images as they are commonly given, 0.2860 and 0.3530 of the largest value.
    assert task.mean[0] / 255 == pytest.approx(0.2860, abs=5e-4)
    assert task.deviation[0] / 255 == pytest.approx(0.3530, abs=5e-4)


def test_files_that_are_not_fashion_mnist_are_named(small: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No train-images.* give its folder as fashion-mnist:PATH"):
        load_task(f"fashion-mnist:{small / 'nowhere'}")
    write_fashion_mnist(small)
    path = small / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz: cannot be read as a gzip file"):
        load_task(f"fashion-mnist:{small}")
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="cannot be read as a gzip file"):
        load_task(f"fashion-mnist:{small}")
    write_idx(path, np.zeros((200, 28, 27)))
    with pytest.raises(ValueError, match="expected an IDX file of 200 x 28 x 28 bytes"):
        load_task(f"fashion-mnist:{small}")
    path.write_bytes(whole)
    write_idx(small / "t10k-labels-idx1-ubyte.gz", np.full(40, 11))
    with pytest.raises(ValueError, match=r"t10k-labels.*classes from 0 to 9, but got 11"):
        load_task(f"fashion-mnist:{small}")


def write_archive(path: Path, *, jpeg: bool) -> dict[str, np.ndarray]:
    """Flat images, which JPEG keeps too."""
    levels = {"train": RNG.integers(0, 256, (200, 3)), "test": RNG.integers(0, 256, (40, 3))}
    arrays: dict[str, np.ndarray] = {}
    for split, colours in levels.items():
        files, header = [], b""
        for colour in colours.astype(np.uint8):
            file = BytesIO()
            image = Image.fromarray(np.broadcast_to(colour, (32, 32, 3)).copy())
            image.save(file, *(("JPEG",) if jpeg else ("WEBP",)), **({"quality": 75} if jpeg else {"lossless": True}))
            data = file.getvalue()
            header = data[: data.index(b"\xff\xda")] if jpeg else b""
            files.append(data[len(header) :])
        kind = "scan" if jpeg else "webp"
        arrays[f"{split}_{kind}"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{split}_offset"] = np.cumsum([0, *map(len, files)]).astype(np.uint32)
        arrays[f"{split}_label"] = np.arange(len(files)) % 10
        arrays["header"] = np.frombuffer(header, np.uint8)
    np.savez(path, **arrays)
    return levels


@pytest.mark.parametrize("jpeg", [False, True])
def test_cifar10_is_read_from_an_archive_and_kept_decoded(
    jpeg: bool, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphnas.tasks.decoded._WORTH", 0.0)
    path = small / "cifar10_some.npz"
    levels = write_archive(path, jpeg=jpeg)
    task = load_task(f"cifar10:{path}")
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [150, 50, 40]
    assert (task.classes, task.in_channels, task.image_size, task.shift, task.flip) == (10, 3, 32, 4, True)
    found = task.test.images.float().mean((2, 3)).numpy()
    np.testing.assert_allclose(found, levels["test"], atol=3 if jpeg else 0)
    (cache,) = (small / "home" / ".cache" / "graphnas").iterdir()
    again = load_task(f"cifar10:{path}")
    assert torch.equal(again.train.images, task.train.images)
    cache.write_bytes(b"damaged")
    assert torch.equal(load_task(f"cifar10:{path}").train.images, task.train.images)


def test_cifar10_is_read_from_the_published_batches(small: Path) -> None:
    folder = small / "cifar-10-batches-bin"
    folder.mkdir()
    rows = RNG.integers(0, 256, (10_000, 3073), dtype=np.uint8)
    rows[:, 0] = np.arange(10_000) % 10
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(rows.tobytes())
    task = load_task(f"cifar10:{small}#500")
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [500, 50, 10_000]
    assert task.test.images[3, 1, 2, 5] == rows[3, 1 + 1024 + 2 * 32 + 5]
    (folder / "data_batch_4.bin").write_bytes(rows.tobytes()[:-1])
    with pytest.raises(ValueError, match=r"data_batch_4.bin: expected a file of 30,730,000 bytes, but got 30,729,999"):
        load_task(f"cifar10:{small}")


def test_what_is_not_cifar10_is_named(small: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No CIFAR-10 in .*cifar10_lossless.npz or cifar10_jpeg.npz"):
        load_task(f"cifar10:{small}")
    path = small / "cifar10_lossless.npz"
    np.savez(path, train_webp=np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match=r"cifar10_lossless.npz: expected an archive of CIFAR-10"):
        load_task(f"cifar10:{small}")
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="expected an archive of CIFAR-10"):
        load_task(f"cifar10:{small}")


@pytest.mark.slow
@pytest.mark.skipif(not (data_folder() / "cifar10_jpeg.npz").is_file(), reason="cifar10_jpeg.npz is not there")
def test_the_real_archive_has_the_known_moments() -> None:
    task = load_task(f"cifar10:{data_folder() / 'cifar10_jpeg.npz'}")
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [40_000, 10_000, 10_000]
    assert task.train.labels.bincount().tolist() == [4_000] * 10
    np.testing.assert_allclose(np.array(task.mean) / 255, [0.4913, 0.4821, 0.4465], atol=2e-3)
    np.testing.assert_allclose(np.array(task.deviation) / 255, [0.2452, 0.2428, 0.2606], atol=2e-3)
