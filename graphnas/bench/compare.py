"""Methods times protocols times seeds in parallel processes, resumable, with one record of it all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphnas import studies
from graphnas.bench.lines import whole_lines
from graphnas.bench.program import program_digest
from graphnas.bench.protocol import PROTOCOLS, Benchmark, Protocol, open_benchmark
from graphnas.bench.run import Run, run_search
from graphnas.bench.statistics import mean_ranks, paired, simulated_clock, summary
from graphnas.encoders import encoder_digest
from graphnas.engines import LocalProcesses
from graphnas.spaces import Space

_SEARCHING = ("spaces", "encoders", "predictors", "search", "bench")  # parts of the library that proposals depend on

RUNS = "runs.jsonl"
"""File of finished searches, one a line, that a comparison goes on from."""

_benchmarks: dict[str, Benchmark] = {}  # a worker's, by protocol
_encoders: dict[tuple[str, str], Any] = {}  # a worker's, by name and space


def compare(
    protocols: Sequence[Protocol],
    methods: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    *,
    encoders: dict[str, str] | None = None,
    processes: int = 1,
    progress: Callable[[Run, int, int], None] | None = None,
) -> list[Run]:
    """All searches that the folder does not hold yet, in parallel; each is written when it is done.

    Args:
        protocols: What to compare on.
        methods: Words of `studies.split_sampler`.
        seeds: Seeds of the searches.
        folder: Where `runs.jsonl` is kept.
        encoders: Encoder of each space, by name or folder; the one of its name that comes with graphnas if missing.
        processes: Searches at a time.
        progress: Called with each search that is done, how many are, and how many there are to do.

    Returns:
        The searches of these protocols, methods and seeds, in the order of protocols, methods and seeds.

    Raises:
        ValueError: if a method cannot search, or the folder holds what is no search.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RUNS
    wanted = {
        key(protocol, method, seed, encoders): (protocol, method, seed)
        for seed in seeds
        for protocol in protocols
        for method in methods
    }
    done = {name: run for name, run in read_runs(path).items() if name in wanted}
    jobs = {name: job for name, job in wanted.items() if name not in done}
    before = len(done)
    with LocalProcesses(processes) as pool:
        futures = {
            pool.submit(_search, protocol, method, seed, _encoder(protocol, method, encoders)): name
            for name, (protocol, method, seed) in jobs.items()
        }
        for future in as_completed(futures):
            run = future.result()
            done[futures[future]] = run
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": futures[future], "run": run.to_dict()}) + "\n")
            if progress is not None:
                progress(run, len(done) - before, len(jobs))
    return [
        done[key(protocol, method, seed, encoders)] for protocol in protocols for method in methods for seed in seeds
    ]


def read_runs(path: Path) -> dict[str, Run]:
    """The searches of a file, by key; none where there is no file.

    Raises:
        ValueError: naming the file and the line that holds no search.
    """
    found = {}
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            row = json.loads(line)
            found[row["key"]] = Run.from_dict(row["run"])
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: expected a search of this version, but got {error!r}") from None
    return found


def key(protocol: Protocol, method: str, seed: int, encoders: dict[str, str] | None) -> str:
    """What tells a search from others: settings of the protocol, weights of the encoder, and the program itself."""
    about: dict[str, Any] = {
        "protocol": protocol.name,
        "queries": protocol.places[-1],
        "batch": protocol.batch,
        "method": method,
        "seed": seed,
        "further": sorted(protocol.further.values()),
        "program": program_digest(_SEARCHING),
    }
    encoder = _encoder(protocol, method, encoders)
    if encoder is not None:
        about["encoder"] = encoder_digest(encoder)
    return json.dumps(about, sort_keys=True)


def _encoder(protocol: Protocol, method: str, encoders: dict[str, str] | None) -> str | None:
    if studies.split_sampler(method)[0] not in studies.LATENT_SAMPLERS:
        return None
    return (encoders or {}).get(protocol.space, Space.load(protocol.space).pretrained)


def _search(protocol: Protocol, method: str, seed: int, encoder: str | None) -> Run:
    """A search in a worker."""
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if protocol.name not in _benchmarks:
        _benchmarks[protocol.name] = open_benchmark(protocol)
    benchmark = replace(_benchmarks[protocol.name], protocol=protocol)
    model = None
    if encoder is not None:
        from graphnas.encoders import CellAutoencoder

        known = encoder, protocol.space
        if known not in _encoders:
            _encoders[known] = CellAutoencoder.from_pretrained(encoder, space=benchmark.space)
        model = _encoders[known]
    return run_search(benchmark, method, seed, encoder=model)


def report(runs: Sequence[Run], protocols: Sequence[Protocol], optima: dict[str, float]) -> dict[str, Any]:
    """The figures of a comparison: everything that is a function of the seeds, and no time.

    Args:
        runs: Searches of the protocols.
        protocols: The protocols.
        optima: Largest value of each, by its name.

    Returns:
        By protocol, `methods` (see `summary`), `paired` with the first method as the reference, and `simulated_hours`
        where the table has the seconds of every training (see `simulated_clock`); and `ranks` over all protocols and
        seeds at the last place, where there are enough.
    """
    found: dict[str, Any] = {"protocols": {}}
    blocks: list[dict[str, float]] = []
    for protocol in protocols:
        by_method: dict[str, list[Run]] = {}
        for run in runs:
            if run.protocol == protocol.name:
                by_method.setdefault(run.method, []).append(run)
        found["protocols"][protocol.name] = {
            "title": protocol.title,
            "query": protocol.query,
            "places": list(protocol.places),
            "initial": protocol.initial,
            "batch": protocol.batch,
            "optimum": round(optima[protocol.name], 7),
            "methods": {
                method: summary(mine, protocol.places, optima[protocol.name]) for method, mine in by_method.items()
            },
            "paired": paired(by_method, next(iter(by_method)), protocol.places),
            **simulated_clock(by_method),
        }
        for seed in sorted({run.seed for run in runs}):
            block = {method: run.best[-1] for method, mine in by_method.items() for run in mine if run.seed == seed}
            blocks.append(block)
    every = set().union(*blocks)
    whole = [block for block in blocks if set(block) == every]
    if len(whole) >= 2 and len(every) >= 2:
        ranks = mean_ranks(whole)
        found["ranks"] = {
            "mean": ranks.mean,
            "blocks": ranks.blocks,
            "critical_difference": ranks.critical_difference,
            "cliques": ranks.cliques(),
        }
    return found


def named(names: Sequence[str], *, queries: int | None = None, batch: int | None = None) -> list[Protocol]:
    """Protocols by name, with other numbers of queries or proposals in parallel.

    Raises:
        ValueError: if a name is not known or a number is not positive.
    """
    found = []
    for name in names:
        if name not in PROTOCOLS:
            raise ValueError(f"Expected a protocol out of {', '.join(PROTOCOLS)}, but got {name!r}")
        protocol = PROTOCOLS[name]
        if queries is not None:
            if queries < 1:
                raise ValueError(f"Expected queries to be at least 1, but got {queries}")
            places = tuple(place for place in protocol.places if place < queries)
            protocol = replace(protocol, places=(*places, queries))
        if batch is not None:
            if batch < 1:
                raise ValueError(f"Expected batch to be at least 1, but got {batch}")
            protocol = replace(protocol, batch=batch)
        found.append(protocol)
    return found
