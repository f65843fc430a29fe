from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphnas.bench import PROTOCOLS, Benchmark, Protocol, run_search
from graphnas.bench.compare import RUNS, compare, named, read_runs, report
from graphnas.cell import Architecture
from graphnas.evaluate import Result
from graphnas.search import CandidateList
from graphnas.spaces import Space

SPACE = Space.load("nasbench101", max_vertices=5)
PROTOCOL = Protocol("small", "Small cells", "nasbench101", "made_up", places=(10, 20), batch=4)


class _Table:
    def row(self, architecture: Architecture) -> int:
        return len(architecture.cells[0].edges)


class _Lookup:
    """A made-up accuracy in place of a table."""

    table = _Table()

    def evaluate(self, architecture: Architecture) -> Result:
        (cell,) = architecture.cells
        value = 0.5 + cell.ops.count("conv3x3") / 10 + len(cell.edges) / 100
        return Result(value, cost=10.0 * len(cell.edges))


def benchmark(candidates: CandidateList | None = None, protocol: Protocol = PROTOCOL) -> Benchmark:
    return Benchmark(protocol, SPACE, _Lookup(), candidates, 0.87)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["random", "evolution", "local-search", "tpe", "nsga2"])
def test_a_search_counts_each_class_once_and_is_a_function_of_its_seed(method: str) -> None:
    run = run_search(benchmark(), method, 3)
    assert len(run.best) == len(run.source) == len(run.cost) == 20
    assert run.best == sorted(run.best)
    assert run.best[-1] == pytest.approx(_Lookup().evaluate(Architecture.from_json(run.records[-1][1])).value)
    again = run_search(benchmark(), method, 3)
    assert replace(again, seconds=run.seconds) == run
    assert run_search(benchmark(), method, 4).best != run.best


def test_a_list_of_candidates_is_all_that_is_queried() -> None:
    listed = CandidateList(SPACE, SPACE.sample(30, np.random.default_rng(0)))
    run = run_search(benchmark(listed), "tpe", 0)
    assert all(Architecture.from_json(text) in listed.architectures.values() for _, text in run.records)
    few = CandidateList(SPACE, SPACE.sample(5, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="Expected more architectures than queries, but all 5 found were queried"):
        run_search(benchmark(few), "random", 0)


def test_wrong_names_and_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected a sampler out of latent-bo, .*, but got 'x'"):
        run_search(benchmark(), "x", 0)
    with pytest.raises(ValueError, match="The sampler 'latent-bo' needs an encoder"):
        run_search(benchmark(), "latent-bo", 0)
    with pytest.raises(ValueError, match=r"Expected a protocol out of p101-full, .*, but got 'x'"):
        named(["x"])
    (protocol,) = named(["p101-full"], queries=60, batch=1)
    assert (protocol.places, protocol.batch) == ((25, 50, 60), 1)


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was_and_says_the_same(tmp_path: Path) -> None:
    protocols = named(["p201"], queries=15)
    try:
        runs = compare(protocols, ["random", "evolution"], range(2), tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    lines = (tmp_path / RUNS).read_text().splitlines()
    assert len(lines) == 4
    (tmp_path / RUNS).write_text("\n".join(lines[:2]) + "\n")
    seen = []
    again = compare(protocols, ["random", "evolution"], range(2), tmp_path, progress=lambda *one: seen.append(one[1:]))
    assert seen == [(1, 2), (2, 2)]
    optima = {"p201": 0.9157}
    assert report(again, protocols, optima) == report(runs, protocols, optima)
    assert report(runs, protocols, optima)["protocols"]["p201"]["methods"]["random"]["seeds"] == [0, 1]


def test_protocols_are_those_that_are_documented() -> None:
    assert {name: protocol.places[-1] for name, protocol in PROTOCOLS.items()} == {
        "p101-full": 200,
        "p101-val": 200,
        "p201": 150,
        "digits101": 100,
        "enas": 200,
    }


def test_searches_are_read_back_without_a_torn_last_line_and_others_are_refused(tmp_path: Path) -> None:
    run = run_search(benchmark(), "random", 0)
    path = tmp_path / RUNS
    assert read_runs(path) == {}
    line = json.dumps({"key": "a", "run": run.to_dict()})
    path.write_text(f"{line}\n{line[:50]}")
    assert read_runs(path) == {"a": run}
    assert path.read_text() == f"{line}\n"
    path.write_text(f'{line}\n{{"key": "b", "run": {{}}}}\n')
    with pytest.raises(ValueError, match=r"runs.jsonl, line 2: expected a search of this version, but got KeyError"):
        read_runs(path)


@pytest.mark.slow
def test_a_method_that_cannot_search_ends_the_comparison_at_once(tmp_path: Path) -> None:
    protocols = named(["p201"], queries=15)
    with pytest.raises((ValueError, FileNotFoundError), match=r"Expected population|population 0|nasbench201"):
        compare(protocols, ["evolution:population=0", "random"], range(200), tmp_path)
    assert len(read_runs(tmp_path / RUNS)) < 200
