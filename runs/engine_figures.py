"""How well the engines keep their workers busy, and what a search survives; counts and shares, on one machine.

- `busy`: 200 candidates that take one second each (they sleep) on eight workers: share of the workers' time in which
  they work, from the first candidate that starts to the last that ends, and what the search itself needs for a trial.
  `ray` is the same as tasks of a local Ray cluster.
- `kills`: the coordinator of a search of a table is killed (SIGKILL) at random moments and resumed, 50 times.
- `shared`: eight processes ask and tell one study in a SQLite database, 1,000 times in all.
- `refused`: a second coordinator on the folder of a running search.
- `lost`: a worker is killed in the middle of its candidate.
- `memory`: 5,000 trials of a table: resident memory, open files and CPU time a trial of the first thousand and of the
  last (Linux).

    python runs/engine_figures.py busy ray kills shared refused lost memory
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from records import Record
from rich.console import Console

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.engines import LocalProcesses, RayTasks
from graphnas.evaluate.protocol import Result
from graphnas.search import RandomCellSampler
from graphnas.spaces import Space
from graphnas.spaces.space import HASH_KEY

WORKERS, CANDIDATES = 8, 200
KILLS = 50
SHARED = 1_000
TRIALS = 5_000


@dataclass(frozen=True)
class Sleep:
    """Takes its time and values a cell by its edges; dies once if it is told to, before it is done."""

    seconds: float = 1.0
    dies: str = ""
    """A file that is made before the process kills itself; nothing dies while it is there, or without a name."""

    @property
    def name(self) -> str:
        """Names it."""
        return "sleep"

    def evaluate(
        self, architecture: Architecture, *, budget: int | None = None, seed: int = 0, **settings: Any
    ) -> Result:
        """Sleep."""
        began = time.time()
        time.sleep(self.seconds)
        if self.dies and not Path(self.dies).exists():
            Path(self.dies).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        metrics = {"began": began, "ended": time.time()}
        return Result(len(architecture.cells[0].edges) / 10, metrics, {}, self.seconds, None, budget, seed, self.name)


def new_search(space: Space, folder: Path, evaluator: Sleep) -> optuna.Study:
    """A random search in a folder."""
    sampler = RandomCellSampler(space, seed=0)
    config = {"sampler": {"kind": "random", "seed": 0}}
    return studies.create(folder, space, evaluator, sampler, config=config)


def local() -> Executor:
    """Eight worker processes."""
    return LocalProcesses(WORKERS)


def busy(space: Space, folder: Path, make: Callable[[], Executor] = local) -> dict[str, float]:
    """Share of the workers' time in which they work."""
    evaluator, clock = Sleep(), time.process_time()
    study = new_search(space, folder, evaluator)
    with make() as engine:
        studies.run(study, space, evaluator, n_trials=CANDIDATES, executor=engine)
    spent = time.process_time() - clock
    times = [trial.user_attrs["graphnas:metrics"] for trial in study.trials]
    wall = max(one["ended"] for one in times) - min(one["began"] for one in times)
    work = sum(one["ended"] - one["began"] for one in times)
    return {
        "workers": WORKERS,
        "trials": len(times),
        "busy": work / (WORKERS * wall),
        "overhead": 1000 * (wall * WORKERS - work) / len(times),
        "coordinator": 1000 * spent / len(times),
    }


def ray(space: Space, folder: Path) -> dict[str, float]:
    """The same on a local cluster."""
    import ray as cluster

    cluster.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        return busy(space, folder, lambda: RayTasks("auto", workers=WORKERS))
    finally:
        cluster.shutdown()


