"""Counts and speeds of every space: derivation, hash, sampling, enumeration, neighbours; one thread, CPU seconds.

python runs/speed_spaces.py --out runs/results/speed_spaces.json
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from graphnas.spaces import Space

LISTED = {"enas": {"layers": 4}, "darts": {"nodes": 2}}  # limits to enumerate the others with


def rate(n: int, work: Callable[[], object]) -> int:
    started = time.process_time()
    work()
    return round(n / (time.process_time() - started))


def measure(space: Space, cells: int, seeds: int) -> dict[str, Any]:
    topology, parts = space.topology, len(space.cell_names)
    drawn = topology.sample(cells, np.random.default_rng(0))
    decisions = topology.encode(drawn)
    sampling = [rate(cells, partial(topology.sample, cells, np.random.default_rng(seed))) for seed in range(seeds)]
    small = Space.load(space.name, **LISTED.get(space.name, {}))
    started = time.process_time()
    listed = small.enumerate_arrays()
    enumeration = time.process_time() - started
    some = space.from_arrays(drawn.take(slice(0, 50 * parts)))
    started = time.process_time()
    neighbours = [len(space.neighbours(one)) for one in some]
    return {
        "labelled cells": topology.count,
        "architectures up to hash": space.size,
        "cells derived by decisions per CPU second": rate(
            cells, lambda: topology.sample_by_decision(cells, np.random.default_rng(0))
        ),
        "cells parsed to masks per CPU second": rate(cells, lambda: topology.masks(decisions)),
        "hashes per CPU second": rate(cells, lambda: topology.hashes(drawn)),
        "uniform samples per CPU second, mean of seeds": round(float(np.mean(sampling))),
        "uniform samples per CPU second, least": min(sampling),
        f"classes listed {LISTED.get(space.name, 'whole')}": listed.n,
        f"distinct hashes {LISTED.get(space.name, 'whole')}": len(set(topology.hashes(listed))),
        "enumeration, CPU seconds": round(enumeration, 2),
        "neighbours of an architecture, mean": round(float(np.mean(neighbours)), 1),
        "neighbours, CPU milliseconds": round(1000 * (time.process_time() - started) / len(some), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/results/speed_spaces.json"))
    args = parser.parse_args()
    quality = {}
    for name in Space.names():
        for what, value in measure(Space.load(name), args.cells, args.seeds).items():
            quality[f"{name}: {what}"] = value
            print(f"{name}: {what}: {value:,}", flush=True)
    result = {
        "name": "speed_spaces",
        "figure": "Cells as arrays, one thread, CPU seconds",
        "quality": quality,
        "command": shlex.join(["python", *sys.argv]),
        "versions": {name: version(name) for name in ("graphnas", "numpy")} | {"python": platform.python_version()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
