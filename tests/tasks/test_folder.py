from __future__ import annotations

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
