import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import EvaluationFailed, TrainingEvaluator
from graphnas.formats.darts import from_genotype
from graphnas.formats.nasbench201 import from_string
from graphnas.spaces import Space
from graphnas.tasks import load_task
from graphnas.training import TrainingConfig, train

SPACE = Space.load("nasbench101")
ARCHITECTURE = Architecture("nasbench101", (Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)})),))
WIDE = Architecture(
    "nasbench101",
    (
        Cell(
            ("input", *["conv1x1"] * 3, "output"),
            frozenset({(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)}),
        ),
    ),
)


def small(*, predictions: bool = False) -> TrainingEvaluator:
    return TrainingEvaluator(SPACE, epochs=2, sizes={"channels": 4, "stacks": 2}, predictions=predictions)


def test_a_result_carries_what_was_measured(tmp_path: Path) -> None:
    steps: list[int] = []
    evaluator = pickle.loads(pickle.dumps(small(predictions=True)))
    result = evaluator.evaluate(
        ARCHITECTURE, seed=1, folder=tmp_path, report=lambda epoch, metrics: steps.append(epoch)
    )
    assert steps == [1, 2]
    assert result.value == result.metrics["validation_accuracy"] == result.curve["validation_accuracy"][-1]
    assert 0.3 < result.value <= 1
    # Stem 36 + 8; cells (16 + 8) + (144 + 8) and (32 + 16) + (576 + 16); dense 80 + 10.
    assert result.metrics["parameters"] == 44 + 176 + 640 + 90
    assert result.metrics["macs"] == 36 * 64 + 160 * 64 + 608 * 16 + 80
    assert (result.budget, result.seed, result.evaluator) == (2, 1, "training:digits")
    assert result.cost is not None
    assert result.cost > 0
    assert sorted(result.predictions) == ["test", "validation"]
    with np.load(result.predictions["validation"]) as kept:
        assert kept["log_probabilities"].dtype == np.float32
        assert str(kept["fingerprint"]) == evaluator.fingerprint
        np.testing.assert_allclose(np.exp(kept["log_probabilities"]).sum(1), 1, atol=1e-5)
        assert (kept["log_probabilities"].argmax(1) == kept["labels"]).mean() == pytest.approx(result.value)
    assert small().evaluate(ARCHITECTURE, seed=1, folder=tmp_path).predictions == {}


def test_equal_seeds_give_equal_results_and_the_folder_keeps_the_weights(tmp_path: Path) -> None:
    first = small().evaluate(ARCHITECTURE, seed=3, folder=tmp_path)
    again = small().evaluate(ARCHITECTURE, seed=3)
    assert first.curve == again.curve
    loaded = small().test(ARCHITECTURE, seed=3, folder=tmp_path)
    retrained = small().test(ARCHITECTURE, seed=3)
    assert loaded.test_accuracy == retrained.test_accuracy
    assert loaded.validation_accuracy == first.value
    assert not loaded.network.training


def test_budget_and_hyperparameters_replace_the_defaults() -> None:
    result = small().evaluate(ARCHITECTURE, budget=1, hyperparameters={"learning_rate": 0.01})
    assert result.budget == len(result.curve["train_loss"]) == 1
    with pytest.raises(ValueError, match="but got \\['depth'\\]"):
        small().evaluate(ARCHITECTURE, hyperparameters={"depth": 3})
    with pytest.raises(ValueError, match="at least one epoch"):
        small().evaluate(ARCHITECTURE, budget=0)


def test_candidates_that_cannot_be_built_fail() -> None:
    with pytest.raises(EvaluationFailed, match="at least as many channels") as failure:
        TrainingEvaluator(SPACE, sizes={"channels": 2}).evaluate(WIDE)
    assert failure.value.reason.startswith("the network cannot be built")