def kills(space: Space, folder: Path) -> dict[str, float]:
    """Kill and resume; count what is there in the end."""
    draw, lost = random.Random(0), 0
    before: dict[int, tuple[str, float | None]] = {}
    command = [sys.executable, "-m", "graphnas", "search"]
    first = ["nasbench101", "--objective", "table", "--sampler", "evolution", "--workers", "0", "--out", str(folder)]
    for number in range(KILLS + 1):
        last = number == KILLS
        resumed = ["--resume", str(folder)] if (folder / "config.toml").exists() else first
        trials = len(before) + 20 if last else 100_000
        process = subprocess.Popen(
            [*command, *resumed, "--trials", str(trials)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if last:
            if process.wait() != 0:
                raise SystemExit(f"the last search of {folder} has failed")
        else:
            # From before the first trial to some dozens of them.
            time.sleep(draw.uniform(0.5, 6.0))
            process.kill()
            process.wait()
        after = _finished(folder)
        lost += sum(after.get(key) != value for key, value in before.items())
        before = after
    study = _load(folder)
    interrupted = sum(one.user_attrs.get("graphnas:reason") == studies.INTERRUPTED for one in study.trials)
    hashes = [one.user_attrs[HASH_KEY] for one in studies.finished(study)]
    return {
        "kills": KILLS,
        "trials": len(hashes),
        "lost": lost,
        "repeated": len(hashes) - len(set(hashes)),
        "interrupted": interrupted,
    }


def _load(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="search", storage=f"sqlite:///{folder / studies.DATABASE}")


def _finished(folder: Path) -> dict[int, tuple[str, float | None]]:
    if not (folder / studies.DATABASE).exists():
        return {}
    trials = studies.finished(_load(folder))
    return {one.number: (one.user_attrs[HASH_KEY], one.values[0] if one.values else None) for one in trials}


def shared(space: Space, folder: Path) -> dict[str, float]:
    """Many processes, one study."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'shared.db'}"
    study = optuna.create_study(storage=url, study_name="shared", direction="maximize")
    context, clock = multiprocessing.get_context("spawn"), time.perf_counter()
    processes = [context.Process(target=_ask_and_tell, args=(url, SHARED // WORKERS)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    wall = time.perf_counter() - clock
    trials = study.get_trials(deepcopy=False)
    hashes = [trial.user_attrs[HASH_KEY] for trial in trials]
    return {
        "processes": WORKERS,
        "trials": len(trials),
        "repeated": len(hashes) - len(set(hashes)),
        "failed": sum(process.exitcode != 0 for process in processes),
        "seconds": wall,
    }


def _ask_and_tell(url: str, count: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = Space.load("nasbench101")
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 120}})
    study = optuna.load_study(storage=storage, study_name="shared", sampler=RandomCellSampler(space, seed=0))
    for _ in range(count):
        trial = study.ask()
        study.tell(trial, len(space.suggest(trial).cells[0].edges))


def refused(space: Space, folder: Path) -> dict[str, float]:
    """A second coordinator."""
    found = {"refused": 0}
    evaluator = Sleep(0.05)
    study = new_search(space, folder, evaluator)

    def second(event: studies.Event) -> None:
        if event.kind == "finished":
            try:
                studies.run(studies.resume(folder), space, evaluator, n_trials=20)
            except studies.StudyLocked:
                found["refused"] += 1

    studies.run(study, space, evaluator, n_trials=10, on_event=second)
    return {"attempts": 10, **found, "trials": len(study.trials)}


def lost(space: Space, folder: Path) -> dict[str, float]:
    """A worker that dies in the middle of its candidate."""
    whole = new_search(space, folder / "whole", Sleep(0.2))
    studies.run(whole, space, Sleep(0.2), n_trials=8)
    evaluator = Sleep(0.2, dies=str(folder / "died"))
    study, retried = new_search(space, folder / "lost", evaluator), []
    with LocalProcesses(2) as engine:
        studies.run(
            study, space, evaluator, n_trials=8, executor=engine,
            on_event=lambda event: retried.append(event.number) if event.kind == "retried" else None,
        )  # fmt: skip
    same = [one.values == other.values for one, other in zip(study.trials, whole.trials, strict=True)]
    return {"killed": 1, "retried": len(retried), "trials": len(study.trials), "same": sum(same)}


def memory(space: Space, folder: Path) -> dict[str, float]:
    """Resident memory of a long search of a table."""
    from graphnas.evaluate import TableEvaluator, open_table

    evaluator = TableEvaluator(open_table("nasbench101"))
    sampler = RandomCellSampler(space, seed=0)
    study = studies.create(folder, space, evaluator, sampler, config={"sampler": {"kind": "random", "seed": 0}})
    found: dict[str, float] = {}
    before = 0
    for trials in (1_000, TRIALS - 1_000, TRIALS):
        clock = time.process_time()
        studies.run(study, space, evaluator, n_trials=trials)
        found[f"cpu_{trials}"] = 1000 * (time.process_time() - clock) / (trials - before)
        before = trials
        pages = int(Path("/proc/self/statm").read_text().split()[1])  # resident now, not at most
        found[f"mebibytes_{trials}"] = pages * resource.getpagesize() / 2**20
        found[f"files_{trials}"] = len(os.listdir("/proc/self/fd"))
    return {"trials": len(study.trials)} | {name: found[name] for name in found if name in COLUMNS}


PARTS: Mapping[str, tuple[str, Callable[[Space, Path], dict[str, float]]]] = {
    "busy": ("eight local workers, 200 candidates of one second", busy),
    "ray": ("the same as tasks of a local Ray cluster", ray),
    "kills": ("a search of a table, killed with SIGKILL and resumed", kills),
    "shared": ("eight processes that ask and tell one study", shared),
    "refused": ("second coordinators on the folder of a running search", refused),
    "lost": ("a worker killed in the middle of its candidate", lost),
    "memory": ("a search of a table, 5,000 trials", memory),
}

COLUMNS = {
    "workers": "workers",
    "processes": "processes",
    "kills": "kills",
    "killed": "workers killed",
    "attempts": "second coordinators",
    "refused": "refused",
    "trials": "trials",
    "lost": "results lost or changed",
    "repeated": "architectures repeated",
    "interrupted": "interrupted while it was proposed",
    "failed": "processes that failed",
    "retried": "candidates tried again",
    "same": "values as without the loss",
    "busy": "share of the time that workers work",
    "overhead": "ms a trial that they do not",
    "coordinator": "CPU ms a trial of the coordinator",
    "seconds": "seconds in all",
    "mebibytes_1000": "MiB after 1,000 trials",
    f"mebibytes_{TRIALS}": "MiB at the end",
    "files_1000": "open files after 1,000 trials",
    f"files_{TRIALS}": "open files at the end",
    "cpu_1000": "CPU ms of each of the first 1,000",
    f"cpu_{TRIALS}": "CPU ms of each of the last 1,000",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path, default=Path("runs/results/engine_figures.json"))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    record = Record(
        args.out,
        name="engine_figures",
        figure="Engines and searches on one machine: counts and shares",
        settings={"workers": WORKERS, "candidates": CANDIDATES},
        columns=COLUMNS,
        rows={name: about for name, (about, _) in PARTS.items()},
    )
    space, screen = Space.load("nasbench101"), Console(stderr=True)
    for name in args.parts:
        if record.seeds(name):
            continue
        clock = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            found = PARTS[name][1](space, Path(folder) / "search")
        record.add(name, found, time.process_time() - clock)
        screen.print(f"{name}: {found}")
    record.show()


if __name__ == "__main__":
    main()
