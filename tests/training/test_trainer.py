import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphnas.networks import build_network
from graphnas.spaces import Space
from graphnas.tasks import Split, Task, load_task
from graphnas.training import TrainingConfig, TrainingDiverged, evaluate_split, predict, train
from graphnas.training.optimizers import make_optimizer

SPACE = Space.load("darts")
(ARCHITECTURE,) = SPACE.sample(1, np.random.default_rng(1))


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


def cell_network() -> nn.Module:
    """Two small DARTS cells."""
    generator = torch.Generator().manual_seed(0)
    return build_network(ARCHITECTURE, SPACE, sizes={"layers": 3, "channels": 2}, in_channels=1, generator=generator)


def weights(network: nn.Module) -> list[Tensor]:
    return list(network.state_dict().values())


def test_overfits_a_hundred_images() -> None:
    task, network = small_task(), small_network()
    outcome = train(network, task, epochs=40, config=TrainingConfig(batch_size=20, shift=0))
    assert outcome.curve["train_accuracy"][-1] == 1
    assert len(outcome.curve["validation_loss"]) == 40
    loss, accuracy = evaluate_split(network, task, task.validation)
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


SETTINGS = {
    "plain": TrainingConfig(),
    "adamw": TrainingConfig(optimizer="adamw", learning_rate=1e-3, ema=0.9, decay_all=True),
    "rmsprop": TrainingConfig(optimizer="rmsprop", learning_rate=0.02, cutout=3, flip=True, nesterov=False),
    "darts": TrainingConfig(drop_path=0.3, auxiliary=0.4, label_smoothing=0.1),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_training_equals_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    task, whole, resumed, config = small_task(), cell_network(), cell_network(), SETTINGS[name]

    class Stop(Exception):
        pass

    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 2:
            raise Stop

    state = torch.get_rng_state()
    expected = train(whole, task, epochs=4, seed=5, config=config)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(Stop):
        train(cell_network(), task, epochs=4, seed=5, folder=tmp_path, report=stop, config=config)
    reported: list[int] = []
    outcome = train(
        resumed, task, epochs=4, seed=5, folder=tmp_path, report=lambda e, m: reported.append(e), config=config
    )
    assert outcome.curve == expected.curve
    assert reported == [1, 2, 3, 4]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    assert all(not module._forward_hooks for module in whole.modules())


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
    with pytest.raises(TrainingDiverged, match="not finite in epoch 1"):
        train(small_network(), replace(task, mean=(float("nan"),)), epochs=1)


def test_predict_keeps_the_mode() -> None:
    network = small_network().train()
    task = small_task()
    assert predict(network, task, task.validation.images, batch_size=20).shape == (50, 10)
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


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"epochs": 0}, "at least one epoch, but got 0"),
        ({}, "either epochs or max_seconds, but got None and None"),
        ({"epochs": 1, "max_seconds": 1.0}, "either epochs or max_seconds, but got 1 and 1.0"),
        ({"max_seconds": 0.0}, "max_seconds to be a finite number above 0, but got 0.0"),
    ],
)
def test_what_is_no_budget_is_refused(budget: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(small_network(), small_task(), **budget)


def test_a_budget_of_seconds_is_kept_and_its_schedule_ends() -> None:
    seconds: list[float] = []
    task, start = small_task(), time.perf_counter()
    outcome = train(
        small_network(), task, max_seconds=1.0, report=lambda epoch, row: seconds.append(time.perf_counter() - start)
    )
    assert len(outcome.curve["validation_loss"]) == len(seconds) > 3
    assert seconds[-2] < 1.5
    assert outcome.seconds >= 1.0


def test_averaged_weights_take_the_place_of_the_last() -> None:
    task, plain, averaged = small_task(), small_network(), small_network()
    train(plain, task, epochs=3, config=TrainingConfig(learning_rate=0.02))
    outcome = train(averaged, task, epochs=3, config=TrainingConfig(learning_rate=0.02, ema=0.5))
    assert not torch.equal(weights(plain)[0], weights(averaged)[0])
    loss, accuracy = evaluate_split(averaged, task, task.validation)
    assert (loss, accuracy) == (outcome.curve["validation_loss"][-1], outcome.curve["validation_accuracy"][-1])


def test_weights_alone_decay_unless_all_are_to() -> None:
    network = small_network()
    assert [len(group["params"]) for group in make_optimizer(network, TrainingConfig()).param_groups] == [2, 4]
    every = make_optimizer(network, TrainingConfig(decay_all=True)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in every] == [(6, 5e-4)]


def test_precisions_that_a_processor_does_not_gain_from_are_refused() -> None:
    with pytest.raises(ValueError, match="precision to be auto or float32 on cpu, but got bfloat16"):
        train(small_network(), small_task(), epochs=1, config=TrainingConfig(precision="bfloat16"))


def test_an_auxiliary_classifier_needs_a_chain_of_cells() -> None:
    with pytest.raises(ValueError, match="Expected auxiliary to be 0 for a Sequential"):
        train(small_network(), small_task(), epochs=1, config=TrainingConfig(auxiliary=0.4))


def test_the_deterministic_mode_gives_the_same_weights_and_leaves_torch_as_it_was() -> None:
    config, networks = TrainingConfig(deterministic=True, drop_path=0.2), [cell_network(), cell_network()]
    for network in networks:
        train(network, small_task(), epochs=2, config=config)
        assert not torch.are_deterministic_algorithms_enabled()
    assert all(torch.equal(one, other) for one, other in zip(*map(weights, networks), strict=True))
    plain = cell_network()
    train(plain, small_task(), epochs=2, config=replace(config, deterministic=False))
    # On a processor there is but one way.
    assert all(torch.equal(one, other) for one, other in zip(weights(networks[0]), weights(plain), strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the compiler warns of is its own business
def test_a_compiled_network_is_trained_to_nearly_the_same_losses() -> None:
    curves = []
    for compiled in (False, True):
        network = cell_network()
        config = TrainingConfig(compile=compiled, drop_path=0.3)
        curves.append(train(network, small_task(), epochs=3, config=config).curve)
        # What is exported and resumed knows nothing of the compiler.
        assert not any("_orig_mod" in name for name in network.state_dict())
    assert curves[0]["train_loss"] == pytest.approx(curves[1]["train_loss"], rel=0.05)