def test_what_does_not_fit_into_memory_is_called_so_wherever_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EvaluationFailed, match=r"^out of memory"):
        TrainingEvaluator(SPACE, sizes={"channels": 2_000_000}).evaluate(ARCHITECTURE)

    def exhausted(*given: object, **settings: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("graphnas.evaluate.training.predict", exhausted)
    with pytest.raises(EvaluationFailed, match=r"^out of memory: CUDA"):
        small(predictions=True).evaluate(ARCHITECTURE, folder=tmp_path)


def test_data_is_loaded_with_the_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    data, loaded = pickle.dumps(small()), []
    monkeypatch.setattr("graphnas.evaluate.training.task_of", loaded.append)
    pickle.loads(data)
    assert loaded == ["digits"]


def test_a_training_by_the_clock_is_read_again_as_it_ended(tmp_path: Path) -> None:
    evaluator = TrainingEvaluator(SPACE, max_seconds=0.5, sizes={"channels": 4, "stacks": 2})
    result = evaluator.evaluate(ARCHITECTURE, folder=tmp_path)
    assert evaluator.test(ARCHITECTURE, folder=tmp_path).validation_accuracy == result.value


def test_diverging_candidates_fail() -> None:
    config = TrainingConfig(learning_rate=1e30, warmup=0, clip_norm=1e30)
    with pytest.raises(EvaluationFailed, match="diverged: the"):
        TrainingEvaluator(SPACE, epochs=2, sizes={"channels": 4}, config=config).evaluate(ARCHITECTURE)


def test_too_many_pools_for_the_image_fail() -> None:
    with pytest.raises(EvaluationFailed, match="the training failed"):
        TrainingEvaluator(SPACE, epochs=1, sizes={"channels": 2, "stacks": 5}).evaluate(ARCHITECTURE)


def test_what_a_report_raises_passes_through() -> None:
    class Pruned(Exception):
        pass

    def prune(epoch: int, metrics: object) -> None:
        raise Pruned

    with pytest.raises(Pruned):
        small().evaluate(ARCHITECTURE, report=prune)


def test_settings_are_validated() -> None:
    with pytest.raises(ValueError, match="digit"):
        TrainingEvaluator(SPACE, "unknown")
    with pytest.raises(ValueError, match="epochs to be a positive integer"):
        TrainingEvaluator(SPACE, epochs=0)
    with pytest.raises(ValueError, match="Expected the sizes stacks, cells_per_stack, channels, but got layers"):
        TrainingEvaluator(SPACE, sizes={"layers": 3})
    with pytest.raises(ValueError, match="stacks to be a positive integer, but got 0"):
        TrainingEvaluator(SPACE, sizes={"stacks": 0})


@pytest.mark.parametrize("seed", [-1, 2**64, 2**63, "x", 1.5, None])
def test_seeds_out_of_range_are_refused_before_the_training(seed: object) -> None:
    with pytest.raises(
        ValueError, match=rf"Expected seed to be a whole number from 0 to 2\*\*63 - 1, but got {seed!r}"
    ):
        small().evaluate(ARCHITECTURE, seed=seed)  # type: ignore[arg-type]
    network = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="Expected seed to be a whole number"):
        train(network, load_task("digits"), epochs=1, seed=seed)  # type: ignore[arg-type]


def test_the_largest_seed_and_those_of_numpy_train(tmp_path: Path) -> None:
    result = small().evaluate(ARCHITECTURE, budget=1, seed=2**63 - 1)
    assert result.seed == 2**63 - 1
    first = small().evaluate(ARCHITECTURE, budget=1, seed=np.int64(3), folder=tmp_path)  # type: ignore[arg-type]
    assert first.curve == small().evaluate(ARCHITECTURE, budget=1, seed=3).curve
    assert json.loads(first.to_json())["seed"] == 3


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", 0, "a whole number from 1"),
        ("batch_size", 1.5, "a whole number from 1"),
        ("learning_rate", math.inf, "a finite number above 0"),
        ("learning_rate", "fast", "a finite number above 0"),
        ("warmup", 1.0, "a number from 0 to below 1"),
        ("momentum", 0.0, "a number above 0 and below 1"),
        ("weight_decay", -1.0, "a finite number from 0"),
        ("label_smoothing", math.nan, "a number from 0 to below 1"),
        ("clip_norm", 0, "a number above 0"),
        ("shift", -1, "a whole number from 0"),
    ],
)
def test_settings_out_of_range_are_named_with_the_range(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is out of range: expected {expected}, but got {value!r}$"):
        small().evaluate(ARCHITECTURE, hyperparameters={name: value})


def test_sizes_are_those_of_the_proxy_and_then_the_published_ones(tmp_path: Path) -> None:
    assert TrainingEvaluator(SPACE).sizes == {"stacks": 3, "cells_per_stack": 1, "channels": 16}
    assert TrainingEvaluator(SPACE, sizes={"channels": 4}).sizes == {"stacks": 3, "cells_per_stack": 1, "channels": 4}
    text = SPACE.path.read_text()
    path = tmp_path / "plain.toml"
    path.write_text(text[: text.index("[network.proxy]")])
    sizes = TrainingEvaluator(Space.load(path), sizes={"channels": 4}).sizes
    assert sizes == {"stacks": 3, "cells_per_stack": 3, "channels": 4}


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        (
            Architecture("nasbench201", (from_string("|nor_conv_3x3~0|+|none~0|skip_connect~1|"),)),
            {"cells_per_stage": 1, "channels": 4},
        ),
        (
            from_genotype(
                "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1)], normal_concat=[2], "
                "reduce=[('max_pool_3x3', 0), ('sep_conv_3x3', 1)], reduce_concat=[2])"
            ),
            {"layers": 3, "channels": 4},
        ),
        (
            Architecture(
                "enas",
                (Cell(("input", "conv3x3", "maxpool3x3", "output"), frozenset({(0, 1), (1, 2), (0, 2), (2, 3)})),),
            ),
            {"channels": 4},
        ),
    ],
    ids=["nasbench201", "darts", "enas"],
)
def test_other_skeletons_train(architecture: Architecture, sizes: dict[str, int]) -> None:
    evaluator = TrainingEvaluator(Space.load(architecture.space), epochs=2, sizes=sizes)
    result = evaluator.evaluate(architecture, seed=1)
    assert 0.2 < result.value <= 1
    assert result.metrics["parameters"] > 0
    assert evaluator.evaluate(architecture, seed=1).curve == result.curve
