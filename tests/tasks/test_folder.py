from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graphnas.tasks import load_task


def write(folder: Path, *, size: tuple[int, int] = (12, 12), mode: str = "L", number: int = 10) -> Path:
    """Two classes, dark and bright, as PNG and JPEG."""
    rng = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 40)):
        (folder / name).mkdir(parents=True)
        for i in range(number):
            pixels = (level + rng.integers(-20, 20, (size[1], size[0]))).astype(np.uint8)
            suffix = "jpg" if i % 2 else "png"
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{i}.{suffix}")
    return folder


def test_a_folder_becomes_a_split_task_with_classes_by_name(tmp_path: Path) -> None:
    task = load_task(f"folder:{write(tmp_path / 'images')}")
    assert (task.classes, task.in_channels, task.image_size) == (2, 1, 12)
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [12, 4, 4]
    for split in (task.train, task.validation, task.test):
        assert split.labels.bincount().tolist() == [len(split.labels) // 2] * 2
        bright, dark = (task.standardised(split.images[split.labels == label]).mean() for label in (0, 1))
        assert bright > 0 > dark
    assert task.standardised(task.train.images).mean() == pytest.approx(0, abs=1e-5)
    again = load_task(f"folder:{tmp_path / 'images'}")
    assert torch.equal(task.test.images, again.test.images)


def test_a_size_resizes_and_colour_keeps_three_channels(tmp_path: Path) -> None:
    task = load_task(f"folder:{write(tmp_path / 'at@home', size=(20, 14), mode='RGB')}@8")
    assert task.train.images.shape == (12, 3, 8, 8)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_task(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="two or more classes, but got 0"):
        load_task(f"folder:{tmp_path}")
    with pytest.raises(ValueError, match=r"bright: expected at least 5 .* got 3"):
        load_task(f"folder:{write(tmp_path / 'few', number=3)}")
    with pytest.raises(ValueError, match=r"\.png: expected all images to be squares .*\(20, 14\)"):
        load_task(f"folder:{write(tmp_path / 'wide', size=(20, 14))}")
    broken = write(tmp_path / "broken") / "dark" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"3\.jpg: cannot be read"):
        load_task(f"folder:{tmp_path / 'broken'}")


def test_what_took_long_to_decode_is_kept_until_the_images_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = write(tmp_path / "images")
    first = load_task(f"folder:{folder}")
    assert not (tmp_path / "home").exists()
    monkeypatch.setattr("graphnas.tasks.decoded._WORTH", 0.0)
    load_task(f"folder:{folder}")
    (kept,) = (tmp_path / "home" / ".cache" / "graphnas").iterdir()
    with monkeypatch.context() as unread:
        unread.setattr("graphnas.tasks.folder._read", None)
        assert load_task(f"folder:{folder}").fingerprint == first.fingerprint
    kept.write_bytes(kept.read_bytes()[:100])  # damaged, it is decoded anew
    assert load_task(f"folder:{folder}").fingerprint == first.fingerprint
    (folder / "dark" / "0.png").write_bytes((folder / "bright" / "0.png").read_bytes())
    assert load_task(f"folder:{folder}").fingerprint != first.fingerprint
    (other,) = kept.parent.iterdir()
    assert other != kept


def test_classes_a_level_too_deep_are_told(tmp_path: Path) -> None:
    write(tmp_path / "images" / "train")
    write(tmp_path / "images" / "test")
    with pytest.raises(ValueError, match="the folders of classes have to lie in"):
        load_task(f"folder:{tmp_path / 'images'}")


def save(folder: Path, image: Callable[[int], Image.Image], suffix: str = "png") -> Path:
    for label, name in enumerate("ab"):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            image(label).save(folder / name / f"{number}.{suffix}")
    return folder


def test_of_sixteen_bits_the_upper_ones_are_kept(tmp_path: Path) -> None:
    save(tmp_path / "deep", lambda label: Image.fromarray(np.full((8, 8), (60 + 120 * label) * 256 + 7, np.uint16)))
    task = load_task(f"folder:{tmp_path / 'deep'}")
    assert task.in_channels == 1
    assert [task.train.images[task.train.labels == label].float().mean().item() for label in (0, 1)] == [60, 180]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    def icon(label: int) -> Image.Image:
        pixels = np.zeros((8, 8, 4), np.uint8)
        pixels[: 2 + 4 * label, :, 3] = 255
        return Image.fromarray(pixels)

    task = load_task(f"folder:{save(tmp_path / 'icons', icon)}")
    dark = [(task.train.images[task.train.labels == label] == 0).float().mean().item() for label in (0, 1)]
    assert dark == [0.25, 0.75]
    assert int(task.train.images.max()) == 255


def test_images_are_turned_as_their_exif_data_says(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    save(tmp_path / "turned", lambda label: Image.fromarray(pixels))
    for file in (tmp_path / "turned").glob("*/*"):
        Image.fromarray(pixels).save(file, exif=exif)
    images = load_task(f"folder:{tmp_path / 'turned'}").train.images
    assert int(images[:, :, :4].max()) == 0
    assert int(images[:, :, 4:].min()) == 255


def test_a_folder_may_be_called_what_looks_like_a_setting(tmp_path: Path) -> None:
    whole = write(tmp_path / "one#5")
    assert len(load_task(f"folder:{whole}").train.labels) == 12
    assert len(load_task(f"folder:{whole}#8").train.labels) == 8
    sized = write(tmp_path / "at@8")
    assert load_task(f"folder:{sized}").image_size == 12
    assert load_task(f"folder:{sized}@6").image_size == 6
    assert load_task(f"folder:{sized}#8").image_size == 12
    # What is written in full keeps its meaning.
    plain = write(tmp_path / "plain")
    assert load_task(f"folder:{plain}@6#8").train.images.shape == (8, 1, 6, 6)


def test_the_fingerprint_tells_other_images_and_other_splits(tmp_path: Path) -> None:
    folder = write(tmp_path / "images")
    task = load_task(f"folder:{folder}")
    assert load_task(f"folder:{folder}").fingerprint == task.fingerprint
    assert load_task(f"folder:{folder}#8").fingerprint != task.fingerprint
    (folder / "dark" / "0.png").write_bytes((folder / "dark" / "2.png").read_bytes())
    assert load_task(f"folder:{folder}").fingerprint != task.fingerprint
