"""Train the proposed cells of eight vertices beside the best ones of seven.

The rows are the cells that `eight_vertices.py` proposed, the cells of NAS-Bench-101 with the best test accuracy of one
run, those with the best denoised accuracy, and random cells of eight and of seven vertices. Networks of all are trained
by the same recipe; every cell with every seed, and what stands in the table is the mean over the cells of a row.

    python runs/eight_vertices_trained.py --seeds 3
    python runs/eight_vertices_trained.py --task cifar10 --recipe nasbench101 --device cuda

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from records import Record
from rich.console import Console

from graphnas.cell import Architecture
from graphnas.evaluate import TrainingEvaluator, TrainingRecipe, open_table
from graphnas.evaluate.nasbench101 import DENOISED
from graphnas.spaces import Space

RECIPE = TrainingRecipe.of({"epochs": 20})
COLUMNS = {
    "validation": "mean validation accuracy",
    "test": "mean test accuracy",
    "best": "test accuracy of the best by validation",
    "parameters": "mean parameters",
}


def proposed(cells: int) -> list[Architecture]:
    found = json.loads(Path("runs/cells/eight_vertices.json").read_text(encoding="utf-8"))
    return [Architecture.from_json(json.dumps(one["architecture"])) for one in found[:cells]]


def best_measured(cells: int, column: str = "test_acc_run0") -> list[Architecture]:
    table = open_table("nasbench101")
    return table.architectures(np.argsort(-table.column(column), kind="stable")[:cells].tolist())


def random_of(cells: int, vertices: int) -> list[Architecture]:
    space = Space.load("nasbench101", max_vertices=vertices)
    drawn = space.sample(20 * cells, np.random.default_rng(0))
    return [one for one in drawn if one.cells[0].size == vertices][:cells]


ROWS: dict[str, tuple[str, Callable[[int], list[Architecture]]]] = {
    "proposed, 8": ("cells of eight vertices that the latent search proposed", proposed),
    "best, 7": ("the best cells of the table, test accuracy of one run", best_measured),
    "best denoised, 7": ("the best cells of the table, denoised", lambda cells: best_measured(cells, DENOISED)),
    "random, 8": ("random cells of eight vertices", lambda cells: random_of(cells, 8)),
    "random, 7": ("random cells of seven vertices", lambda cells: random_of(cells, 7)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10, help="cells of each row")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--recipe", type=Path, help="as in graphnas search; twenty epochs if not given")
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="runs/results/eight_vertices_TASK.json if not given")
    args = parser.parse_args()
    torch.set_num_threads(1)
    recipe = TrainingRecipe.load(args.recipe) if args.recipe else RECIPE
    epochs = args.epochs or recipe.epochs or 20
    space = Space.load("nasbench101", max_vertices=8)
    evaluator = TrainingEvaluator(
        space, args.task, epochs=epochs, sizes=recipe.sizes, config=recipe.config, device=args.device
    )
    kind = args.task.partition(":")[0].partition("#")[0]
    record = Record(
        args.out or Path(f"runs/results/eight_vertices_{kind}.json"),
        name=f"eight_vertices_{kind}",
        figure=f"Cells of eight vertices beside cells of seven, trained on {args.task} for {epochs} epochs",
        settings={"cells": args.cells, "task": args.task, "epochs": epochs, "sizes": evaluator.sizes},
        columns=COLUMNS,
        rows={row: about for row, (about, _) in ROWS.items()},
    )
    screen = Console(stderr=True)
    for row, (_, cells_of) in ROWS.items():
        for seed in range(record.seeds(row), args.seeds):
            clock, found = time.process_time(), []
            for cell in cells_of(args.cells):
                with tempfile.TemporaryDirectory() as folder:
                    result = evaluator.evaluate(cell, seed=seed, folder=folder)
                    tested = evaluator.test(cell, seed=seed, folder=folder)
                found.append((result.value, tested.test_accuracy, result.metrics["parameters"]))
            validation, test, parameters = np.array(found).T
            measured = {
                "validation": validation.mean(),
                "test": test.mean(),
                "best": test[int(validation.argmax())],
                "parameters": parameters.mean(),
            }
            record.add(row, measured, time.process_time() - clock)
            screen.print(f"{row}, seed {seed}: {test.mean():.4f}")
    record.show()


if __name__ == "__main__":
    main()
