"""What our Optuna samplers share: reading the study, proposing an architecture nobody holds, and recording it.

A sampler sees the whole study through the attributes `graphnas:architecture` and `graphnas:hash` of its trials,
finished and running, whichever sampler proposed them. It keeps no random state: every proposal draws from
`np.random.default_rng((seed, trial.number))`, so a resumed or parallel search needs none. What it caches is a pure
function of the trials and can be lost at any time.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from graphnas.cell import Architecture
from graphnas.spaces import HyperparameterSpace, Space
from graphnas.spaces.hyperparameters import HYPERPARAMETERS_KEY
from graphnas.spaces.space import ARCHITECTURE_KEY, HASH_KEY

SOURCE_KEY = "graphnas:source"
"""Trial attribute that says what proposed the architecture."""

BUDGETS_KEY = "graphnas:budgets"
"""Trial attribute with what a trial has reached at each budget so far, where there are several."""

_CLAIMS = 8  # proposals a trial makes before it accepts one that another process claimed at the same moment
_NEAREST = 24  # candidates that stand for the edits of one that has none on the list
_DRAWS = (16, 64, 256, 1024, 4096)  # random architectures looked through for one that is new


class CandidateList:
    """Architectures that a search is restricted to, the first of each class.

    Samplers make one of what they are given; searches of one list can share it.

    Args:
        space: Their space.
        architectures: One or more.

    Raises:
        ValueError: if there is none, or one is not of the space.
    """

    def __init__(self, space: Space, architectures: Sequence[Architecture]) -> None:
        if not architectures:
            raise ValueError("Expected candidates to be None or at least one architecture, but got none")
        for architecture in architectures:
            space.validate(architecture)
        first: dict[str, Architecture] = {}
        for key, architecture in zip(space.hashes(architectures), architectures, strict=True):
            first.setdefault(key, architecture)
        self.architectures: Mapping[str, Architecture] = first
        """By `Space.hash`."""
        self.hashes = tuple(first)
        self._space = space

    @cached_property
    def _decisions(self) -> NDArray[np.int8]:
        topology, cells = self._space.topology, self._space.to_arrays(list(self.architectures.values()))
        decisions: NDArray[np.int8] = topology.encode(topology.simplify(cells))
        return decisions.reshape(len(self.hashes), -1)

    def nearest(self, architecture: Architecture) -> Iterator[str]:
        """Hashes of all, those that differ from an architecture of the space in the fewest decisions first."""
        differ = (self._decisions != self._space.decisions(architecture)).sum(1)
        return (self.hashes[row] for row in np.argsort(differ, kind="stable"))


class Proposal(NamedTuple):
    """An architecture for a trial, with training settings where these are searched too."""

    architecture: Architecture
    hash: str
    """`Space.hash` of the architecture."""
    source: str
    """What proposed it, such as `random`, `acquisition`, or `fallback: ...` with the reason."""
    settings: Mapping[str, Any] = {}
    """Hyperparameters by name."""

    @property
    def key(self) -> str:
        """What tells candidates apart."""
        return candidate_key(self.hash, self.settings)


def candidate_key(key: str, settings: Mapping[str, Any]) -> str:
    """What a study counts as one candidate: an architecture's hash, followed by its settings as JSON if it has any."""
    return key + json.dumps(settings, sort_keys=True) if settings else key


def split_key(key: str) -> tuple[str, dict[str, Any]]:
    """Hash and settings of a `candidate_key`."""
    start = key.find("{")
    return (key, {}) if start < 0 else (key[:start], json.loads(key[start:]))


