"""The one trainer of candidate networks."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.tasks import Split, Task
from graphnas.training.augmentation import augmented
from graphnas.training.checkpoint import load_checkpoint, save_checkpoint
from graphnas.training.config import TrainingConfig
from graphnas.training.optimizers import make_optimizer, restore_state, state_tensors
from graphnas.training.pooling import FastPools
from graphnas.training.regularisation import AuxiliaryClassifier, AveragedWeights, DroppedPaths
from graphnas.training.seeds import check_seed

_PIXELS = 512 * 32 * 32  # of the images that are looked at together outside of training
_RESOLUTION = 10_000  # steps of the schedule of a training that is given seconds


class TrainingDiverged(Exception):
    """The loss of a training is no longer finite."""


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training leaves behind besides the network's weights."""

    curve: dict[str, tuple[float, ...]]
    """One value an epoch of `train_loss`, `validation_loss` (nats), `train_accuracy`, `validation_accuracy`
    (fractions); the training figures are those of the steps, on changed images and in training mode."""
    seconds: float
    """Wall time, earlier parts of a resumed training included."""
    cpu_seconds: float
    """CPU time of the process, all threads, earlier parts included."""


def train(
    network: nn.Module,
    task: Task,
    *,
    epochs: int | None = None,
    max_seconds: float | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    config: TrainingConfig | None = None,
    report: Callable[[int, Mapping[str, float]], None] | None = None,
    folder: str | Path | None = None,
    until: int | None = None,
    identity: str = "",
) -> TrainingOutcome:
    """Fit a network's weights in place.

    Equal networks, settings and seeds give equal weights on a CPU with the same number of threads, if epochs are
    given. The global random state is neither read nor changed.

    Args:
        network: A classifier of the task's images.
        task: Data; its test split is not touched.
        epochs: Passes over the training split.
        max_seconds: Seconds of wall time in place of epochs; the learning rate falls to 0 at their end, wherever in an
            epoch that is, and only then.
        seed: Of the order of the images and their changes, from 0 to 2**63 - 1.
        device: Where to train; the network stays there.
        config: Further settings.
        report: Called after each epoch with its number, from 1, and its row of the curve; may raise to stop.
            A resumed training reports its earlier epochs again.
        folder: Where a checkpoint is kept. One that is there already is resumed, and the outcome is as if the
            training had never stopped.
        until: Epoch, of the `epochs`, after which this call returns; another one with the same folder goes on.
        identity: Says what is trained, such as the architecture's JSON; a checkpoint of something else is refused.

    Raises:
        TrainingDiverged: if a loss is not finite.
        ValueError: if there are neither epochs nor seconds or both, the seed or `until` is out of range, the device or
            the network cannot do what the settings ask for, or the folder's checkpoint belongs to another training.
    """
    if (epochs is None) == (max_seconds is None):
        raise ValueError(f"Expected either epochs or max_seconds, but got {epochs!r} and {max_seconds!r}")
    if epochs is not None and epochs < 1:
        raise ValueError(f"Expected at least one epoch, but got {epochs}")
    if until is not None and (epochs is None or not 1 <= until <= epochs):
        raise ValueError(f"Expected until to be from 1 to the number of epochs, {epochs}, but got {until}")
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        raise ValueError(f"Expected max_seconds to be a finite number above 0, but got {max_seconds!r}")
    config, seed = config or TrainingConfig(), check_seed(seed)
    budget = {"epochs": epochs} if max_seconds is None else {"max_seconds": max_seconds}
    about = {**budget, "seed": seed, "task": task.name, "identity": identity, "config": asdict(config)}
    curve: dict[str, list[float]] = {}
    wall, cpu = 0.0, 0.0
    with _backends(config), _Run(network, task.to(device), config, seed, torch.device(device)) as run:
        if folder is not None and (checkpoint := load_checkpoint(Path(folder))) is not None:
            tensors, state = checkpoint
            if state.get("about") != about:
                raise ValueError(f"The checkpoint in {folder} belongs to a training of other settings")
            run.restore(tensors, state["averaged"])
            curve, wall, cpu = state["curve"], state["seconds"], state["cpu_seconds"]
        start_wall, start_cpu = time.perf_counter() - wall, time.process_time() - cpu
        schedule = _Schedule(epochs, max_seconds, start_wall)
        done = len(curve.get("train_loss", ()))
        if report is not None:
            for epoch in range(1, done + 1):
                report(epoch, {name: values[epoch - 1] for name, values in curve.items()})
        # Whether it is over is a question of what a checkpoint says, so that one of the end is not gone on from.
        while not (schedule.over(done, wall) if until is None else done >= until):
            metrics = run.epoch(done, schedule)
            done += 1
            wall = time.perf_counter() - start_wall
            for name, value in metrics.items():
                curve.setdefault(name, []).append(value)
            if folder is not None:
                spent = {"seconds": wall, "cpu_seconds": time.process_time() - start_cpu}
                state = {"about": about, "curve": curve, "averaged": run.averaged_steps, **spent}
                save_checkpoint(Path(folder), run.tensors(), state)
            if report is not None:
                report(done, metrics)
        run.finish()
    return TrainingOutcome(
        curve={name: tuple(values) for name, values in curve.items()},
        seconds=time.perf_counter() - start_wall,
        cpu_seconds=time.process_time() - start_cpu,
    )


