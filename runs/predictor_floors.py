"""How well predictors rank cells from few trainings of NAS-Bench-101 and 201, as `graphnas predict bench` asks.

- nasbench101: cells that the shipped encoder was not fitted to, 5,000 of them to predict; accuracies below 0.8, which
  are those of failed trainings, count as 0.8.
- nasbench201: CIFAR-10 validation accuracy, one cell of each class, 1,000 of them to predict.
- whole: how long it takes to predict all 423,624 cells of NAS-Bench-101 from 1,000 trainings, on one thread.

    python runs/predictor_floors.py nasbench101 --seeds 10
    python runs/predictor_floors.py nasbench201 --seeds 10
    python runs/predictor_floors.py whole --predictors latent-trees latent-gp random-forest

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from records import Record
from rich.console import Console

from graphnas.bench.prediction import Grid, run_grid
from graphnas.bench.prediction_data import prediction_data
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import open_table
from graphnas.predictors import make_predictor
from graphnas.spaces import Space

SIZES = {"nasbench101": (100, 1_000, 10_000), "nasbench201": (50, 400)}
TEST = {"nasbench101": 5_000, "nasbench201": 1_000}
PREDICTORS = ("latent-trees", "latent-gp")
MEASURES = {"spearman": "Spearman", "kendall": "Kendall", "precision_20": "precision@20", "rmse": "RMSE"}
WHOLE = 1_000  # trainings from which the whole space is predicted


def whole(predictors: list[str], out: Path) -> None:
    """All cells of NAS-Bench-101, predicted one predictor after the other."""
    space, table = Space.load("nasbench101"), open_table("nasbench101")
    encoder = CellAutoencoder.from_pretrained(space.name)
    cells, accuracy = table.architectures(range(len(table))), table.column("test_acc_run0")
    known = np.random.default_rng(0).permutation(len(cells))[:WHOLE]
    arrays = space.to_arrays(cells)
    record = Record(
        out,
        name=out.stem,
        figure=f"{len(cells):,} cells of NAS-Bench-101 predicted from {WHOLE:,} trainings, one thread",
        settings={"trainings": WHOLE},
        columns={"fit": "CPU s to fit", "predict": "CPU s to predict all"},
        rows={name: f"the predictor {name}" for name in predictors},
    )
    for name in predictors:
        if record.seeds(name):
            continue
        predictor, began = make_predictor(name, space, encoder=encoder), time.process_time()
        predictor.fit([cells[row] for row in known], accuracy[known])
        fitted = time.process_time()
        predictor.predict(arrays)
        ended = time.process_time()
        record.add(name, {"fit": fitted - began, "predict": ended - fitted}, ended - began)
    record.show()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=(*SIZES, "whole"))
    parser.add_argument("--predictors", nargs="+", default=list(PREDICTORS), metavar="NAME")
    parser.add_argument("--sizes", type=int, nargs="+", help="trainings learned from; all usual ones if not given")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, help="runs/results/predictors_DATA.json if not given")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.data == "whole":
        whole(args.predictors, args.out or Path("runs/results/predictors_whole.json"))
        return
    data, sizes = prediction_data(args.data), args.sizes or SIZES[args.data]
    record = Record(
        args.out or Path(f"runs/results/predictors_{args.data}.json"),
        name=f"predictors_{args.data}",
        figure=f"{data.title}: {TEST[args.data]:,} others ranked from few trainings",
        settings={"test": TEST[args.data]},
        columns=MEASURES,
        rows={
            f"{name}, {size:,}": f"{name} fitted to {size:,} trainings" for name in args.predictors for size in sizes
        },
    )
    screen = Console(stderr=True)
    for name in args.predictors:
        for size in sizes:
            row = f"{name}, {size:,}"
            seeds = tuple(range(record.seeds(row), args.seeds))
            if not seeds:
                continue
            with tempfile.TemporaryDirectory() as folder:
                grid = Grid((name,), (size,), (1,), seeds, TEST[args.data])
                trials = run_grid(data, grid, Path(folder) / "trials.jsonl")
            for trial in trials:
                # The trainings cost one each; what is beyond them is the fit.
                seconds = trial.initialisation - size + trial.query * TEST[args.data]
                record.add(row, {measure: trial.measures[measure] for measure in MEASURES}, seconds)
                screen.print(f"{row}, seed {trial.seed}: {trial.measures['spearman']:.3f}")
    record.show()


if __name__ == "__main__":
    main()