@dataclass(frozen=True)
class Observation:
    """What a study knows about one candidate."""

    architecture: Architecture
    hash: str
    """`Space.hash` of the architecture."""
    values: tuple[float, ...]
    """Means of its finished trials' objectives, larger is better; empty if none of them has finite ones."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """Constraints of its last finished trial that has any, met at 0 and below."""

    @property
    def value(self) -> float:
        """The first objective; NaN if there is none."""
        return self.values[0] if self.values else math.nan


@dataclass(frozen=True)
class History:
    """The candidates of a study, by `candidate_key`, in the order of their (last) trials.

    Candidates are architectures, and where a sampler searches hyperparameters too, architectures with settings.
    """

    finished: Mapping[str, Observation]
    """Candidates with at least one finished trial, failed ones included."""
    running: Mapping[str, Architecture]
    """Candidates that wait for their first value."""
    budgets: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Where trials are compared at several budgets: by budget, what candidates have reached at it, larger is better, by
    key. Those that ended at a smaller budget are finished and have no values; some are running."""

    def feasible(self) -> NDArray[np.bool_]:
        """Which of the finished architectures violate no constraint, in their order."""
        known = self.finished.values()
        return np.array([all(value <= 0 for value in one.constraints.values()) for one in known], dtype=bool)

    def by_budget(self) -> dict[int, dict[str, float]]:
        """What candidates have reached at each budget, by key, smallest budget first; NaN is nothing.

        Those that have no budgets count as having reached their values at the largest, or nothing at the smallest; if
        no trial has any, all are at budget 0.
        """
        told = {budget: dict(reached) for budget, reached in sorted(self.budgets.items())} or {0: {}}
        for key, one in self.finished.items():
            if not any(key in reached for reached in told.values()):
                told[max(told) if one.values else min(told)][key] = one.value
        return told

    @cached_property
    def hashes(self) -> Set[str]:
        """Keys of all candidates that were proposed so far; without hyperparameters the architectures' hashes."""
        return self.finished.keys() | self.running.keys()


class _Ledger:
    """What the trials of a study come to, trial by trial in their order.

    Args:
        study: The study.
        signs: For each objective 1, or -1 where smaller is better.
    """

    def __init__(self, study: Study, signs: tuple[float, ...]) -> None:
        self.study, self.signs = study._study_id, signs
        self.trials: list[FrozenTrial] = []
        self.known: dict[str, Architecture] = {}
        self.finished: dict[str, Observation] = {}
        self.counts: dict[str, int] = {}
        self.budgets: dict[int, dict[str, float]] = {}

    def begins(self, study: Study, trials: Sequence[FrozenTrial], signs: tuple[float, ...]) -> bool:
        """Whether these trials begin with those of the ledger."""
        n = len(self.trials)
        # Storages keep a finished trial as the same object, or make it anew with the same number and identity.
        same = n <= len(trials) and (not n or self.trials[-1]._trial_id == trials[n - 1]._trial_id)
        return same and self.study == study._study_id and self.signs == signs

    def copy(self) -> _Ledger:
        """One that others can be added to without a change of this one."""
        other = _Ledger.__new__(_Ledger)
        other.study, other.signs, other.trials = self.study, self.signs, list(self.trials)
        other.known, other.finished, other.counts = dict(self.known), dict(self.finished), dict(self.counts)
        other.budgets = {budget: dict(reached) for budget, reached in self.budgets.items()}
        return other

    def add(self, trial: FrozenTrial, entry: tuple[Architecture, str] | None) -> None:
        """A further trial, with its architecture and key; None where it has none of this space."""
        self.trials.append(trial)
        if entry is None:
            return
        architecture, key = entry
        known = self.known.setdefault(key, architecture)
        reached: Mapping[str, float] = trial.user_attrs.get(BUDGETS_KEY, {})
        for budget, value in reached.items():
            # What fails later was no good sign earlier.
            figure = math.nan if trial.state == TrialState.FAIL else self.signs[0] * value
            self.budgets.setdefault(int(budget), {})[key] = figure
        if not trial.state.is_finished():
            return
        before = self.finished.get(key)
        values = before.values if before is not None else ()
        # The value of a trial that ended at a small budget is not to be compared with others.
        whole = trial.state == TrialState.COMPLETE or (trial.state == TrialState.PRUNED and not reached)
        if whole and trial.values and all(map(math.isfinite, trial.values)):
            mine = tuple(sign * value for sign, value in zip(self.signs, trial.values, strict=True))
            n = self.counts.get(key, 0)
            values = (
                tuple((n * mean + value) / (n + 1) for mean, value in zip(values, mine, strict=True)) if n else mine
            )
            self.counts[key] = n + 1
        constraints = dict(trial.constraints) or (before.constraints if before is not None else {})
        self.finished[key] = Observation(known, split_key(key)[0], values, constraints)

    def history(self) -> History:
        """What samplers see."""
        running = {key: self.known[key] for key in self.known.keys() - self.finished.keys()}
        budgets = {budget: dict(reached) for budget, reached in self.budgets.items()}
        return History(dict(self.finished), running, budgets)


