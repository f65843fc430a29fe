"""How good are the cells that searches of NAS-Bench-101 find, apart from the luck of one training?

A search that maximises `test_acc_run0` ends on cells whose one run was lucky: among the best hundredth of the table
that noise has a standard deviation of about 0.3 points. The denoised accuracy of a cell is what gradient-boosted trees
predict of it that have never seen its label: five folds of all 423,624 cells, each predicted by XGBoost fitted to the
others, on one-hot, graph statistics and path counts.

First the predictions are computed once and kept (`--denoised`), then the record holders of the searches of a
`graphnas bench p101-full` folder are looked up in them.

    graphnas bench p101-full --seeds 100 --out results/bench
    python runs/denoised_nasbench101.py --bench results/bench
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from records import Record
from rich.console import Console
from scipy.stats import spearmanr

from graphnas.bench import PROTOCOLS, Run
from graphnas.bench.compare import RUNS, read_runs
from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.features import one_hot, path_counts
from graphnas.encoders.statistics import graph_statistics
from graphnas.evaluate import NASBench101Table
from graphnas.spaces import Space

LABEL = "test_acc_run0"
PLACES = PROTOCOLS["p101-full"].places
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


def denoise(space: Space, table: NASBench101Table, screen: Console) -> Floats:
    """Out-of-fold predictions of all rows of the table."""
    from xgboost import XGBRegressor

    labels = np.maximum(table.column(LABEL).astype(np.float32), CLIPPED)
    points = features(space, table.cells())
    folds = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    predicted = np.empty(len(labels), dtype=np.float32)
    for fold in range(FOLDS):
        clock = time.process_time()
        out = folds == fold
        predicted[out] = XGBRegressor(**TREES).fit(points[~out], labels[~out]).predict(points[out])
        rank = spearmanr(predicted[out], labels[out]).statistic
        screen.print(f"fold {fold}: Spearman {rank:.4f}, {time.process_time() - clock:.0f} CPU-s")
    return predicted


def searches(folder: Path) -> list[Run]:
    """The searches of NAS-Bench-101 in a folder of `graphnas bench`."""
    protocol = PROTOCOLS["p101-full"]
    settings = {"protocol": protocol.name, "batch": protocol.batch, "queries": protocol.places[-1]}
    runs = [run for name, run in read_runs(folder / RUNS).items() if settings.items() <= json.loads(name).items()]
    return sorted(runs, key=lambda run: (run.method, run.seed))


def scores(run: Run, table: NASBench101Table, denoised: Floats) -> dict[str, float]:
    """Denoised accuracy of the best cell after so many queries, in percent, and the luck in its one run."""
    found = {}
    for place in PLACES:
        holders = [text for query, text in run.records if query <= place]
        if place <= len(run.best):
            row = table.row(Architecture.from_json(holders[-1]))
            assert row is not None
            found[f"denoised_{place}"] = 100 * float(denoised[row])
            found[f"luck_{place}"] = 100 * (run.best[place - 1] - float(denoised[row]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bench", type=Path, default=Path("results/bench"), help="folder of `graphnas bench p101-full`"
    )
    parser.add_argument("--denoised", type=Path, default=Path("results/denoised_nasbench101.npz"), help="predictions")
    parser.add_argument("--out", type=Path, default=Path("runs/results/denoised_nasbench101.json"))
    args = parser.parse_args()
    screen = Console(stderr=True)
    space, table = Space.load("nasbench101"), NASBench101Table.open()
    if not args.denoised.is_file():
        predicted = denoise(space, table, screen)
        args.denoised.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(args.denoised, denoised=predicted)
    denoised = np.load(args.denoised)["denoised"]
    if len(denoised) != len(table):
        raise SystemExit(f"{args.denoised} holds {len(denoised):,} predictions, but the table has {len(table):,} cells")
    best = 100 * np.sort(denoised)[::-1]
    screen.print(f"best denoised accuracies: {best[0]:.3f}, {best[9]:.3f} (tenth), {best[99]:.3f} (hundredth)")
    runs = searches(args.bench)
    if not runs:
        raise SystemExit(f"{args.bench} holds no search of p101-full")
    args.out.unlink(missing_ok=True)
    record = Record(
        args.out,
        name="denoised_nasbench101",
        figure="Denoised accuracy of the best cell queried, NAS-Bench-101, %, and the luck in its one run",
        settings={"trees": TREES, "folds": FOLDS, "clipped": CLIPPED},
        columns={f"{kind}_{place}": f"{kind}, {place} queries" for kind in ("denoised", "luck") for place in PLACES},
        rows={run.method: run.method for run in runs},
    )
    for run in runs:
        record.add(run.method, scores(run, table, denoised), run.seconds)
    record.show()


if __name__ == "__main__":
    main()
