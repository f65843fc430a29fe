from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphnas.bench import Run
from graphnas.bench.statistics import curves, mean_ranks, paired, simulated_clock, standard_error, summary


def a_run(method: str, seed: int, best: list[float], cost: float | None = None) -> Run:
    n = len(best)
    return Run("p", method, seed, best, ["random"] * n, [cost] * n, {"test": list(best)}, [(1, "{}")], 2, 1.0)


def test_means_errors_shares_and_costs_by_hand() -> None:
    runs = [a_run("a", 1, [0.5, 0.9], 10.0), a_run("a", 0, [0.3, 0.7], 20.0)]
    assert curves(runs).tolist() == [[0.3, 0.7], [0.5, 0.9]]
    found = summary(runs, (1, 2), 0.9)
    assert found["seeds"] == [0, 1]
    assert found["mean"] == [0.4, 0.8]
    assert found["standard_error"] == pytest.approx([0.1, 0.1])
    assert found["at_optimum"] == [0.0, 0.5]
    assert found["cost"] == [15.0, 30.0]
    assert found["further"]["test"]["mean"] == [0.4, 0.8]
    assert (found["sources"], found["repeats"]) == ({"random": 1.0}, 2.0)
    assert summary([a_run("a", 0, [0.5], None)], (1,), 1.0)["cost"] == [None]
    assert summary([a_run("a", 0, [0.5])], (1,), 1.0)["standard_error"] == [None]
    assert np.isnan(standard_error(np.ones((1, 2)))).all()


def test_differences_are_taken_seed_by_seed() -> None:
    runs = {
        "a": [a_run("a", seed, [0.5 + seed / 100]) for seed in range(8)],
        "b": [a_run("b", seed, [0.4 + seed / 100]) for seed in range(2, 10)],
        "c": [a_run("c", seed, [0.5 + seed / 100]) for seed in range(8)],
    }
    found = paired(runs, "a", (1,))
    assert found["b"]["seeds"] == 6
    assert found["b"]["difference"] == pytest.approx([0.1])
    assert found["b"]["standard_error"] == pytest.approx([0.0], abs=1e-9)
    assert found["b"]["p"] == [pytest.approx(2 / 2**6, abs=0.02)]
    assert found["c"]["p"] == [None]


def test_ranks_and_the_critical_difference_of_demsar() -> None:
    # Demsar 2006, Sec. 3.2.3: four methods on 14 data sets have the critical difference 1.25 at 0.05.
    blocks = [{"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}] * 12 + [{"a": 1.0, "b": 2.0, "c": 3.0, "d": 3.0}] * 2
    ranks = mean_ranks(blocks)
    assert ranks.critical_difference == pytest.approx(1.25, abs=0.005)
    assert list(ranks.mean) == ["a", "b", "c", "d"]
    assert ranks.mean["a"] == pytest.approx((12 * 1 + 2 * 4) / 14, abs=1e-4)
    assert ranks.mean["d"] == pytest.approx((12 * 4 + 2 * 1.5) / 14, abs=1e-4)
    assert ranks.cliques() == [["a", "b"], ["b", "c"], ["c", "d"]]
    with pytest.raises(ValueError, match="two or more blocks and methods"):
        mean_ranks([{"a": 1.0}])


def test_the_simulated_clock_adds_up_recorded_hours() -> None:
    def searched(seed: int, best: list[float], hours: list[float]) -> Run:
        return replace(a_run("a", seed, best), cost=[3600 * hour for hour in hours])

    runs = {
        "a": [searched(0, [0.1, 0.3], [1.0, 3.0]), searched(1, [0.2, 0.2], [2.0, 2.0])],
        "b": [searched(0, [0.4, 0.5], [2.0, 4.0])],
    }
    found = simulated_clock(runs, places=4)["simulated_hours"]
    # The shortest search ends after four hours; the first value of all is known after two.
    assert found["hours"] == [2.0, 3.0, 4.0]
    assert found["a"]["mean"] == pytest.approx([0.15, 0.15, 0.25])
    assert found["b"] == {"mean": [0.4, 0.4, 0.4], "standard_error": [None] * 3}
    runs["b"][0].cost[1] = None
    assert simulated_clock(runs) == {}
