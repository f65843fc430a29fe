"""Search NAS-Bench-101's table: latent Bayesian optimisation, regularized evolution and random search.

Protocol: query and report `test_acc_run0` (CIFAR-10 test accuracy of one run) of all 423,624 cells; only unique cells
count; initial design 10; asked and told in batches of 5; the figure is the best value queried so far, in percent.

    python runs/search_nasbench101.py --seeds 50 --out runs/results/search_nasbench101.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from graphnas.content import content_folder
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import NASBench101Table, TableEvaluator
from graphnas.search import LatentBOSampler, RandomCellSampler, RegularizedEvolutionSampler
from graphnas.spaces import Space

PLACES = (25, 50, 100, 150)
BASELINES = {  # percent at 25, 50, 100 and 150 queries, measured with prototypes of the same protocol
    "random": (93.329, 93.514, 93.665, 93.746),
    "evolution": (93.488, 93.863, 94.120, 94.228),
    "latent-bo": (93.886, 94.270, 94.409, 94.462),
}

_shared: dict[str, Any] = {}  # a worker's space, table and encoder


def start_worker(encoder: str) -> None:
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space.load("nasbench101")
    _shared.update(space=space, table=TableEvaluator(NASBench101Table.open(), "test_acc_run0"))
    _shared["encoder"] = CellAutoencoder.from_pretrained(encoder) if encoder else None


def make_sampler(method: str, seed: int) -> optuna.samplers.BaseSampler:
    space = _shared["space"]
    if method == "latent-bo":
        return LatentBOSampler(space, _shared["encoder"], n_startup_trials=10, seed=seed)
    if method == "evolution":
        return RegularizedEvolutionSampler(space, population=20, seed=seed)
    return RandomCellSampler(space, seed=seed)


def run_seed(method: str, seed: int, queries: int, batch: int) -> dict[str, Any]:
    """One search: the incumbent after every query, in percent, and what proposed each trial."""
    space, table = _shared["space"], _shared["table"]
    started = time.process_time()
    study = optuna.create_study(direction="maximize", sampler=make_sampler(method, seed))
    values: list[float] = []
    sources: list[str] = []
    hashes: set[str] = set()
    while len(values) < queries:
        trials = [study.ask() for _ in range(min(batch, queries - len(values)))]
        told = []
        for trial in trials:
            architecture = space.suggest(trial)
            told.append(100 * table.evaluate(architecture).value)
            sources.append(trial.user_attrs["graphnas:source"])
            hashes.add(trial.user_attrs["graphnas:hash"])
        for trial, value in zip(trials, told, strict=True):
            study.tell(trial, value)
        values += told
    if len(hashes) != queries:
        raise RuntimeError(f"{method} with seed {seed} repeated {queries - len(hashes)} of {queries} cells")
    incumbent = np.maximum.accumulate(values).round(5).tolist()
    seconds = time.process_time() - started
    return {
        "method": method,
        "seed": seed,
        "incumbent": incumbent,
        "sources": sources,
        "cpu_seconds": round(seconds, 2),
    }


def summary(rows: list[dict[str, Any]], method: str, queries: int) -> dict[str, Any]:
    """Mean and standard error over seeds at the places of the protocol, in percent."""
    mine = [row for row in rows if row["method"] == method]
    places = [place for place in PLACES if place <= queries]
    values = np.array([[row["incumbent"][place - 1] for place in places] for row in mine])
    later = [source for row in mine for source in row["sources"][10:]]
    late40 = [row["sources"][10:40].count("acquisition") / len(row["sources"][10:40]) for row in mine]
    error = values.std(0, ddof=1) / np.sqrt(len(mine)) if len(mine) > 1 else np.full(len(places), np.nan)
    return {
        "seeds": len(mine),
        "queries": places,
        "mean": values.mean(0).round(4).tolist(),
        "standard_error": error.round(4).tolist(),
        "final_by_seed": values[:, -1].round(4).tolist(),
        "cpu_seconds_per_run": round(float(np.mean([row["cpu_seconds"] for row in mine])), 2),
        "source_share_after_10": {name: round(later.count(name) / len(later), 4) for name in sorted(set(later))},
        "acquisition_share_of_trials_11_to_40": {
            "mean": round(float(np.mean(late40)), 4),
            "least": round(min(late40), 4),
        },
        "prototype": dict(zip(map(str, places), BASELINES[method], strict=False)),
    }


def margins(methods: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """How far latent-bo's mean lies above the others', in standard errors of the difference, place by place."""
    if "latent-bo" not in methods:
        return {}
    ours = methods["latent-bo"]
    found = {}
    for name, other in methods.items():
        if name != "latent-bo":
            gap = np.subtract(ours["mean"], other["mean"])
            found[name] = (gap / np.hypot(ours["standard_error"], other["standard_error"])).round(2).tolist()
    return found


def show(result: dict[str, Any], console: Console) -> None:
    first = next(iter(result["methods"].values()))
    table = Table(title="NAS-Bench-101, best test accuracy queried, % (mean +- standard error)")
    table.add_column("method")
    table.add_column("seeds", justify="right")
    for place in first["queries"]:
        table.add_column(str(place), justify="right")
    table.add_column("CPU-s a run", justify="right")
    for name, one in result["methods"].items():
        cells = [f"{m:.3f} +- {e:.3f}" for m, e in zip(one["mean"], one["standard_error"], strict=True)]
        table.add_row(name, str(one["seeds"]), *cells, f"{one['cpu_seconds_per_run']:.1f}")
    for name, gaps in result["margins_in_standard_errors"].items():
        table.add_row(f"latent-bo over {name}, s.e.", "", *(f"{gap:+.1f}" for gap in gaps), "")
    console.print(table)
    if "latent-bo" in result["methods"]:
        console.print("sources of latent-bo after 10 trials:", result["methods"]["latent-bo"]["source_share_after_10"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--methods", default="latent-bo,evolution,random")
    parser.add_argument("--encoder", default="nasbench101", help="name or folder of a trained encoder")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--partial", type=Path, help="JSON lines of finished seeds, to resume from (ignored by git)")
    parser.add_argument("--out", type=Path, default=Path("runs/results/search_nasbench101.json"))
    args = parser.parse_args()
    methods = args.methods.split(",")
    if unknown := set(methods) - set(BASELINES):
        parser.error(f"unknown methods: {', '.join(sorted(unknown))}; known: {', '.join(BASELINES)}")
    console = Console()

    named = content_folder("encoders") / args.encoder
    weights = (named if named.is_dir() else Path(args.encoder)) / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16] if "latent-bo" in methods else None
    common = {"queries": args.queries, "batch": args.batch}
    settings = dict.fromkeys(methods, common)
    settings["latent-bo"] = {**common, "encoder": args.encoder, "weights_sha256": digest}
    partial = args.partial or Path("results") / f"{args.out.stem}.jsonl"
    partial.parent.mkdir(parents=True, exist_ok=True)
    lines = partial.read_text().splitlines() if partial.exists() else []
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    rows = [row for row in map(json.loads, lines) if row["method"] in methods and row["seed"] in seeds]
    rows = [row for row in rows if row.pop("settings") == settings[row["method"]]]
    done = {(row["method"], row["seed"]) for row in rows}
    todo = [(method, seed) for method in reversed(methods) for seed in seeds if (method, seed) not in done]

    os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they import numpy
    encoder = args.encoder if "latent-bo" in methods else ""
    with ProcessPoolExecutor(
        args.processes, mp_context=get_context("spawn"), initializer=start_worker, initargs=(encoder,)
    ) as pool:
        jobs = [pool.submit(run_seed, method, seed, args.queries, args.batch) for method, seed in todo]
        for job in track(as_completed(jobs), "searching", total=len(jobs), console=console):
            rows.append(job.result())
            with partial.open("a") as file:
                file.write(json.dumps({**rows[-1], "settings": settings[rows[-1]["method"]]}) + "\n")

    rows.sort(key=lambda row: (row["method"], row["seed"]))
    summaries = {method: summary(rows, method, args.queries) for method in methods}
    result = {
        "name": "search_nasbench101",
        "figure": "best CIFAR-10 test accuracy (test_acc_run0, one run) among the cells queried, percent",
        "settings": {
            **settings["latent-bo"],
            "seeds": [seeds.start, seeds.stop - 1],
            "startup_trials": 10,
            "population": 20,
        },
        "methods": summaries,
        "margins_in_standard_errors": margins(summaries),
        "command": shlex.join(["python", *sys.argv]),
        "versions": {name: version(name) for name in ("graphnas", "torch", "botorch", "gpytorch", "optuna", "numpy")}
        | {"python": platform.python_version()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    show(result, console)


if __name__ == "__main__":
    main()
