from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graphnas.tasks import Split, Task, load_task
from graphnas.training import TrainingConfig, TrainingDiverged, evaluate_split, predict, train


def small_task() -> Task:
    task = load_task("digits")
    return replace(
        task,
        train=Split(task.train.images[:100], task.train.labels[:100]),
        validation=Split(task.validation.images[:50], task.validation.labels[:50]),
    )


def small_network() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, generator=generator)
    nn.init.zeros_(network[0].bias)
    nn.init.zeros_(network[4].bias)
    return network


def weights(network: nn.Module) -> list[Tensor]:
    return list(network.state_dict().values())


def test_overfits_a_hundred_images() -> None:
    task, network = small_task(), small_network()
    outcome = train(network, task, epochs=40, config=TrainingConfig(batch_size=20, shift=0))
    assert outcome.curve["train_accuracy"][-1] == 1
    assert len(outcome.curve["validation_loss"]) == 40
    loss, accuracy = evaluate_split(network, task.validation)
    assert outcome.curve["validation_accuracy"][-1] == accuracy
    assert outcome.curve["validation_loss"][-1] == loss


def test_equal_seeds_give_equal_weights_and_the_global_state_stays() -> None:
    task, state = small_task(), torch.get_rng_state()
    networks = [small_network() for _ in range(3)]
    state = torch.get_rng_state()
    first, second, other = (
        train(network, task, epochs=2, seed=seed) for network, seed in zip(networks, (1, 1, 2), strict=True)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert first.curve == second.curve != other.curve
    assert all(torch.equal(a, b) for a, b in zip(weights(networks[0]), weights(networks[1]), strict=True))


def test_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    task, whole, resumed = small_task(), small_network(), small_network()

    class Stop(Exception):
        pass

    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 2:
            raise Stop

    expected = train(whole, task, epochs=4, seed=5)
    with pytest.raises(Stop):
        train(small_network(), task, epochs=4, seed=5, folder=tmp_path, report=stop)
    reported: list[int] = []
    outcome = train(resumed, task, epochs=4, seed=5, folder=tmp_path, report=lambda e, m: reported.append(e))
    assert outcome.curve == expected.curve
    assert reported == [1, 2, 3, 4]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train(small_network(), small_task(), epochs=1, folder=tmp_path, identity="one")
    with pytest.raises(ValueError, match="belongs to a training of other settings"):
        train(small_network(), small_task(), epochs=1, folder=tmp_path, identity="other")


def test_broken_checkpoint_is_reported(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="Expected a checkpoint in"):
        train(small_network(), small_task(), epochs=1, folder=tmp_path)


def test_divergence_is_reported() -> None:
    task = small_task()
    broken = replace(task, train=Split(task.train.images * float("inf"), task.train.labels))
    with pytest.raises(TrainingDiverged, match="not finite in epoch 1"):
        train(small_network(), broken, epochs=1)


def test_predict_keeps_the_mode() -> None:
    network = small_network().train()
    assert predict(network, small_task().validation.images, batch_size=20).shape == (50, 10)
    assert network.training


def test_schedule_rises_and_falls() -> None:
    config = TrainingConfig(learning_rate=0.2, warmup=0.1)
    rates = [config.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == rates[9] == rates[10] == pytest.approx(0.2)
    assert rates[55] == pytest.approx(0.1)
    assert rates[-1] < 1e-3


@pytest.mark.parametrize("wrong", [{"learning_rate": 0.0}, {"momentum": 1.0}, {"batch_size": 0}, {"shift": -1}])
def test_settings_are_validated(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is out of range"):
        TrainingConfig(**wrong)  # type: ignore[arg-type]


def test_no_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        train(small_network(), small_task(), epochs=0)
