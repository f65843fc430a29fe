"""Does an encoder that was fitted to cells of at most 6 vertices find good cells of 7?

Fitted as in `extrapolation_nasbench101.py`, it serves the latent search of all of NAS-Bench-101 (the protocol
`p101-full`), seven of eight cells of which have 7 vertices. Beside it stand the library's encoder, fitted to cells of
at most 7, and searches without an encoder, all with the same seeds.

    python runs/extrapolation_search.py --minutes 3 --encoders 1 --seeds 10

Rows that `--out` holds are not measured again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from extrapolation_nasbench101 import Cells, fitted, in_space
from records import Record
from rich.console import Console

from graphnas.bench import PROTOCOLS, open_benchmark, run_search
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder

PLACES = (25, 50, 100, 150)
ROWS = {
    "fitted to 6": "latent search by encoders fitted to all cells of at most 6 vertices",
    "fitted to 7": "latent search by the library's encoder, fitted to cells of at most 7 vertices",
    "evolution": "regularized evolution",
    "random": "random cells",
}
COLUMNS = {f"best_{place}": f"best of {place} queries, %" for place in PLACES} | {
    "larger": "share whose best has 7 vertices"
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="CPU minutes of each fit")
    parser.add_argument("--encoders", type=int, default=1, help="fits, which take turns over the searches")
    parser.add_argument("--seeds", type=int, default=10, help="searches of each row")
    parser.add_argument("--out", type=Path, default=Path("runs/results/extrapolation_search.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    benchmark = open_benchmark(replace(PROTOCOLS["p101-full"], places=PLACES))
    record = Record(
        args.out,
        name="extrapolation_search",
        figure="Searches of NAS-Bench-101 by encoders that saw cells of at most 6 vertices, test accuracy of one run",
        settings={"minutes": args.minutes, "encoders": args.encoders},
        columns=COLUMNS,
        rows=ROWS,
    )
    screen, models = Console(stderr=True), []
    if record.seeds("fitted to 6") < args.seeds:
        cells = Cells(0, 0)
        models = [in_space(fitted(cells, seed, args.minutes)[0], benchmark.space) for seed in range(args.encoders)]
    shipped = CellAutoencoder.from_pretrained("nasbench101")
    for row in ROWS:
        method = row if row in ("evolution", "random") else "latent-bo"
        for seed in range(record.seeds(row), args.seeds):
            clock = time.process_time()
            encoder = models[seed % args.encoders] if row == "fitted to 6" else shipped
            run = run_search(benchmark, method, seed, encoder=encoder if method == "latent-bo" else None)
            found = {f"best_{place}": 100 * run.best[place - 1] for place in PLACES}
            found["larger"] = float(Architecture.from_json(run.records[-1][1]).cells[0].size == 7)
            record.add(row, found, time.process_time() - clock)
            screen.print(f"{row}, seed {seed}: {100 * run.best[-1]:.3f}")
    record.show()


if __name__ == "__main__":
    main()
