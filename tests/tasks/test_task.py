import pytest
import torch

from graphnas.tasks import load_task


def test_digits_are_split_once_and_for_all() -> None:
    task = load_task("digits")
    sizes = [split.labels.shape[0] for split in (task.train, task.validation, task.test)]
    assert sizes == [1077, 360, 360]
    assert task.train.images.shape == (1077, 1, 8, 8)
    assert task.train.images.dtype == torch.float32
    again = load_task("digits")
    assert torch.equal(task.test.images, again.test.images)
    assert torch.equal(task.test.labels, again.test.labels)


def test_digits_are_standardised_by_the_training_split() -> None:
    task = load_task("digits")
    assert abs(float(task.train.images.mean())) < 1e-5
    assert abs(float(task.train.images.std()) - 1) < 1e-5
    assert task.background == pytest.approx(float(task.train.images.min()), abs=1e-6)


def test_splits_are_stratified_and_disjoint() -> None:
    task = load_task("digits")
    for split in (task.train, task.validation, task.test):
        shares = torch.bincount(split.labels, minlength=10) / split.labels.shape[0]
        assert float((shares - 0.1).abs().max()) < 0.01
    rows = [{tuple(image) for image in split.images.flatten(1).tolist()} for split in (task.train, task.test)]
    assert len(rows[0] & rows[1]) == 0


def test_unknown_task_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"\['digits'\] or folder:PATH, but got 'digit'"):
        load_task("digit")
