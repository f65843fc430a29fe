"""What many seeds of several methods say: means with errors, paired tests, ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, studentized_range, wilcoxon

from graphnas.bench.run import Run

FloatArray = NDArray[np.float64]


def curves(runs: Sequence[Run]) -> FloatArray:
    """`seeds x queries` largest values so far of one method, seeds in order."""
    return np.array([run.best for run in sorted(runs, key=lambda run: run.seed)])


def summary(runs: Sequence[Run], places: Sequence[int], optimum: float) -> dict[str, Any]:
    """Figures of one method at some numbers of queries.

    Args:
        runs: Its searches, one for each seed.
        places: Numbers of queries.
        optimum: The largest value there is.

    Returns:
        `mean`, `standard_error`, `at_optimum` (share of seeds), the mean and standard error of each further column,
        `cost` (mean recorded seconds of training so far, None where any is unknown), by place; shares of the sources
        of the proposals; and proposals that used up no query, a search.
    """
    runs = sorted(runs, key=lambda run: run.seed)
    rows = [place - 1 for place in places]
    values = curves(runs)[:, rows]
    return {
        "seeds": [run.seed for run in runs],
        "mean": _rounded(values.mean(0)),
        "standard_error": _rounded(standard_error(values)),
        "at_optimum": _rounded((values >= optimum - 1e-7).mean(0)),
        "further": {
            title: _over_seeds([[run.further[title][row] for row in rows] for run in runs]) for title in runs[0].further
        },
        "cost": [_mean_cost(runs, place) for place in places],
        "sources": _shares([source.split(":")[0] for run in runs for source in run.source]),
        "repeats": round(sum(run.repeats for run in runs) / len(runs), 2),
    }


def simulated_clock(runs: Mapping[str, Sequence[Run]], places: int = 50) -> dict[str, Any]:
    """How good the best architecture is after so many hours of training, had the recorded trainings run one by one.

    Args:
        runs: Searches by method.
        places: Number of times at which they are compared, in equal steps up to the shortest search's end.

    Returns:
        `simulated_hours` with `hours` and by method the `mean` and `standard_error` of the best value known by then,
        from the first time on at which every search has one; empty where the seconds of any training are not known.
    """
    if any(cost is None for mine in runs.values() for run in mine for cost in run.cost):
        return {}
    ends = {method: [_hours(run) for run in mine] for method, mine in runs.items()}
    last, first = (pick(float(at[row]) for mine in ends.values() for at in mine) for pick, row in ((min, -1), (max, 0)))
    hours = np.linspace(0, last, places + 1)[1:]
    hours = hours[hours >= first]
    found: dict[str, Any] = {"hours": _rounded(hours)}
    for method, mine in runs.items():
        rows = [np.searchsorted(at, hours + 1e-9, side="right") - 1 for at in ends[method]]
        values = np.array([np.array(run.best)[row] for run, row in zip(mine, rows, strict=True)])
        found[method] = {"mean": _rounded(values.mean(0)), "standard_error": _rounded(standard_error(values))}
    return {"simulated_hours": found} if len(hours) else {}


def _hours(run: Run) -> FloatArray:
    """Hours of training when each query is done."""
    return np.cumsum(np.array(run.cost, dtype=np.float64)) / 3600


def standard_error(values: FloatArray) -> FloatArray:
    """Standard errors of the means over the first axis; NaN of one row."""
    if len(values) < 2:
        return np.full(values.shape[1:], math.nan)
    error: FloatArray = values.std(0, ddof=1) / math.sqrt(len(values))
    return error


def paired(runs: Mapping[str, Sequence[Run]], reference: str, places: Sequence[int]) -> dict[str, dict[str, Any]]:
    """How far a reference lies above each other method, seed by seed.

    Args:
        runs: Searches by method.
        reference: Name of one of the methods.
        places: Numbers of queries.

    Returns:
        For each other method, over the seeds that both have: mean `difference` (reference minus other), its
        `standard_error`, and `p` of Wilcoxon's two-sided signed-rank test, by place; None where there are fewer than
        two seeds or all differences are 0.
    """
    mine = {run.seed: run.best for run in runs[reference]}
    found = {}
    for method, others in runs.items():
        pairs = [(mine[run.seed], run.best) for run in others if run.seed in mine]
        if method == reference or not pairs:
            continue
        gaps = np.array([np.subtract(one, other) for one, other in pairs])[:, [place - 1 for place in places]]
        found[method] = {
            "seeds": len(pairs),
            "difference": _rounded(gaps.mean(0)),
            "standard_error": _rounded(standard_error(gaps)),
            "p": [_wilcoxon(column) for column in gaps.T],
        }
    return found


def _wilcoxon(gaps: FloatArray) -> float | None:
    if len(gaps) < 2 or not gaps.any():
        return None
    return float(f"{wilcoxon(gaps).pvalue:.4g}")


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods and how far apart they must be (Demsar 2006, JMLR 7, Sec. 3.2.2)."""

    mean: dict[str, float]
    """Mean rank of each method over blocks, 1 the best; best first."""
    blocks: int
    """Seeds of protocols that all methods have."""
    critical_difference: float
    """Mean ranks that differ by more differ at the level 0.05 (Nemenyi's test)."""

    def cliques(self) -> list[list[str]]:
        """Largest groups of methods, best first, that do not differ."""
        names = list(self.mean)
        groups: list[list[str]] = []
        for start, name in enumerate(names):
            group = [other for other in names[start:] if self.mean[other] - self.mean[name] <= self.critical_difference]
            if len(group) > 1 and not any(set(group) <= set(known) for known in groups):
                groups.append(group)
        return groups


def mean_ranks(blocks: Sequence[Mapping[str, float]]) -> Ranks:
    """Rank methods within each block.

    Args:
        blocks: For each seed of each protocol, the value of every method, larger is better. All have the same methods.

    Raises:
        ValueError: if there are fewer than two blocks or methods.
    """
    methods = sorted(blocks[0]) if blocks else []
    if len(blocks) < 2 or len(methods) < 2:
        raise ValueError(f"Expected two or more blocks and methods, but got {len(blocks)} and {len(methods)}")
    ranks = np.array([rankdata([-block[method] for method in methods]) for block in blocks]).mean(0)
    k, n = len(methods), len(blocks)
    quantile = float(studentized_range.ppf(0.95, k, np.inf)) / math.sqrt(2)
    order = np.argsort(ranks, kind="stable")
    return Ranks(
        mean={methods[row]: round(float(ranks[row]), 4) for row in order.tolist()},
        blocks=n,
        critical_difference=round(quantile * math.sqrt(k * (k + 1) / (6 * n)), 4),
    )


def _mean_cost(runs: Sequence[Run], place: int) -> float | None:
    spent = [run.cost[:place] for run in runs]
    if any(cost is None for row in spent for cost in row):
        return None
    return round(float(np.mean([sum(cost for cost in row if cost is not None) for row in spent])), 1)


def _over_seeds(rows: Sequence[Sequence[float | None]]) -> dict[str, list[float | None]]:
    values = np.array([[math.nan if value is None else value for value in row] for row in rows])
    return {"mean": _rounded(values.mean(0)), "standard_error": _rounded(standard_error(values))}


def _shares(names: Sequence[str]) -> dict[str, float]:
    return {name: round(names.count(name) / len(names), 4) for name in sorted(set(names))}


def _rounded(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 7) for value in np.asarray(values, dtype=np.float64).tolist()]
