"""How good is a cell of NAS-Bench-101, apart from the luck of one training?

A search that maximises `test_acc_run0` ends on cells whose one run was lucky. The denoised accuracy of a cell is what
gradient-boosted trees predict of it that have never seen its label: five folds of all 423,624 cells, each predicted by
XGBoost fitted to the others, on one-hot, graph statistics and path counts. The library comes with it, in
`spaces/benchmarks/nasbench101_denoised`, and `graphnas bench p101-full` reports it of the best cells queried.

    python runs/denoised_nasbench101.py
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from records import Record
from scipy.stats import spearmanr

from graphnas.cell import CellArrays
from graphnas.encoders.features import one_hot, path_counts
from graphnas.encoders.statistics import graph_statistics
from graphnas.evaluate import NASBench101Table
from graphnas.evaluate.nasbench101 import write_denoised
from graphnas.spaces import Space

LABEL = "test_acc_run0"
FOLDS = 5
TREES: dict[str, Any] = {
    "n_estimators": 400, "max_depth": 9, "learning_rate": 0.1, "subsample": 0.8, "colsample_bytree": 0.5,
    "min_child_weight": 5, "tree_method": "hist", "n_jobs": 1, "random_state": 0,
}  # fmt: skip
CLIPPED = 0.8  # accuracies below are failures, and how bad a failure was tells nothing of the good cells
CHUNK = 20_000

Floats = NDArray[np.float32]


def features(space: Space, cells: CellArrays) -> Floats:
    """`n x f` one-hot, statistics and path counts."""
    blocks = []
    for start in range(0, cells.n, CHUNK):
        part = space.topology.canonical(cells.take(slice(start, start + CHUNK))).padded(space.topology.max_vertices)
        columns = (
            one_hot(part, space.vocabulary),
            graph_statistics(part, space.vocabulary),
            path_counts(part, space.vocabulary),
        )
        blocks.append(np.concatenate(columns, axis=1).astype(np.float32))
    return np.concatenate(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/results/denoised_nasbench101.json"))
    args = parser.parse_args()
    from xgboost import XGBRegressor

    space, table = Space.load("nasbench101"), NASBench101Table.open()
    args.out.unlink(missing_ok=True)
    record = Record(
        args.out,
        name="denoised_nasbench101",
        figure="Accuracy of one run of NAS-Bench-101, predicted by trees fitted to the other four fifths of the cells",
        settings={"trees": TREES, "folds": FOLDS, "clipped": CLIPPED},
        columns={
            "spearman": "Spearman",
            "spearman_top": "Spearman, best hundredth",
            "luck": "luck there, SD in points",
        },
        rows={
            "xgboost": "one value a fold; luck, and the error of the trees, is what one run has above the prediction"
        },
    )
    labels = np.maximum(table.column(LABEL).astype(np.float32), CLIPPED)
    points = features(space, table.cells())
    folds = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    predicted = np.empty(len(labels), dtype=np.float32)
    for fold in range(FOLDS):
        clock, out = time.process_time(), folds == fold
        predicted[out] = XGBRegressor(**TREES).fit(points[~out], labels[~out]).predict(points[out])
        top = out & (predicted >= np.quantile(predicted[out], 0.99))
        found = {
            "spearman": float(spearmanr(predicted[out], labels[out]).statistic),
            "spearman_top": float(spearmanr(predicted[top], labels[top]).statistic),
            "luck": 100 * float((labels[top] - predicted[top]).std()),
        }
        record.add("xgboost", found, time.process_time() - clock)
    write_denoised(predicted)
    record.show()


if __name__ == "__main__":
    main()
