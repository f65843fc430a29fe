"""One search of a benchmark: ask, look up, tell."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial, TrialState

from graphnas import studies
from graphnas.bench.protocol import Benchmark
from graphnas.cell import Architecture

_REPEATS = 50  # proposals in a row that use up no query before a random architecture takes their place
_DRAWS = 10_000  # random architectures looked through for one that is new


@dataclass(frozen=True)
class Run:
    """What one search found, query by query; everything but the seconds is a function of method, protocol and seed."""

    protocol: str
    method: str
    seed: int
    best: list[float]
    """Largest value queried so far after each query, a fraction."""
    source: list[str]
    """What proposed each query."""
    cost: list[float | None]
    """Recorded seconds of training behind each query; None where they are not known."""
    further: dict[str, list[float | None]]
    """The protocol's other columns of the best architecture so far after each query."""
    records: list[tuple[int, str]]
    """The architectures that were the best so far, as JSON, each after the number of the query that found it."""
    repeats: int
    """Proposals that were known already or may not be queried, and used up no query."""
    seconds: float
    """CPU seconds of the whole search, look-ups included."""

    @property
    def seconds_a_proposal(self) -> float:
        """CPU seconds of the search over all proposals, those that used up no query among them."""
        return self.seconds / (len(self.best) + self.repeats)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Run:
        """Inverse of `to_dict`, after JSON."""
        return cls(**{**data, "records": [(int(query), text) for query, text in data["records"]]})

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def run_search(
    benchmark: Benchmark,
    method: str,
    seed: int,
    *,
    encoder: Any = None,
    sampler: optuna.samplers.BaseSampler | None = None,
) -> Run:
    """One search with one seed.

    A batch of proposals is asked for, looked up and told. A proposal of a class that was queried before uses up no
    query; its trial gets the known value. After fifty of these in a row a random new architecture is queried instead,
    and its source says so. Optuna's own samplers heed no list of candidates: in place of what they propose, the new one
    that differs from it in the fewest decisions is queried and told.

    Args:
        benchmark: The protocol with its data.
        method: A word of `studies.split_sampler`.
        seed: Seed of the sampler.
        encoder: For the methods that search in a latent space.
        sampler: What proposes, in place of what `method` says, which then is only its name.

    Raises:
        ValueError: if there is no such method or setting, it needs an encoder or takes no list of candidates, or there
            are fewer architectures than queries.
    """
    protocol, space = benchmark.protocol, benchmark.space
    queries = protocol.places[-1]
    started = time.process_time()
    if sampler is None:
        sampler = studies.make_sampler(method, space, encoder=encoder, candidates=benchmark.candidates, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    values: dict[str, float] = {}
    found: list[tuple[Architecture, float, str]] = []
    repeats = in_a_row = 0
    while len(found) < queries:
        batch: list[tuple[Trial, float, Architecture | None]] = []
        asked = 0
        while asked < min(protocol.batch, queries - len(found)):
            trial = study.ask()
            architecture = space.suggest(trial)
            key = space.hash(architecture)
            listed, other = benchmark.candidates, None
            if listed is not None and key not in listed.architectures:
                key = next((one for one in listed.nearest(architecture) if one not in values), "")
                if not key:
                    raise _exhausted(values)
                other = listed.architectures[key]
            if key in values:
                repeats, in_a_row = repeats + 1, in_a_row + 1
                batch.append((trial, values[key], None))
                if in_a_row % _REPEATS == 0:
                    study.enqueue_trial(space.parameters(_random_new(benchmark, values, (seed, len(found)))))
                continue
            if listed is not None:
                # The class may have several members; the listed one was measured.
                architecture = listed.architectures[key]
            values[key] = benchmark.value(architecture)
            batch.append((trial, values[key], other))
            source = trial.user_attrs.get("graphnas:source", method)
            found.append((architecture, values[key], "random: repeated proposals" if in_a_row >= _REPEATS else source))
            asked, in_a_row = asked + 1, 0
        for trial, value, other in batch:
            if other is None:
                study.tell(trial, value)
            else:
                study.tell(trial, state=TrialState.FAIL)
                study.add_trial(
                    optuna.trial.create_trial(
                        params=space.parameters(other), distributions=space.distributions(), value=value
                    )
                )
    seconds = time.process_time() - started
    best = np.maximum.accumulate([value for _, value, _ in found])
    # The architecture that holds the record after each query.
    holder = np.maximum.accumulate(np.where(np.diff(best, prepend=-np.inf) > 0, np.arange(queries), 0))
    further = [benchmark.further(found[row][0]) for row in holder.tolist()]
    return Run(
        protocol=protocol.name,
        method=method,
        seed=seed,
        best=best.round(7).tolist(),
        source=[source for _, _, source in found],
        cost=[_known(benchmark.cost(architecture)) for architecture, _, _ in found],
        further={title: [_known(one[title]) for one in further] for title in protocol.further},
        records=[(row + 1, found[row][0].to_json()) for row in sorted(set(holder.tolist()))],
        repeats=repeats,
        seconds=round(seconds, 2),
    )


def _random_new(benchmark: Benchmark, known: Mapping[str, float], entropy: tuple[int, int]) -> Architecture:
    """A random architecture that was not queried."""
    rng, space = np.random.default_rng(entropy), benchmark.space
    if benchmark.candidates is not None:
        left = [key for key in benchmark.candidates.hashes if key not in known]
        if left:
            return benchmark.candidates.architectures[left[int(rng.integers(len(left)))]]
    else:
        cells = space.sample_arrays(_DRAWS, rng)
        for row, key in enumerate(space.hashes(cells)):
            if key not in known:
                return space.from_arrays(space.take(cells, np.array([row])))[0]
    raise _exhausted(known)


def _exhausted(known: Mapping[str, float]) -> ValueError:
    return ValueError(f"Expected more architectures than queries, but all {len(known):,} found were queried")


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 7)