class CellSampler(BaseSampler):
    """Base of samplers that propose whole architectures of a space.

    A trial's architecture is not known to the study before. Once all architectures of the space are (or none new was
    found among five thousand random ones), the sampler repeats a random one with the source
    `fallback: no new architecture`; a study that should end there looks at the source. Parameters of a trial beside
    the architecture are drawn at random, repeatably by seed, trial number and name.

    Args:
        space: The space to propose from.
        candidates: Proposes only these architectures; the whole space if None.
        hyperparameters: Proposes settings of these with each architecture, which may come again with others.
        seed: Makes proposals a function of the study's trials; drawn at random if None and kept in `seed`.
    """

    _serves_several = False  # whether a study may have several objectives

    def __init__(
        self,
        space: Space,
        *,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        hyperparameters: HyperparameterSpace | None = None,
        seed: int | None = None,
    ) -> None:
        if seed is not None and seed < 0:
            raise ValueError(f"Expected seed to be None or at least 0, but got {seed}")
        self.space = space
        self.candidates = (
            candidates
            if candidates is None or isinstance(candidates, CandidateList)
            else CandidateList(space, candidates)
        )
        self.hyperparameters = hyperparameters
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
        """Seed of all proposals."""
        self._lock = threading.Lock()
        self._parsed: dict[str, tuple[Architecture, str]] = {}
        self._ledger: _Ledger | None = None
        self._neighbours: dict[str, list[tuple[Architecture, str]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_ledger")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._ledger = None

    @abstractmethod
    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """Choose the architecture of the next trial; called under a lock.

        Args:
            history: All other trials of the study.
            rng: Source of all randomness.
        """

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Refuse a study that this sampler cannot serve, and name an enqueued architecture's source.

        Raises:
            ValueError: if the study has several objectives and the sampler reads values.
        """
        if not self._serves_several and len(study.directions) > 1:
            raise ValueError(
                f"Expected a study with one objective for {type(self).__name__}, but got {len(study.directions)}"
            )
        if self._is_enqueued(trial):
            self._record(study, trial, {SOURCE_KEY: "enqueued"})

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The decisions of the space, and hyperparameters, the same for every trial."""
        further = {} if self.hyperparameters is None else self.hyperparameters.distributions()
        return {**self.space.distributions(), **further}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose a candidate, claim it on the trial, and return its decisions and settings."""
        if self._is_enqueued(trial):
            return {}
        # Threads of this process take turns; another process may claim the same architecture between our reading
        # and writing. Whoever reads after both writes sees it and proposes again.
        with self._lock:
            history = self._read(study, trial.number)
            for attempt in range(_CLAIMS):
                entropy = (self.seed, trial.number, attempt) if attempt else (self.seed, trial.number)
                proposal = self.propose(history, np.random.default_rng(entropy))
                claim: dict[str, Any] = {HYPERPARAMETERS_KEY: dict(proposal.settings)} if proposal.settings else {}
                claim |= {ARCHITECTURE_KEY: proposal.architecture.to_json(), HASH_KEY: proposal.hash}
                self._record(study, trial, {**claim, SOURCE_KEY: proposal.source})
                repeats = proposal.key in history.hashes
                history = self._read(study, trial.number)
                if repeats or proposal.key not in history.hashes:
                    break
        parameters = {**self.space.parameters(proposal.architecture), **proposal.settings}
        # A sampler around this one may have fixed some decisions already.
        return {name: value for name, value in parameters.items() if name in search_space}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter that is not part of the architecture."""
        entropy = np.random.SeedSequence((self.seed, trial.number, zlib.crc32(param_name.encode())))
        sampler = RandomSampler(seed=int(entropy.generate_state(1)[0]))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def random_proposal(self, history: History, rng: np.random.Generator, source: str = "random") -> Proposal:
        """A random candidate that the study does not know, if there is one."""
        for n in _DRAWS:
            architectures, hashes = self._draw(n, rng)
            pairs: Iterable[tuple[Architecture, str]] = zip(architectures, hashes, strict=True)
            if self.hyperparameters is not None:
                # Of few candidates each has many settings.
                pairs = itertools.islice(itertools.cycle(pairs), n)
            for architecture, key in pairs:
                settings = {} if self.hyperparameters is None else self.hyperparameters.sample(1, rng)[0]
                proposal = Proposal(architecture, key, source, settings)
                if proposal.key not in history.hashes:
                    return proposal
        return Proposal(architectures[0], hashes[0], "fallback: no new architecture")

    def neighbours(self, architecture: Architecture, key: str) -> list[tuple[Architecture, str]]:
        """Architectures one edit away that may be proposed, with their hashes; cached by the hash `key`.

        If none of them is on the list of candidates, those on it that differ in the fewest decisions.
        """
        if key not in self._neighbours:
            found = self.space.neighbours(architecture)
            pairs = list(zip(found, self.space.hashes(found), strict=True))
            if self.candidates is not None:
                listed = self.candidates.architectures
                keys = [other for _, other in pairs if other in listed]
                if not keys:
                    keys = list(itertools.islice(self.candidates.nearest(architecture), _NEAREST + 1))
                pairs = [(listed[other], other) for other in keys if other != key]
            self._neighbours[key] = pairs
        return self._neighbours[key]

    def new_neighbours(self, architecture: Architecture, key: str, history: History) -> list[tuple[Architecture, str]]:
        """Those of the `neighbours` that the study does not know."""
        return [pair for pair in self.neighbours(architecture, key) if pair[1] not in history.hashes]

    def _draw(self, n: int, rng: np.random.Generator) -> tuple[list[Architecture], list[str]]:
        if self.candidates is None:
            architectures = self.space.sample(n, rng)
            return architectures, self.space.hashes(architectures)
        rows = rng.permutation(len(self.candidates.hashes))[:n].tolist()
        hashes = [self.candidates.hashes[row] for row in rows]
        return [self.candidates.architectures[key] for key in hashes], hashes

    def _is_enqueued(self, trial: FrozenTrial) -> bool:
        """Whether `Study.enqueue_trial` fixed every decision."""
        return set(self.space.distributions()) <= set(trial.system_attrs.get("fixed_params", {}))

    def _record(self, study: Study, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            study._storage.set_trial_user_attr(trial._trial_id, key, value)
            trial.user_attrs[key] = value  # the objective's own view of the trial, as Trial.set_user_attr keeps it

    def _read(self, study: Study, number: int) -> History:
        """The study without trial `number`."""
        # Not study.get_trials: under Hyperband that shows the trials of one bracket only.
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        signs = tuple(-1.0 if direction == StudyDirection.MINIMIZE else 1.0 for direction in study.directions)
        ledger = self._ledger
        if ledger is None or not ledger.begins(study, trials, signs):
            ledger = self._ledger = _Ledger(study, signs)
        # Trials that have finished, and all before them, say the same for ever.
        for trial in trials[len(ledger.trials) :]:
            if not trial.state.is_finished() or trial.number == number:
                break
            ledger.add(trial, self._candidate(trial))
        rest = trials[len(ledger.trials) :]
        if rest:
            ledger = ledger.copy()
            for trial in rest:
                if trial.number != number:
                    ledger.add(trial, self._candidate(trial))
        return ledger.history()

    def _candidate(self, trial: FrozenTrial) -> tuple[Architecture, str] | None:
        """Architecture and key of a trial of this space, None for other trials."""
        entry = self._architecture(trial)
        if entry is None or self.hyperparameters is None:
            return entry
        settings = trial.user_attrs.get(HYPERPARAMETERS_KEY)
        return (entry[0], candidate_key(entry[1], settings)) if settings else None

    def _architecture(self, trial: FrozenTrial) -> tuple[Architecture, str] | None:
        """Architecture and hash of a trial of this space, None for other trials."""
        text = trial.user_attrs.get(ARCHITECTURE_KEY)
        if not isinstance(text, str):
            return None
        if text not in self._parsed:
            try:
                architecture = Architecture.from_json(text)
            except ValueError:
                return None
            labels = {op for cell in architecture.cells for op in cell.ops}
            mine = architecture.space == self.space.name and len(architecture.cells) == len(self.space.cell_names)
            if not mine or not labels <= set(self.space.vocabulary):
                return None
            key = trial.user_attrs.get(HASH_KEY)
            self._parsed[text] = architecture, key if isinstance(key, str) else self.space.hash(architecture)
        return self._parsed[text]


class RandomCellSampler(CellSampler):
    """Random architectures, each once: uniform over classes wherever `Space.sample` is.

    Example:
        >>> import optuna
        >>> space = Space.load("nasbench101")
        >>> study = optuna.create_study(sampler=RandomCellSampler(space, seed=0))
        >>> architecture = space.suggest(study.ask())
    """

    _serves_several = True  # values are not read

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A random new architecture."""
        return self.random_proposal(history, rng)
