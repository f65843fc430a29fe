from __future__ import annotations

import pytest
import torch

from graphnas.tasks import load_task
from graphnas.training import TrainingConfig
from graphnas.training.augmentation import augmented, cut_out, moved


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_images_move_by_at_most_the_shift_and_what_enters_is_empty() -> None:
    image = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
    image[0, 0, 2, 2] = 9
    places = {tuple(one[0].nonzero()[0].tolist()) for one in moved(image.repeat(200, 1, 1, 1), 1, False, generator())}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    corner = moved(torch.ones(50, 1, 3, 3, dtype=torch.uint8), 2, False, generator())
    assert {int(one.sum()) for one in corner} == {1, 2, 3, 4, 6, 9}
    # One channel alone does not say where channels lie in memory; convolutions go by the strides.
    assert corner.stride() == (9, 9, 3, 1)


def test_half_of_the_images_are_mirrored() -> None:
    image = torch.arange(6, dtype=torch.uint8).reshape(1, 1, 2, 3)
    found = moved(image.repeat(400, 1, 1, 1), 0, True, generator())
    mirrored = (found == image.flip(3)).flatten(1).all(1)
    assert ((found == image).flatten(1).all(1) ^ mirrored).all()
    assert 160 < int(mirrored.sum()) < 240


@pytest.mark.parametrize(("side", "sizes"), [(1, {1}), (2, {1, 2, 4}), (3, {4, 6, 9})])
def test_a_square_is_cut_out_that_the_edge_may_hide_in_part(side: int, sizes: set[int]) -> None:
    blank = cut_out(torch.ones(300, 2, 6, 6), side, generator()) == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    assert {int(one[0].sum()) for one in blank} == sizes


def test_the_task_says_how_images_are_changed_unless_the_settings_do() -> None:
    task = load_task("digits")
    images = task.train.images[:20]
    still = augmented(images, task, TrainingConfig(shift=0, flip=False), generator())
    torch.testing.assert_close(still, task.standardised(images))
    usual, explicit = (
        augmented(images, task, config, generator()) for config in (TrainingConfig(), TrainingConfig(shift=task.shift))
    )
    assert torch.equal(usual, explicit)
    assert not torch.equal(usual, still)
