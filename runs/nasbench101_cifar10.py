"""Train cells of NAS-Bench-101 on CIFAR-10 by its recipe, beside what the table says of them, and measure the trainer.

The cells are the table's best by `test_acc_run0`, the median one, and ResNet's (two 3 x 3 convolutions beside a skip).
On a GPU the defaults are the published training, 108 epochs of the whole network; without one they are what a processor
does in minutes, fewer images and epochs of a narrow network, whose accuracies are not to be compared with the table's.

`speed` compares the trainer with a plain loop in PyTorch over the same network, images and optimizer, which moves all
images of a batch alike where the trainer moves each by itself, in turns (by CPU time where there is no GPU), and on a
GPU says what share of the measured speed of bfloat16 matrix products the trainer reaches.

    python runs/nasbench101_cifar10.py train
    python runs/nasbench101_cifar10.py speed
    python runs/nasbench101_cifar10.py train --device cuda

Rows that the result files hold are not measured again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from records import Record
from rich.console import Console
from torch.nn import functional as F

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import TrainingEvaluator, TrainingRecipe, open_table
from graphnas.networks import Network, build_network, count_macs
from graphnas.spaces import Space
from graphnas.tasks import Split, Task, load_task
from graphnas.training import train

LABEL = "test_acc_run0"
ROUNDS = 6  # of the trainer and the plain loop in turns


class Scale(NamedTuple):
    """How much of the published training is done."""

    task: str
    epochs: int
    channels: int
    batch_size: int


SCALES = {"cpu": Scale("cifar10#2000", 10, 16, 64), "cuda": Scale("cifar10", 108, 128, 256)}


def cells(space: Space) -> dict[str, tuple[Architecture, float]]:
    """Architectures by name, with their test accuracies."""
    table = open_table("nasbench101")
    accuracy = table.column(LABEL)
    order = np.argsort(accuracy, kind="stable")
    best, median = table.architectures([int(order[-1]), int(order[len(order) // 2])])
    resnet = Architecture(
        space.name,
        (Cell(("input", "conv3x3", "conv3x3", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 3)})),),
    )
    found = {}
    for name, one in (("best", best), ("median", median), ("ResNet", resnet)):
        row = table.row(one)
        assert row is not None
        found[name] = one, float(accuracy[row])
    return found


def recipe_of(scale: Scale) -> TrainingRecipe:
    """The published recipe at a scale; the learning rate follows the batch size."""
    recipe = TrainingRecipe.load(Path("runs/recipes/nasbench101.toml"))
    rate = recipe.config.learning_rate * scale.batch_size / recipe.config.batch_size
    return replace(
        recipe,
        epochs=scale.epochs,
        sizes={**recipe.sizes, "channels": scale.channels},
        config=replace(recipe.config, batch_size=scale.batch_size, learning_rate=rate),
    )


def train_cells(space: Space, scale: Scale, seeds: int, device: str, out: Path) -> None:
    """Every cell with every seed."""
    recipe = recipe_of(scale)
    evaluator = TrainingEvaluator(space, scale.task, device=device, **recipe.arguments())
    found = cells(space)
    record = Record(
        out,
        name=out.stem,
        figure=f"Cells of NAS-Bench-101 on {scale.task}: {scale.epochs} epochs, {scale.channels} channels, {device}",
        settings={**scale._asdict(), "device": _device_name(device)},
        columns={
            "test": "test accuracy",
            "validation": "validation accuracy",
            "table": "the table's test accuracy, 108 epochs",
            "seconds": "seconds",
            "images": "images a second, validation included",
        },
        rows={name: f"the {name} cell" for name in found},
    )
    images = len(load_task(scale.task).train.labels)
    for name, (cell, accuracy) in found.items():
        for seed in range(record.seeds(name), seeds):
            clock = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                result = evaluator.evaluate(cell, seed=seed, folder=folder)
                tested = evaluator.test(cell, seed=seed, folder=folder)
            measured = {
                "test": tested.test_accuracy,
                "validation": result.value,
                "table": accuracy,
                "seconds": result.seconds,
                "images": images * scale.epochs / result.seconds,
            }
            record.add(name, measured, time.process_time() - clock)
    record.show()


def speed(space: Space, scale: Scale, device: str, out: Path) -> None:
    """Images a second of the trainer and of a plain loop, in turns."""
    recipe, found = recipe_of(scale), cells(space)
    task = load_task(scale.task)
    # What both do: whole batches, one epoch, and no validation worth the name.
    images = len(task.train.labels) // scale.batch_size * scale.batch_size
    few = replace(
        task,
        train=Split(task.train.images[:images], task.train.labels[:images]),
        validation=Split(task.validation.images[:8], task.validation.labels[:8]),
    )
    # Others may use the processor meanwhile.
    clock_of_loop = time.perf_counter if torch.device(device).type == "cuda" else time.process_time
    record = Record(
        out,
        name=out.stem,
        figure=f"Images a second on {scale.task}: {scale.channels} channels, batches of {scale.batch_size}, {device}",
        settings={**scale._asdict(), "device": _device_name(device)},
        columns={
            "trainer": "trainer",
            "plain": "plain loop",
            "ratio": "trainer over plain loop",
            "share": "share of bfloat16 matrix products",
        },
        rows={name: f"the {name} cell" for name in found},
    )
    for name, (cell, _) in found.items():
        for seed in range(record.seeds(name), ROUNDS):
            clock, measured = time.process_time(), {}
            loops = (("plain", plain_epoch), ("trainer", trainer_epoch))
            for kind, loop in loops if seed % 2 else loops[::-1]:  # neither is always the second
                network = build_network(
                    cell,
                    space,
                    sizes=recipe.sizes,
                    classes=task.classes,
                    in_channels=task.in_channels,
                    generator=torch.Generator().manual_seed(seed),
                ).to(device)
                loop(network, few, recipe, device)  # what happens once, such as the choice of algorithms
                started = clock_of_loop()
                loop(network, few, recipe, device)
                measured[kind] = images / (clock_of_loop() - started)
            measured["ratio"] = measured["trainer"] / measured["plain"]
            if torch.device(device).type == "cuda":
                # A step forwards and backwards is about three passes of two operations a multiply-add.
                macs = count_macs(network, (task.in_channels, task.image_size, task.image_size))
                measured["share"] = 6 * macs * measured["trainer"] / matrix_speed(device)
            record.add(name, measured, time.process_time() - clock)
    record.show()


def trainer_epoch(network: Network, task: Task, recipe: TrainingRecipe, device: str) -> None:
    """One epoch of the library's trainer."""
    train(network, task, epochs=1, device=device, config=recipe.config)


