"""Train every cell of NAS-Bench-101's space with at most five vertices on digits: the benchmark digits101.

2,532 cells, three seeds each, 300 training images; the other images are halved into validation and test. Every cell is
trained by the same recipe, and all curves are kept. The work is cut into shards, each a file in
`spaces/benchmarks/digits101/shards`; a shard that was interrupted goes on where it was, and shards may be trained on
several machines. `pilot` measures how well seeds agree after trainings of several lengths, by which the length was
chosen; `check` trains some cells anew and compares; `merge` makes `spaces/benchmarks/digits101/digits101.npz` of all
shards.

    python runs/digits101.py pilot --epochs 6 12 20
    python runs/digits101.py train --shards 0-23
    python runs/digits101.py check --cells 10
    python runs/digits101.py merge

The same seed gives the same training on one kind of processor. On another, differences in the last digits grow in the
first, unsteady epochs, and a training ends about as far from the first as one of another seed; `check` tells how far.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from records import Record
from rich.console import Console
from scipy.stats import spearmanr

from graphnas.cell import Architecture
from graphnas.evaluate import TrainingEvaluator
from graphnas.spaces import Space
from graphnas.training import TrainingConfig

FOLDER = Path("spaces/benchmarks/digits101")
UNFINISHED = Path("results/digits101")
SHARDS = 24
SEEDS = (0, 1, 2)
TASK = "digits#300"
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
PILOT_CELLS = 60


def cells_of(space: Space) -> list[Architecture]:
    """All cells, one of each class, in the order of their hashes."""
    cells = list(space.enumerate())
    return [cell for _, cell in sorted(zip(space.hashes(cells), cells, strict=True), key=lambda pair: pair[0])]


def trainer(space: Space, epochs: int) -> TrainingEvaluator:
    """How every cell is trained."""
    return TrainingEvaluator(space, TASK, epochs=epochs, config=TrainingConfig(batch_size=32))


def measure(evaluator: TrainingEvaluator, cell: Architecture, seed: int) -> dict[str, Any]:
    """One training: curves, what the network reaches on the test images, and costs."""
    with tempfile.TemporaryDirectory() as folder:
        result = evaluator.evaluate(cell, seed=seed, folder=folder)
        tested = evaluator.test(cell, seed=seed, folder=folder)
    return {
        **{name: [round(value, 6) for value in result.curve[name]] for name in CURVES},
        "test_loss": round(tested.test_loss, 6),
        "test_accuracy": round(tested.test_accuracy, 6),
        "cpu_seconds": round(result.metrics["cpu_seconds"], 3),
        "parameters": int(result.metrics["parameters"]),
        "macs": int(result.metrics["macs"]),
    }


def train_shard(evaluator: TrainingEvaluator, cells: Sequence[Architecture], shard: int, screen: Console) -> None:
    """Train what is left of a shard, and write it."""
    path = FOLDER / "shards" / f"{shard:02}.npz"
    if path.exists():
        return
    rows = range(shard, len(cells), SHARDS)
    work = UNFINISHED / f"{shard:02}.jsonl"
    work.parent.mkdir(parents=True, exist_ok=True)
    text = work.read_text(encoding="utf-8") if work.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:  # a line was being written when the process ended
        work.write_text(whole, encoding="utf-8")
    done = {(one["row"], one["seed"]): one for one in map(json.loads, whole.splitlines())}
    began = time.process_time()
    with work.open("a", encoding="utf-8") as file:
        for row in rows:
            for seed in SEEDS:
                if (row, seed) not in done:
                    done[row, seed] = {"row": row, "seed": seed, **measure(evaluator, cells[row], seed)}
                    file.write(json.dumps(done[row, seed]) + "\n")
                    file.flush()
    columns = {name: [[done[row, seed][name] for seed in SEEDS] for row in rows] for name in done[rows[0], 0]}
    real = (*CURVES, "test_loss", "test_accuracy", "cpu_seconds")
    measured: dict[str, Any] = {name: np.array(columns[name], dtype=np.float32) for name in real}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as binary:
        np.savez_compressed(
            binary,
            row=np.array(rows, dtype=np.int16),
            epochs=np.array(evaluator.epochs),
            **measured,
            parameters=np.array(columns["parameters"], dtype=np.int32)[:, 0],
            macs=np.array(columns["macs"], dtype=np.int32)[:, 0],
        )
    part.replace(path)
    screen.print(f"shard {shard}: {len(rows)} cells in {time.process_time() - began:,.0f} CPU seconds")


def pilot(space: Space, cells: Sequence[Architecture], lengths: Sequence[int], out: Path) -> None:
    """How well seeds agree on random cells, by the epochs of the training."""
    chosen = np.random.default_rng(0).permutation(len(cells))[:PILOT_CELLS].tolist()
    record = Record(
        out,
        name="digits101_pilot",
        figure=f"{PILOT_CELLS} cells of digits101, 3 seeds: agreement of the seeds by the length of the training",
        settings={"task": TASK, "cells": PILOT_CELLS},
        columns={
            "loss": "Spearman of validation losses",
            "accuracy": "Spearman of validation accuracies",
            "mean_accuracy": "mean validation accuracy",
            "seconds": "CPU seconds a training",
        },
        rows={f"{epochs}": f"trainings of {epochs} epochs; one value for each pair of seeds" for epochs in lengths},
    )
    pairs = ((0, 1), (0, 2), (1, 2))
    for epochs in lengths:
        if record.seeds(str(epochs)) >= len(pairs):
            continue
        evaluator, clock = trainer(space, epochs), time.process_time()
        found = [[measure(evaluator, cells[row], seed) for seed in SEEDS] for row in chosen]
        spent = (time.process_time() - clock) / len(pairs)
        loss, accuracy = (
            np.array([[one[name][-1] for one in row] for row in found])
            for name in ("validation_loss", "validation_accuracy")
        )
        for one, other in pairs:
            record.add(
                str(epochs),
                {
                    "loss": float(spearmanr(loss[:, one], loss[:, other]).statistic),
                    "accuracy": float(spearmanr(accuracy[:, one], accuracy[:, other]).statistic),
                    "mean_accuracy": float(accuracy[:, [one, other]].mean()),
                    "seconds": spent / PILOT_CELLS,
                },
                spent,
            )
    record.show()


def check(evaluator: TrainingEvaluator, cells: Sequence[Architecture], count: int, screen: Console) -> None:
    """Train some cells of the table, or of the shards that are finished, anew, and say how far the curves are apart."""
    path, rng, apart = FOLDER / "digits101.npz", np.random.default_rng(0), []
    paths = [path] if path.exists() else sorted((FOLDER / "shards").glob("*.npz"))
    if not paths:
        raise SystemExit(f"there is neither {path} nor a finished shard to check")
    for path in paths:
        with np.load(path) as found:
            # Cells are listed in the order of the table, of which a shard says which rows it has.
            rows = found["row"] if "row" in found else np.arange(len(cells))
            if int(found["epochs"]) != evaluator.epochs:
                raise SystemExit(f"{path} holds trainings of {int(found['epochs'])} epochs; say so with --epochs")
            for place in rng.permutation(len(rows))[: max(1, round(count / len(paths)))].tolist():
                seed = int(rng.integers(len(SEEDS)))
                again = measure(evaluator, cells[int(rows[place])], seed)
                before = found["validation_loss"][place, seed]
                apart.append(float(np.abs(np.array(again["validation_loss"]) - before).max()))
                if again["parameters"] != int(found["parameters"][place]):
                    raise SystemExit(f"{path}: row {place}: expected {again['parameters']} parameters")
    screen.print(f"{len(apart)} trainings again: validation losses are at most {max(apart):.2g} apart")


def merge(space: Space, cells: Sequence[Architecture], screen: Console) -> None:
    """One table of all shards, seconds in those of the first shard's processor; the shards are deleted."""
    paths = [FOLDER / "shards" / f"{shard:02}.npz" for shard in range(SHARDS)]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise SystemExit(f"shards are missing: {', '.join(missing)}")
    shards = [dict(np.load(path)) for path in paths]
    if len({int(shard["epochs"]) for shard in shards}) > 1:
        raise SystemExit("shards were trained for different epochs")
    order = np.argsort(np.concatenate([shard.pop("row") for shard in shards]))
    epochs = shards[0].pop("epochs")
    # Processors differ in speed. Shards hold every 24th cell each, so on one processor they would cost about the same.
    for shard in shards[1:]:
        shard["cpu_seconds"] = shard["cpu_seconds"] * (shards[0]["cpu_seconds"].mean() / shard["cpu_seconds"].mean())
    columns: dict[str, Any] = {name: np.concatenate([shard[name] for shard in shards])[order] for name in shards[0]}
    arrays = space.to_arrays(list(cells))
    hashes = np.frombuffer(bytes.fromhex("".join(space.hashes(list(cells)))), dtype=np.uint8).reshape(len(cells), 16)
    path = FOLDER / "digits101.npz"
    np.savez_compressed(
        path,
        hash=hashes,
        ops=arrays.ops,
        adjacency=arrays.adjacency,
        size=arrays.size,
        epochs=epochs,
        **columns,
    )
    for one in paths:
        one.unlink()
    screen.print(f"{path}: {len(cells):,} cells, {path.stat().st_size / 2**20:.2f} MiB")


def numbers(text: str) -> list[int]:
    """`0-3,7` as numbers."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("pilot", "train", "check", "merge"))
    parser.add_argument("--epochs", type=int, nargs="+", default=[12], help="of each training; several for the pilot")
    parser.add_argument("--shards", type=numbers, default=list(range(SHARDS)), help="to train, as in 0-3,7")
    parser.add_argument("--cells", type=int, default=10, help="to check")
    parser.add_argument("--out", type=Path, default=Path("runs/results/digits101_pilot.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    space, screen = Space.load("digits101"), Console(stderr=True)
    cells = cells_of(space)
    evaluator = trainer(space, args.epochs[0])
    if args.part == "pilot":
        pilot(space, cells, args.epochs, args.out)
    elif args.part == "train":
        for shard in args.shards:
            train_shard(evaluator, cells, shard, screen)
    elif args.part == "check":
        check(evaluator, cells, args.cells, screen)
    else:
        merge(space, cells, screen)


if __name__ == "__main__":
    main()
