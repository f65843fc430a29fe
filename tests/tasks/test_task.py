import pytest
import torch

from graphnas.tasks import load_task, task_word
from graphnas.tasks.task import resized, split_images


def test_digits_are_split_once_and_for_all() -> None:
    task = load_task("digits")
    sizes = [split.labels.shape[0] for split in (task.train, task.validation, task.test)]
    assert sizes == [1077, 360, 360]
    assert task.train.images.shape == (1077, 1, 8, 8)
    assert task.train.images.dtype == torch.uint8
    again = load_task("digits")
    assert torch.equal(task.test.images, again.test.images)
    assert torch.equal(task.test.labels, again.test.labels)


def test_digits_are_standardised_by_the_training_split() -> None:
    task = load_task("digits")
    images = task.standardised(task.train.images)
    assert images.dtype == torch.float32
    assert abs(float(images.mean())) < 1e-5
    assert abs(float(images.std()) - 1) < 1e-5


def test_splits_are_stratified_and_disjoint() -> None:
    task = load_task("digits")
    for split in (task.train, task.validation, task.test):
        shares = torch.bincount(split.labels, minlength=10) / split.labels.shape[0]
        assert float((shares - 0.1).abs().max()) < 0.01
    rows = [{tuple(image) for image in split.images.flatten(1).tolist()} for split in (task.train, task.test)]
    assert len(rows[0] & rows[1]) == 0


def test_unknown_task_lists_the_known() -> None:
    with pytest.raises(ValueError, match="digits, fashion-mnist, cifar10 or folder:PATH, but got 'digit'"):
        load_task("digit")


@pytest.mark.parametrize("name", ["digits:somewhere", "folder", "folder:", "cifar10@", "digits#", "Digits"])
def test_words_that_name_no_task_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Expected a task of digits"):
        load_task(name)


def test_a_word_holds_the_settings_of_a_task() -> None:
    assert task_word("cifar10", path="a b/c", size=16, train=200) == "cifar10:a b/c@16#200"
    task = load_task(task_word("digits", size=12, train=300))
    assert task.name == "digits@12#300"
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [300, 748, 749]
    assert task.train.images.shape[1:] == (1, 12, 12)
    with pytest.raises(ValueError, match="from 10 to 1777, so that all classes are in every split, but got 1790"):
        load_task("digits#1790")
    with pytest.raises(ValueError, match="at least 2 pixels, but got 'digits@1'"):
        load_task("digits@1")


def test_resizing_keeps_what_is_constant_and_halves_by_averages() -> None:
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    images[..., 2:] = 200
    assert resized(images, 4) is images
    assert resized(torch.full((2, 3, 5, 5), 7, dtype=torch.uint8), 3).unique().tolist() == [7]
    small = resized(images, 2)[0, 0]
    # The filter of a halving reaches into the neighbouring pixels.
    assert torch.equal(small[0], small[1])
    assert int(small[0, 0]) < 40 < 160 < int(small[0, 1])


def test_a_split_without_a_class_is_refused() -> None:
    labels = torch.cat([torch.zeros(300), torch.ones(5), torch.full((5,), 2)]).long()
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    split_images("rare", images, labels)
    with pytest.raises(ValueError, match="Expected images of every class in every split, but 2 of 3 classes"):
        split_images("rare", images, labels, train=290)
