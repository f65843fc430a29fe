"""Training a candidate's network as an evaluator."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphnas.cell import Architecture
from graphnas.evaluate.protocol import EvaluationFailed, Report, Result
from graphnas.networks import (
    Network,
    NetworkSpace,
    build_network,
    count_macs,
    count_parameters,
    make_operations,
    read_skeleton,
)
from graphnas.tasks import Task, load_task
from graphnas.training import (
    TrainingConfig,
    TrainingDiverged,
    TrainingOutcome,
    evaluate_split,
    predict,
    train,
)
from graphnas.training.seeds import check_seed


@dataclass(frozen=True)
class TestedNetwork:
    """A trained network and what it reaches on data that no search has seen."""

    __test__ = False  # the name is no test's

    network: Network
    """The network in evaluation mode."""
    test_accuracy: float
    """Fraction of the test split that is classified correctly."""
    test_loss: float
    """Mean cross-entropy on the test split in nats."""
    validation_accuracy: float
    """Fraction of the validation split that is classified correctly."""


class TrainingEvaluator:
    """Builds an architecture's network, trains it, and returns its validation accuracy after the last epoch.

    Instances are small and can be pickled: data is loaded where they are unpickled, before any evaluation's clock runs.

    Args:
        space: Gives the operations and the skeleton.
        task: Name of a task.
        epochs: Epochs of a training without a budget.
        max_seconds: Seconds of wall time of a training without a budget, in place of epochs; what comes of it depends
            on the machine and on what else it does.
        sizes: Sizes of the skeleton by name, in place of the space's proxy sizes, which are made for small images;
            what neither names has the space's published size.
        device: Where to train.
        config: Settings of the training; the defaults are made for digits.
        predictions: Whether evaluations with a folder keep what the network predicts on validation and test images,
            which ensembles and analyses select by.

    Raises:
        ValueError: if the task is not known, a size is unknown or not a positive integer, the space's table of
            operations is wrong, `epochs` or `max_seconds` is not positive, or the settings leave nothing of an image.
    """

    def __init__(
        self,
        space: NetworkSpace,
        task: str = "digits",
        *,
        epochs: int = 20,
        max_seconds: float | None = None,
        sizes: Mapping[str, int] | None = None,
        device: str = "cpu",
        config: TrainingConfig | None = None,
        predictions: bool = False,
    ) -> None:
        self.space = space
        self.task = task
        self.epochs = epochs if max_seconds is None else None
        """Epochs of a training without a budget; None where it ends by the clock."""
        self.max_seconds = max_seconds
        self.sizes = read_skeleton(space.network, {**space.network.get("proxy", {}), **(sizes or {})}).sizes
        self.device = device
        self.config = config or TrainingConfig()
        self.predictions = predictions
        if epochs < 1:
            raise ValueError(f"Expected epochs to be a positive integer, but got {epochs!r}")
        if max_seconds is not None and not 0 < max_seconds < math.inf:
            raise ValueError(f"Expected max_seconds to be a finite number above 0, but got {max_seconds!r}")
        make_operations(space.operations)
        self.config_with(None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        task_of(self.task)

    @property
    def name(self) -> str:
        """Names the task."""
        return f"training:{self.task}"

    @property
    def fingerprint(self) -> str:
        """Of the task's images and labels."""
        return task_of(self.task).fingerprint

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        report: Report | None = None,
        folder: str | Path | None = None,
        until: int | None = None,
    ) -> Result:
        """Train an architecture; `value` is the validation accuracy after the last epoch.

        Args:
            architecture: An architecture of the space.
            budget: Epochs; `epochs` or `max_seconds` if None. The learning rate falls to 0 at the end.
            seed: Of initial weights, order and shifts of the images.
            hyperparameters: Fields of `TrainingConfig` to replace.
            report: Called after each epoch with losses and accuracies.
            folder: Where the checkpoint, by which an interrupted training is resumed, and predictions are kept.
            until: Epoch after which the training stops, to go on in its folder later; the result is of these epochs.

        Raises:
            EvaluationFailed: if the network cannot be built, diverges or does not fit into memory.
            ValueError: if a hyperparameter is unknown, it, the seed or `until` is out of range, or the folder holds
                another training.
        """
        config, seed = self.config_with(hyperparameters), check_seed(seed)
        epochs = self._epochs(budget)
        network, outcome = self._trained(architecture, epochs, seed, config, report, folder, until)
        task = task_of(self.task)
        metrics = {name: values[-1] for name, values in outcome.curve.items()}
        metrics["parameters"] = float(count_parameters(network))
        metrics["macs"] = float(count_macs(network, (task.in_channels, task.image_size, task.image_size)))
        metrics["cpu_seconds"] = outcome.cpu_seconds
        predictions = {}
        if self.predictions and folder is not None:
            for name, split in (("validation", task.validation), ("test", task.test)):
                with _told_apart("its predictions failed"):
                    logits = predict(network, task, split.images).log_softmax(1).cpu().numpy().astype(np.float32)
                predictions[name] = Path(folder) / f"predictions-{name}.npz"
                np.savez(
                    predictions[name],
                    log_probabilities=logits,
                    labels=split.labels.cpu().numpy(),
                    task=np.array(self.task),
                    fingerprint=np.array(task.fingerprint),
                )
        return Result(
            value=metrics["validation_accuracy"],
            metrics=metrics,
            curve=outcome.curve,
            seconds=outcome.seconds,
            cost=outcome.cpu_seconds,
            budget=len(outcome.curve["train_loss"]),
            seed=seed,
            evaluator=self.name,
            predictions=predictions,
        )

    def test(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
    ) -> TestedNetwork:
        """Test accuracy of an architecture's network, for the end of a search.

        Args:
            architecture: As in `evaluate`.
            budget: As in `evaluate`.
            seed: As in `evaluate`.
            hyperparameters: As in `evaluate`.
            folder: Folder of the same evaluation, whose weights are used; without one the network is trained again.

        Raises:
            EvaluationFailed: as in `evaluate`.
            ValueError: as in `evaluate`.
        """
        config, seed = self.config_with(hyperparameters), check_seed(seed)
        network, _ = self._trained(architecture, self._epochs(budget), seed, config, None, folder, None)
        network.eval()
        task = task_of(self.task)
        with _told_apart("its test failed"):
            test_loss, test_accuracy = evaluate_split(network, task, task.test)
            validation_accuracy = evaluate_split(network, task, task.validation)[1]
        return TestedNetwork(network, test_accuracy, test_loss, validation_accuracy)

    def _epochs(self, budget: int | None) -> int | None:
        if budget is None:
            return self.epochs
        if budget < 1:
            raise ValueError(f"Expected a budget of at least one epoch, but got {budget!r}")
        return int(budget)

    def config_with(self, hyperparameters: Mapping[str, Any] | None) -> TrainingConfig:
        """How networks are trained with these settings in place of the evaluator's own.

        Raises:
            ValueError: if one is unknown or out of range, or nothing would be left of an image.
        """
        known = {field.name for field in fields(TrainingConfig)}
        unknown = set(hyperparameters or ()) - known
        if unknown:
            raise ValueError(f"Expected hyperparameters of {sorted(known)}, but got {sorted(unknown)}")
        config, size = replace(self.config, **(hyperparameters or {})), task_of(self.task).image_size
        for name in ("cutout", "shift"):
            pixels = getattr(config, name)
            if pixels is not None and pixels >= size:
                raise ValueError(
                    f"{name} is out of range: expected fewer pixels than the {size} of an image of {self.task}, but "
                    f"got {pixels}"
                )
        return config

    def _trained(
        self,
        architecture: Architecture,
        epochs: int | None,
        seed: int,
        config: TrainingConfig,
        report: Report | None,
        folder: str | Path | None,
        until: int | None,
    ) -> tuple[Network, TrainingOutcome]:
        task = task_of(self.task)
        generator = torch.Generator().manual_seed(seed)
        with _told_apart("the network cannot be built"):
            try:
                network = build_network(
                    architecture,
                    self.space,
                    sizes=self.sizes,
                    classes=task.classes,
                    in_channels=task.in_channels,
                    generator=generator,
                )
            except ValueError as error:
                raise EvaluationFailed(f"the network cannot be built: {error}") from error
        identity = f"{architecture.to_json()} {sorted(self.sizes.items())}"
        with _told_apart("the training failed"):
            outcome = train(
                network,
                task,
                epochs=epochs,
                max_seconds=self.max_seconds if epochs is None else None,
                seed=seed,
                device=self.device,
                config=config,
                report=report,
                folder=folder,
                until=until,
                identity=identity,
            )
        return network, outcome


@contextlib.contextmanager
def _told_apart(what: str) -> Iterator[None]:
    """Failures of networks by their reasons: diverged, out of memory, or `what`."""
    try:
        yield
    except TrainingDiverged as error:
        raise EvaluationFailed(f"diverged: {error}") from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise EvaluationFailed(f"out of memory: {error}") from error
    except RuntimeError as error:
        # Torch reports both a tensor too large for the machine's memory and an image too small for a pool so.
        reason = "out of memory" if "allocate" in str(error) else what
        raise EvaluationFailed(f"{reason}: {error}") from error


@functools.cache
def task_of(name: str) -> Task:
    """A task by name, loaded once a process."""
    return load_task(name)
