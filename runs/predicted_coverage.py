"""How often what `graphnas embed --encoder universal` predicts is as near to what was measured as it says.

Of a table's cells 400 are left out and predicted from 2,000 others as `embed` predicts the value of a block.

    python runs/predicted_coverage.py --seeds 3
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from records import Record
from scipy.stats import spearmanr

from graphnas.analysis import KnownCells, predict_values
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import open_table
from graphnas.spaces import Space

TABLES = ("digits101", "nasbench201")
KNOWN, ASKED = 2_000, 400
COLUMNS = {
    "within_68": "within 1 deviation (.683)",
    "within_90": "within 1.645 deviations (.9)",
    "deviation": "mean deviation",
    "rmse": "RMSE",
    "spearman": "Spearman",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/results/predicted_coverage.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(
        args.out,
        name="predicted_coverage",
        figure="Values predicted by the universal encoder, of cells that were left out",
        settings={"known": KNOWN, "asked": ASKED},
        columns=COLUMNS,
        rows={name: f"{name}, the usual value" for name in TABLES},
    )
    model = CellAutoencoder.from_pretrained("universal")
    for name in TABLES:
        table = open_table(name)
        values = table.column(table.query).astype(np.float64)
        for seed in range(record.seeds(name), args.seeds):
            clock = time.process_time()
            rows = np.random.default_rng(seed).permutation(np.flatnonzero(np.isfinite(values)))[: KNOWN + ASKED]
            everything = KnownCells.of(model, Space.load(name), table.architectures(rows.tolist()), values[rows])
            known = replace(
                everything,
                architectures=everything.architectures[:KNOWN],
                latent=everything.latent[:KNOWN],
                values=everything.values[:KNOWN],
            )
            found = predict_values(known, everything.latent[KNOWN:], seed=seed)
            mean, std = np.array([(one.mean, one.std) for one in found]).T
            truth = everything.values[KNOWN:]
            off = np.abs(truth - mean)
            measured = {
                "within_68": float((off < std).mean()),
                "within_90": float((off < 1.645 * std).mean()),
                "deviation": float(std.mean()),
                "rmse": float(np.sqrt((off**2).mean())),
                "spearman": float(spearmanr(mean, truth).statistic),
            }
            record.add(name, measured, time.process_time() - clock)
    record.show()


if __name__ == "__main__":
    main()
