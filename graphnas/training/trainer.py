"""The one trainer of candidate networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnas.tasks import Split, Task
from graphnas.training.checkpoint import load_checkpoint, save_checkpoint
from graphnas.training.config import TrainingConfig
from graphnas.training.seeds import check_seed


class TrainingDiverged(Exception):
    """The loss of a training is no longer finite."""


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training leaves behind besides the network's weights."""

    curve: dict[str, tuple[float, ...]]
    """One value an epoch of `train_loss`, `validation_loss` (nats), `train_accuracy`, `validation_accuracy`
    (fractions); the training figures are those of the steps, on moved images and in training mode."""
    seconds: float
    """Wall time, earlier parts of a resumed training included."""
    cpu_seconds: float
    """CPU time of the process, all threads, earlier parts included."""


def train(
    network: nn.Module,
    task: Task,
    *,
    epochs: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    config: TrainingConfig | None = None,
    report: Callable[[int, Mapping[str, float]], None] | None = None,
    folder: str | Path | None = None,
    identity: str = "",
) -> TrainingOutcome:
    """Fit a network's weights in place.

    Equal networks, settings and seeds give equal weights on a CPU with the same number of threads. The global random
    state is neither read nor changed.

    Args:
        network: A classifier of the task's images.
        task: Data; its test split is not touched.
        epochs: Passes over the training split.
        seed: Of the order of the images and their shifts, from 0 to 2**63 - 1.
        device: Where to train; the network stays there.
        config: Further settings.
        report: Called after each epoch with its number, from 1, and its row of the curve; may raise to stop.
            A resumed training reports its earlier epochs again.
        folder: Where a checkpoint is kept. One that is there already is resumed, and the outcome is as if the
            training had never stopped.
        identity: Says what is trained, such as the architecture's JSON; a checkpoint of something else is refused.

    Raises:
        TrainingDiverged: if a loss is not finite.
        ValueError: if there are no epochs, the seed is out of range, or the folder's checkpoint belongs to another
            training.
    """
    config = config or TrainingConfig()
    if epochs < 1:
        raise ValueError(f"Expected at least one epoch, but got {epochs}")
    seed = check_seed(seed)
    network.to(device)
    train_split = Split(*(tensor.to(device) for tensor in task.train))
    validation = Split(*(tensor.to(device) for tensor in task.validation))
    optimizer = _optimizer(network, config)
    about = {
        "epochs": epochs,
        "seed": seed,
        "task": task.name,
        "identity": identity,
        "config": asdict(config),
    }
    curve: dict[str, list[float]] = {}
    wall, cpu = 0.0, 0.0
    if folder is not None and (checkpoint := load_checkpoint(Path(folder))) is not None:
        tensors, state = checkpoint
        if state.get("about") != about:
            raise ValueError(f"The checkpoint in {folder} belongs to a training of other settings")
        _restore(network, optimizer, tensors)
        curve, wall, cpu = state["curve"], state["seconds"], state["cpu_seconds"]
    start_wall, start_cpu = time.perf_counter() - wall, time.process_time() - cpu
    done = len(curve.get("train_loss", ()))
    if report is not None:
        for epoch in range(1, done + 1):
            report(epoch, {name: values[epoch - 1] for name, values in curve.items()})
    for epoch in range(done + 1, epochs + 1):
        metrics = _train_epoch(network, optimizer, train_split, task.background, config, epoch, epochs, seed)
        metrics["validation_loss"], metrics["validation_accuracy"] = evaluate_split(network, validation)
        if not np.isfinite(metrics["validation_loss"]):
            raise TrainingDiverged(f"the validation loss is not finite after epoch {epoch}")
        for name, value in metrics.items():
            curve.setdefault(name, []).append(value)
        if folder is not None:
            seconds = {
                "seconds": time.perf_counter() - start_wall,
                "cpu_seconds": time.process_time() - start_cpu,
            }
            save_checkpoint(Path(folder), _tensors(network, optimizer), {"about": about, "curve": curve, **seconds})
        if report is not None:
            report(epoch, metrics)
    return TrainingOutcome(
        curve={name: tuple(values) for name, values in curve.items()},
        seconds=time.perf_counter() - start_wall,
        cpu_seconds=time.process_time() - start_cpu,
    )


def predict(network: nn.Module, images: Tensor, *, batch_size: int = 512) -> Tensor:
    """`n x classes` logits in evaluation mode, on the network's device; the mode is put back afterwards."""
    mode = network.training
    network.eval()
    try:
        with torch.no_grad():
            like = next(network.parameters(), images)
            return torch.cat([network(batch.to(like.device)) for batch in torch.split(images, batch_size)])
    finally:
        network.train(mode)


def evaluate_split(network: nn.Module, split: Split) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy as a fraction."""
    logits = predict(network, split.images)
    labels = split.labels.to(logits.device)
    return float(F.cross_entropy(logits, labels)), float((logits.argmax(1) == labels).double().mean())


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.SGD,
    split: Split,
    background: float,
    config: TrainingConfig,
    epoch: int,
    epochs: int,
    seed: int,
) -> dict[str, float]:
    # Each epoch draws from a generator of its own, so that a resumed training needs no random state.
    words = np.random.SeedSequence((seed, epoch)).generate_state(2, np.uint32)
    generator = torch.Generator().manual_seed((int(words[0]) << 31) ^ int(words[1]))
    network.train()
    n = split.labels.shape[0]
    size = min(config.batch_size, n)
    order = torch.randperm(n, generator=generator)
    # The last images of the order, too few for a batch, sit this epoch out: normalisation needs whole batches.
    order = order[: n // size * size].to(split.labels.device)
    steps = n // size
    step = (epoch - 1) * steps
    total_loss, correct = 0.0, 0
    for batch in torch.split(order, size):
        rate = config.rate(step, epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        images = _shifted(split.images[batch], config.shift, background, generator)
        labels = split.labels[batch]
        logits = network(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise TrainingDiverged(f"the training loss is not finite in epoch {epoch}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimizer.step()
        total_loss += value
        correct += int((logits.argmax(1) == labels).sum())
        step += 1
    return {"train_loss": total_loss / steps, "train_accuracy": correct / (steps * size)}


def _shifted(images: Tensor, shift: int, background: float, generator: torch.Generator) -> Tensor:
    """Each image moved by its own random offset of at most `shift` pixels."""
    if shift == 0:
        return images
    n, _, height, width = images.shape
    padded = F.pad(images, (shift, shift, shift, shift), value=background)
    offsets = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator).to(images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)
    columns = offsets[1] + torch.arange(width, device=images.device)
    number = torch.arange(n, device=images.device)
    # Advanced indices around a slice: n x height x width x channels.
    moved = padded[number[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()


def _optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.SGD:
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True)


def _tensors(network: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        buffer = optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer
    return tensors


def _restore(network: nn.Module, optimizer: torch.optim.SGD, tensors: dict[str, Tensor]) -> None:
    weights = {key.removeprefix("network."): tensor for key, tensor in tensors.items() if key.startswith("network.")}
    network.load_state_dict(weights)
    for name, parameter in network.named_parameters():
        if (buffer := tensors.get(f"momentum.{name}")) is not None:
            optimizer.state[parameter]["momentum_buffer"] = buffer.to(parameter.device)