def predict(network: nn.Module, task: Task, images: Tensor, *, batch_size: int | None = None) -> Tensor:
    """`n x classes` logits in evaluation mode, on the network's device; the mode is put back afterwards.

    Args:
        network: A classifier of the task's images.
        task: Says how images are standardised.
        images: `n x channels x height x width` pixels.
        batch_size: Images at once; up to 512, and of large images as many as have the pixels of 512 small ones, if
            None.
    """
    batch_size = batch_size or max(1, min(512, _PIXELS // (images.shape[-2] * images.shape[-1])))
    mode = network.training
    network.eval()
    try:
        with torch.no_grad():
            device = next(network.parameters(), images).device
            return torch.cat(
                [network(task.standardised(batch.to(device))) for batch in torch.split(images, batch_size)]
            )
    finally:
        network.train(mode)


def evaluate_split(network: nn.Module, task: Task, split: Split) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy as a fraction."""
    logits = predict(network, task, split.images)
    labels = split.labels.to(logits.device)
    return float(task.loss(logits, labels)), float(task.correct(logits, labels).double().mean())


@dataclass(frozen=True)
class _Schedule:
    """How far a training is, by its epochs or by the clock."""

    epochs: int | None
    max_seconds: float | None
    start: float
    """Reading of the clock at which the training would have begun without stops."""

    def over(self, done: int, seconds: float) -> bool:
        """Whether the training ends after so many epochs and seconds."""
        return done >= self.epochs if self.epochs is not None else seconds >= (self.max_seconds or 0.0)

    def place(self, done: int, step: int, steps: int) -> tuple[int, int]:
        """Steps of the schedule that lie behind, and all of them, at a step of the epoch after those that are done."""
        if self.epochs is not None:
            return done * steps + step, self.epochs * steps
        assert self.max_seconds is not None
        return int((time.perf_counter() - self.start) / self.max_seconds * _RESOLUTION), _RESOLUTION


class _Run:
    """A network in training, with what stands around it; as a context, it takes its hooks off the network again."""

    def __init__(self, network: nn.Module, task: Task, config: TrainingConfig, seed: int, device: torch.device) -> None:
        self.task, self.config, self.seed, self.device = task, config, seed, device
        able = device.type == "cuda" and torch.cuda.is_bf16_supported()
        if config.precision == "bfloat16" and not able:
            raise ValueError(f"Expected precision to be auto or float32 on {device}, but got bfloat16")
        self.mixed = config.precision != "float32" and able
        self.layout = torch.channels_last if self.mixed else torch.contiguous_format
        self.network = network.to(device, memory_format=self.layout)  # type: ignore[call-overload]
        self.pools = FastPools(network) if device.type == "cpu" and not config.compile else None
        self.paths = DroppedPaths(network) if config.drop_path else None
        self.auxiliary = None
        if config.auxiliary:
            generator = torch.Generator().manual_seed(_word(seed, 0))
            images = task.standardised(task.train.images[:2])
            self.auxiliary = AuxiliaryClassifier(network, images, task.classes, generator)
        trained = {"network": network} if self.auxiliary is None else {"network": network, "auxiliary": self.auxiliary}
        self.trained = nn.ModuleDict(trained)
        self.average = AveragedWeights(network, config.ema) if config.ema else None
        self.optimizer = make_optimizer(self.trained, config)
        # Batches are all of one size; cells of several would otherwise make the compiler reason about any size.
        self.forward = torch.compile(network, dynamic=False) if config.compile else network

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *error: object) -> None:
        for watcher in (self.pools, self.paths, self.auxiliary):
            if watcher is not None:
                watcher.remove()

    def epoch(self, done: int, schedule: _Schedule) -> dict[str, float]:
        """One pass over the training images, or what the time allows of it, and one over the validation images."""
        # Each epoch draws from a generator of its own, so that a resumed training needs no random state.
        generator = torch.Generator().manual_seed(_word(self.seed, done + 1))
        if self.paths is not None:
            self.paths.generator = torch.Generator(self.device).manual_seed(_word(self.seed, done + 1))
            place, end = schedule.place(done, 0, 1)
            self.paths.probability = self.config.drop_path * place / end
        self.network.train()
        n = len(self.task.train.labels)
        size = min(self.config.batch_size, n)
        # The last images of the order, too few for a batch, sit this epoch out: normalisation needs whole batches.
        order = torch.randperm(n, generator=generator)[: n // size * size].to(self.device)
        # Sums stay on the device: reading one at each step would make a GPU wait for the processor.
        total, correct, steps = torch.zeros((), device=self.device), torch.zeros((), device=self.device), 0
        for batch in torch.split(order, size):
            place, end = schedule.place(done, steps, n // size)
            if place >= end and steps:
                break
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.rate(min(place, end - 1), end)
            loss, right = self._step(batch, generator)
            total += loss
            correct += right
            steps += 1
        metrics = {"train_loss": float(total) / steps, "train_accuracy": float(correct) / (steps * size)}
        if not np.isfinite(metrics["train_loss"]):
            raise TrainingDiverged(f"the training loss is not finite in epoch {done + 1}")
        with self._averaged():
            metrics["validation_loss"], metrics["validation_accuracy"] = evaluate_split(
                self.network, self.task, self.task.validation
            )
        if not np.isfinite(metrics["validation_loss"]):
            raise TrainingDiverged(f"the validation loss is not finite after epoch {done + 1}")
        return metrics

    def _step(self, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Loss, the auxiliary classifier's not included, and number of images classified correctly."""
        config, labels = self.config, self.task.train.labels[batch]
        images = augmented(self.task.train.images[batch], self.task, config, generator)
        images = images.contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            logits = self.forward(images).float()
            loss = objective = self.task.loss(logits, labels, smoothing=config.label_smoothing)
            if self.auxiliary is not None:
                second = self.task.loss(self.auxiliary().float(), labels, smoothing=config.label_smoothing)
                objective = loss + config.auxiliary * second
        self.optimizer.zero_grad()
        objective.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trained.parameters(), config.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network)
        return loss.detach(), self.task.correct(logits.detach(), labels).sum()

    @property
    def averaged_steps(self) -> int:
        """Steps that the moving average has seen."""
        return 0 if self.average is None else self.average.steps

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The network with its averaged weights, if there are any."""
        if self.average is None:
            yield
            return
        own = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.values)
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    def finish(self) -> None:
        """Give the network its averaged weights, if there are any."""
        if self.average is not None:
            self.network.load_state_dict(self.average.values)

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed training needs."""
        tensors = {f"weights.{name}": value for name, value in self.trained.state_dict().items()}
        tensors |= {f"state.{name}": value for name, value in state_tensors(self.trained, self.optimizer).items()}
        if self.average is not None:
            tensors |= {f"average.{name}": value for name, value in self.average.values.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], averaged_steps: int) -> None:
        """Inverse of `tensors`."""

        def part(kind: str) -> dict[str, Tensor]:
            return {name.removeprefix(kind): value for name, value in tensors.items() if name.startswith(kind)}

        self.trained.load_state_dict(part("weights."))
        restore_state(self.trained, self.optimizer, part("state."))
        if self.average is not None:
            for name, value in part("average.").items():
                self.average.values[name].copy_(value)
            self.average.steps = averaged_steps


@contextlib.contextmanager
def _backends(config: TrainingConfig) -> Iterator[None]:
    """Torch's global settings as the training wants them, and as they were afterwards."""
    benchmark, deterministic = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    if config.deterministic:
        # Without it cuBLAS refuses products; it is read when a process first uses a GPU.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = not config.deterministic
    torch.use_deterministic_algorithms(config.deterministic or deterministic)
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark
        torch.use_deterministic_algorithms(deterministic)


def _word(seed: int, number: int) -> int:
    """A seed of torch's generators for the epoch of a number."""
    words = np.random.SeedSequence((seed, number)).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])
