"""Speed of the canonical form, sampling and enumeration of NAS-Bench-101 cells, one thread, CPU seconds.

python runs/speed_cells.py --out runs/results/speed_cells.json
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from graphnas.cell import canonical_hashes, vocabulary_labels
from graphnas.spaces import Space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/results/speed_cells.json"))
    args = parser.parse_args()
    space = Space.load("nasbench101")
    clock = time.process_time

    started = clock()
    cells = space.enumerate_arrays()
    enumeration = clock() - started
    labels = vocabulary_labels(cells, space.vocabulary)
    started = clock()
    hashes = canonical_hashes(labels, cells.adjacency, cells.size)
    hashing = cells.n / (clock() - started)
    sampling = []
    for seed in range(args.seeds):
        started = clock()
        space.sample_arrays(100_000, np.random.default_rng(seed))
        sampling.append(100_000 / (clock() - started))
    result = {
        "name": "speed_cells",
        "figure": "NAS-Bench-101 cells as arrays, one thread, CPU seconds",
        "quality": {
            "classes enumerated": cells.n,
            "distinct hashes": len(set(hashes)),
            "enumeration, CPU seconds": round(enumeration, 2),
            "canonical hashes per CPU second": round(hashing),
            "uniform samples per CPU second, mean": round(float(np.mean(sampling))),
            "uniform samples per CPU second, least": round(min(sampling)),
        },
        "command": shlex.join(["python", *sys.argv]),
        "versions": {name: version(name) for name in ("graphnas", "numpy")} | {"python": platform.python_version()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, value in result["quality"].items():
        print(f"{name}: {value:,}")


if __name__ == "__main__":
    main()
