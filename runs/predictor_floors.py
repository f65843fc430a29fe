"""How well predictors rank cells from few trainings of NAS-Bench-101 and 201, as `graphnas predict bench` asks.

- nasbench101: cells that the shipped encoder was not fitted to, 5,000 of them to predict; accuracies below 0.8, which
  are those of failed trainings, count as 0.8.
- nasbench201: CIFAR-10 validation accuracy, one cell of each class, 1,000 of them to predict.

    python runs/predictor_floors.py nasbench101 --seeds 10
    python runs/predictor_floors.py nasbench201 --seeds 10

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from records import Record
from rich.console import Console

from graphnas.bench.prediction import Grid, run_grid
from graphnas.bench.prediction_data import prediction_data

SIZES = {"nasbench101": (100, 1_000, 10_000), "nasbench201": (50, 400)}
TEST = {"nasbench101": 5_000, "nasbench201": 1_000}
PREDICTORS = ("latent-trees", "latent-gp")
MEASURES = {"spearman": "Spearman", "kendall": "Kendall", "precision_20": "precision@20", "rmse": "RMSE"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=SIZES)
    parser.add_argument("--predictors", nargs="+", default=list(PREDICTORS), metavar="NAME")
    parser.add_argument("--sizes", type=int, nargs="+", help="trainings learned from; all usual ones if not given")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, help="runs/results/predictors_DATA.json if not given")
    args = parser.parse_args()
    torch.set_num_threads(1)
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