def plain_epoch(network: Network, task: Task, recipe: TrainingRecipe, device: str) -> None:
    """One epoch as one would write it: the same optimizer, a shift for each batch, and mixed precision on a GPU."""
    config, mixed = recipe.config, torch.device(device).type == "cuda"
    layout = torch.channels_last if mixed else torch.contiguous_format
    network = network.to(memory_format=layout).train()  # type: ignore[call-overload]
    images, labels = task.train.images.to(device), task.train.labels.to(device)
    mean = torch.tensor(task.mean, device=device).view(1, -1, 1, 1)
    deviation = torch.tensor(task.deviation, device=device).view(1, -1, 1, 1)
    optimizer = torch.optim.RMSprop(
        network.parameters(),
        lr=config.learning_rate,
        alpha=0.9,
        eps=1.0,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    shift = task.shift if config.shift is None else config.shift
    size = task.image_size
    order = torch.randperm(len(labels), device=device)
    for batch in torch.split(order, config.batch_size):
        x = F.pad(images[batch], (shift,) * 4)
        across, down = torch.randint(0, 2 * shift + 1, (2,)).tolist()
        x = x[:, :, down : down + size, across : across + size]
        x = torch.where(torch.rand(len(x), 1, 1, 1, device=device) < 0.5, x.flip(3), x)
        x = ((x.float() - mean) / deviation).contiguous(memory_format=layout)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=mixed):
            loss = F.cross_entropy(network(x), labels[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    loss.item()


def matrix_speed(device: str) -> float:
    """Operations a second of large bfloat16 matrix products."""
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - started)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("train", "speed"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--task", help="in place of the device's own scale, and so the others")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--channels", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="runs/results/nasbench101_cifar10_COMMAND_DEVICE.json if not given")
    args = parser.parse_args()
    kind = torch.device(args.device).type
    if kind == "cpu":
        torch.set_num_threads(1)
    given = {name: getattr(args, name) for name in Scale._fields if getattr(args, name) is not None}
    scale = SCALES[kind]._replace(**given)
    out = args.out or Path(f"runs/results/nasbench101_cifar10_{args.command}_{kind}.json")
    space = Space.load("nasbench101")
    Console(stderr=True).print(f"{scale.task}, {scale.epochs} epochs, {scale.channels} channels, {args.device}")
    if args.command == "train":
        train_cells(space, scale, args.seeds, args.device, out)
    else:
        speed(space, scale, args.device, out)


if __name__ == "__main__":
    main()
