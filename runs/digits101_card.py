"""What the benchmark digits101 is like: how far its seeds, epochs and NAS-Bench-101 agree, and its card.

Rank correlations go to the result file; `spaces/benchmarks/digits101/README.md` is written from them and the table.

    python runs/digits101_card.py
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from digits101 import FOLDER, SEEDS, TASK
from numpy.typing import NDArray
from records import Record
from scipy.stats import spearmanr

from graphnas.cell import Architecture
from graphnas.evaluate import open_table
from graphnas.evaluate.digits101 import Digits101Table
from graphnas.report import compact
from graphnas.training import TrainingConfig

FloatArray = NDArray[np.float64]

ROWS = {
    "seeds": "one training and another of the same cell; one value for each pair of seeds",
    "one and the others": "one training and the mean of the other two; one value for each seed",
    "1 epoch": "the first epoch and the last, means of three",
    "3 epochs": "the third epoch and the last, means of three",
    "6 epochs": "the sixth epoch and the last, means of three",
    "parameters": "the number of parameters, more taken for better, and the mean of three",
    "NAS-Bench-101": "test accuracy in NAS-Bench-101 after 108 epochs (0.8 at least) and the mean of three",
}
COLUMNS = {
    "loss": "validation loss",
    "accuracy": "validation accuracy",
    "test": "test accuracy",
    "top": "loss, best tenth",
}
SHOWN = 5  # cells on the card
TRAINED_WITH = "torch 2.13.0+cpu, numpy 2.4.6, scikit-learn 1.9.1"
PILOT = Path("runs/results/digits101_pilot.json")


def measure(table: Digits101Table, out: Path) -> Record:
    """All rank correlations."""
    record = Record(
        out,
        name="digits101",
        figure=f"digits101, {len(table):,} cells: Spearman's correlation of",
        settings={"task": TASK, "cells": len(table), "epochs": table.epochs},
        columns=COLUMNS,
        rows=ROWS,
    )
    record.content["rows"] = {}
    single = {
        name: np.column_stack([sign * table.column(f"{metric}_run{run}") for run in range(len(SEEDS))])
        for name, metric, sign in (
            ("loss", "validation_loss", -1.0),
            ("accuracy", "validation_accuracy", 1.0),
            ("test", "test_accuracy", 1.0),
        )
    }
    mean = {name: values.mean(1) for name, values in single.items()}
    for one, other in ((0, 1), (0, 2), (1, 2)):
        add(record, "seeds", {name: (values[:, one], values[:, other]) for name, values in single.items()})
    for one in range(len(SEEDS)):
        rest = {name: np.delete(values, one, axis=1).mean(1) for name, values in single.items()}
        add(record, "one and the others", {name: (values[:, one], rest[name]) for name, values in single.items()})
    for row, epoch in (("1 epoch", 1), ("3 epochs", 3), ("6 epochs", 6)):
        early = {"loss": -table.column(f"validation_loss_e{epoch}")}
        early["accuracy"] = table.column(f"validation_accuracy_e{epoch}")
        add(record, row, {name: (values, mean[name]) for name, values in early.items()})
    parameters = table.column("parameters").astype(np.float64)
    add(record, "parameters", {name: (parameters, values) for name, values in mean.items()})
    larger = open_table("nasbench101")
    rows = [larger.row(Architecture("nasbench101", one.cells)) for one in table.architectures(range(len(table)))]
    known = np.array([row for row in rows if row is not None])
    there = np.array([row is not None for row in rows])
    reached = np.maximum(larger.column("test_acc_run0")[known], 0.8)
    add(record, "NAS-Bench-101", {name: (reached, values[there]) for name, values in mean.items()})
    return record


def add(record: Record, row: str, pairs: Mapping[str, tuple[FloatArray, FloatArray]]) -> None:
    """Correlations of pairs of figures, of which larger ones are better."""
    measured = {name: float(spearmanr(*pair).statistic) for name, pair in pairs.items()}
    first, second = pairs["loss"]
    best = np.argsort(-first)[: len(first) // 10]
    measured["top"] = float(spearmanr(first[best], second[best]).statistic)
    record.add(row, measured, 0.0)


def card(table: Digits101Table, rows: Mapping[str, Any]) -> str:
    """The text of the card."""
    config = TrainingConfig(batch_size=32)
    momentum = "Nesterov's momentum" if config.nesterov else "momentum"
    loss, accuracy = (
        np.column_stack([table.column(f"{name}_run{run}") for run in range(len(SEEDS))])
        for name in ("validation_loss", "validation_accuracy")
    )
    mean_loss, mean_accuracy, test = loss.mean(1), accuracy.mean(1), table.column("test_accuracy")
    parameters, seconds = table.column("parameters"), table.column("cpu_seconds")
    best = np.argsort(mean_loss)[:SHOWN].tolist()
    cells = [
        f"| {compact(table.architectures([row])[0])} | {mean_loss[row]:.3f} ± {loss[row].std(ddof=1):.3f} | "
        f"{mean_accuracy[row]:.4f} | {test[row]:.4f} | {parameters[row]:,.0f} |"
        for row in best
    ]
    agreement = [
        "| "
        + " | ".join([about.split(";")[0], *(correlation(rows[row], name) for name in ("loss", "top", "accuracy"))])
        for row, about in ROWS.items()
    ]
    top, apart = int(mean_accuracy.argmax()), np.sqrt(2)
    parts = [
        "# digits101",
        f"Every cell of NAS-Bench-101's space with at most five vertices, {len(table):,} classes, each really trained "
        "three times on handwritten digits. `graphnas search digits101 --objective table` needs nothing else.",
        "## Protocol",
        "- **Images:** the 1,797 digits of scikit-learn, 8 x 8 pixels: 300 to train on, the others halved into "
        f"validation and test, stratified, the same for every cell (`{TASK}`).",
        "- **Network:** three stacks of one cell behind a convolution to 8 channels, twice as many in each further "
        f"stack: {parameters.min():,.0f} to {parameters.max():,.0f} parameters, median {np.median(parameters):,.0f}.",
        f"- **Training:** {table.epochs} epochs of batches of {config.batch_size}; SGD with {momentum} "
        f"{config.momentum:g}, weight decay {config.weight_decay:g}, a learning rate of {config.learning_rate:g} that "
        f"rises for {config.warmup:.0%} of the steps and falls to 0 by a cosine; images are moved a pixel at random. "
        f"Seeds 0, 1 and 2 set weights, order and moves. One thread; {TRAINED_WITH}.",
        "- **Kept:** loss and accuracy on training and validation images after every epoch, on test images at the end; "
        f"CPU seconds, of which a training takes {seconds.mean():.1f}, those of each shard scaled to the processor of "
        "the first, since shards cost the same on one processor; parameters; multiply-adds.",
        "`Digits101Table` reads it. A search asks for `validation_accuracy`, the mean of three trainings after the "
        f"last epoch; `_run0` to `_run2` are single trainings, `_e1` to `_e{table.epochs - 1}` means after fewer "
        "epochs of the same trainings, so that `--fidelity hyperband` has real curves to go by.",
        "## Noise",
        f"Two trainings of one cell differ by {apart * loss.std(1, ddof=1).mean():.3f} in validation loss (standard "
        f"deviation), cells by {mean_loss.std():.3f} in their means; in accuracy by "
        f"{apart * accuracy.std(1, ddof=1).mean():.4f} and {mean_accuracy.std():.4f}. The mean validation accuracy of "
        f"a cell is {mean_accuracy.mean():.4f} on average and {mean_accuracy[top]:.4f} at best; that cell has "
        f"{test[top]:.4f} on test images, of all cells the best has {test.max():.4f}.",
        "\n".join(
            [
                "| Spearman of | validation loss | the same, best tenth | validation accuracy |",
                "| --- | --- | --- | --- |",
                *(f"{line} |" for line in agreement),
            ]
        ),
        *pilot(),
        "## Best cells, by mean validation loss",
        "\n".join(
            [
                "| cell: vertices with what feeds them | loss, three seeds | validation | test | parameters |",
                "| --- | --- | --- | --- | --- |",
                *cells,
            ]
        ),
        "Made by `python runs/digits101.py train` in 24 shards, `check` and `merge`, and by "
        "`python runs/digits101_card.py`. The same seed gives the same training on one kind of processor; on another, "
        "a training ends about as far from the first as one of another seed.",
    ]
    return "\n\n".join(map(wrapped, parts)).replace(".\n\n- **", ".\n- **") + "\n"


def pilot() -> list[str]:
    """What trainings of several lengths said beforehand; nothing if that was not measured."""
    if not PILOT.is_file():
        return []
    found = json.loads(PILOT.read_text(encoding="utf-8"))
    said = [
        f"{row} epochs {one['results']['loss']['mean']:.3f} (accuracy {one['results']['accuracy']['mean']:.3f}, "
        f"{one['results']['seconds']['mean']:.1f} CPU seconds a training)"
        for row, one in found["rows"].items()
    ]
    return [
        f"How long to train: {found['settings']['cells']} random cells, three seeds each. Spearman between the "
        f"validation losses of two seeds is, after trainings of {'; '.join(said)}."
    ]


def wrapped(text: str) -> str:
    """A paragraph in lines of at most 120 characters; tables as they are."""
    if text.startswith(("|", "#")):
        return text
    return textwrap.fill(text, 120, subsequent_indent="  " * text.startswith("- "), break_on_hyphens=False)


def correlation(row: Mapping[str, Any], name: str) -> str:
    """A mean over pairs, and what it is of."""
    found = row["results"].get(name)
    return "" if found is None else f"{found['mean']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/results/digits101.json"))
    args = parser.parse_args()
    args.out.unlink(missing_ok=True)
    table = Digits101Table.open()
    record = measure(table, args.out)
    record.show()
    (FOLDER / "README.md").write_text(card(table, record.content["rows"]), encoding="utf-8")


if __name__ == "__main__":
    main()
