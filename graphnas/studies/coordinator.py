"""The one process of a search that asks, hands out evaluations and writes what came of them."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from graphnas import engines
from graphnas.spaces.hyperparameters import HYPERPARAMETERS_KEY
from graphnas.spaces.space import ARCHITECTURE_KEY
from graphnas.studies.data import check_data
from graphnas.studies.database import reason_of
from graphnas.studies.errors import StudyError, TooManyFailures
from graphnas.studies.fidelity import Fidelity
from graphnas.studies.folder import folder_of
from graphnas.studies.lease import Event, Lease
from graphnas.studies.lock import coordinator_lock
from graphnas.studies.trials import EXHAUSTED, INTERRUPTED, WEIGHTS, architecture, finished
from graphnas.studies.weights import KeptWeights

if TYPE_CHECKING:
    from graphnas.evaluate.protocol import Evaluator, Result
    from graphnas.spaces import HyperparameterSpace, Space


def run(
    study: optuna.Study,
    space: Space,
    evaluator: Evaluator,
    *,
    n_trials: int,
    executor: Executor | None = None,
    timeout: float | None = None,
    on_event: Callable[[Event], None] | None = None,
    budget: int | None = None,
    seed: int = 0,
    parallel: int | None = None,
    max_attempts: int = 3,
    max_failure_rate: float = 0.5,
    keep: int = 5,
    fidelity: Fidelity | None = None,
    hyperparameters: HyperparameterSpace | None = None,
) -> None:
    """Ask, evaluate and tell until the study holds `n_trials` finished trials.

    A candidate that fails, whatever the reason, becomes a failed trial with the attribute `graphnas:reason`, and the
    search goes on. A candidate whose worker was lost is tried again.

    Args:
        study: From `create` or `resume`, or any Optuna study.
        space: Search space that maps proposals to architectures.
        evaluator: Judges them.
        n_trials: Finished trials in the study at the end, those of earlier runs included.
        executor: Where candidates are evaluated; in this process if None.
        timeout: Seconds after which no further candidate starts.
        on_event: Called in this thread with everything that happens.
        budget: Budget of each evaluation; the evaluator's default if None.
        seed: Seed of each evaluation.
        parallel: Candidates under way at once; the executor's number of workers if None.
        max_attempts: Attempts for a candidate whose worker died, or that was evaluated in this process and has taken
            it along: a killed process counts, unless the evaluation had reported more steps than any attempt before.
        max_failure_rate: Above this share of failures, among at least ten candidates of this run, the search stops.
        keep: Number of best trials (all of the Pareto set if there are several objectives) whose weights, the
            safetensors files in their folders, are kept; those of others are deleted when their trials have finished.
        fidelity: Budgets at which candidates are compared and end if they fall behind; such trials are pruned, and
            have what they reached at each budget as intermediate values.
        hyperparameters: What each trial chooses beside its architecture; the evaluator is given these settings.

    An evaluator's `fingerprint`, if it has one, tells its data from other data, which a study is never continued on.

    The search ends early, with an `"exhausted"` event, when the sampler finds no architecture that is new.

    Raises:
        ValueError: if there is a fidelity and a budget, several objectives or bounds.
        StudyLocked: if another coordinator is at work on the study's folder.
        StudyError: if the database fails, or the evaluator's data is not that of earlier trials.
        TooManyFailures: above the failure rate.
        KeyboardInterrupt: candidates under way stay to be evaluated again, without an attempt counted.
    """
    if fidelity is not None:
        bounds = {**study.user_attrs.get("graphnas:at_most", {}), **study.user_attrs.get("graphnas:at_least", {})}
        if budget is not None or len(study.directions) > 1 or bounds:
            raise ValueError(
                "Expected a study with one objective, and neither bounds nor a budget, where there is a fidelity, but "
                f"got {len(study.directions)} objectives, bounds {bounds} and the budget {budget}"
            )
    workers = getattr(executor, "workers", None) or getattr(executor, "_max_workers", None) or 1
    coordinator = _Coordinator(
        study,
        space,
        evaluator,
        executor,
        on_event or (lambda event: None),
        budget,
        seed,
        max_attempts,
        max_failure_rate,
        keep,
        fidelity,
        hyperparameters,
    )
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    folder = folder_of(study)
    with contextlib.nullcontext() if folder is None else coordinator_lock(folder):
        try:
            check_data(study, evaluator, folder)
            coordinator.run(n_trials, parallel or workers, deadline)
        except (StorageInternalError, UpdateFinishedTrialError) as error:
            place = "the study's storage" if folder is None else f"the storage of {folder}"
            raise StudyError(f"{place} failed: {reason_of(error)}") from error


class _Coordinator:
    """The one process that asks and writes."""

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        evaluator: Evaluator,
        executor: Executor | None,
        on_event: Callable[[Event], None],
        budget: int | None,
        seed: int,
        max_attempts: int,
        max_failure_rate: float,
        keep: int,
        fidelity: Fidelity | None,
        hyperparameters: HyperparameterSpace | None,
    ) -> None:
        self.study = study
        self.space = space
        self.executor = executor
        # Threads die together with the candidate's process, which is this one.
        self.own_process = executor is None or isinstance(executor, ThreadPoolExecutor)
        # Engines that can hold a value in each worker spare sending the evaluator with every candidate.
        share = getattr(executor, "share", None)
        self.evaluator = evaluator if share is None else share(evaluator)
        self.on_event = on_event
        self.budget = budget
        self.seed = seed
        self.max_attempts = max_attempts
        self.max_failure_rate = max_failure_rate
        self.weights = KeptWeights(study, keep)
        self.hyperparameters = hyperparameters
        self.fidelity = fidelity
        if fidelity is not None:
            study.pruner = fidelity.pruner(seed)
        self.folder = folder_of(study)
        self.objectives: list[str] = study.user_attrs.get("graphnas:objectives", ["value"])
        self.at_most: dict[str, float] = study.user_attrs.get("graphnas:at_most", {})
        self.at_least: dict[str, float] = study.user_attrs.get("graphnas:at_least", {})
        self.pending: dict[Future[str], Lease] = {}
        self.queue: list[Lease] = []
        self.outcomes: list[bool] = []
        self.exhausted = False

    @property
    def _needs(self) -> set[str]:
        """Attributes that make a trial a candidate."""
        return {ARCHITECTURE_KEY} if self.hyperparameters is None else {ARCHITECTURE_KEY, HYPERPARAMETERS_KEY}

    def run(self, n_trials: int, parallel: int, deadline: float) -> None:
        self.weights.tidy(self.folder)
        self._recover()
        count = len(finished(self.study))
        try:
            while True:
                while len(self.pending) < parallel and time.monotonic() < deadline:
                    if self.queue:
                        self._start(self.queue.pop(0))
                    elif count + len(self.pending) < n_trials and not self.exhausted:
                        lease = self._ask()
                        if lease is not None:
                            self._start(lease)
                    else:
                        break
                    # A call that ran in this process has finished already.
                    if any(future.done() for future in self.pending):
                        break
                if not self.pending:
                    return
                done, _ = wait(self.pending, timeout=0.5, return_when=FIRST_COMPLETED)
                self._watch()
                for future in done:
                    count += self._finish(future)
                self._check_failure_rate()
        except KeyboardInterrupt:
            for future, lease in self.pending.items():
                future.cancel()
                self._set(lease, "attempts", lease.attempt - 1)
            raise

    def _recover(self) -> None:
        """Take up what a coordinator that died has left behind."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._needs <= trial.user_attrs.keys():
                self._discard(trial._trial_id, trial.number, INTERRUPTED)
                # An enqueued candidate is asked for once more; the sampler's next proposal replaces any other.
                if "fixed_params" in trial.system_attrs:
                    self.study.enqueue_trial(trial.system_attrs["fixed_params"])
                continue
            candidate = architecture(trial)
            lease = Lease(
                trial.number,
                trial._trial_id,
                candidate,
                trial.user_attrs.get(HYPERPARAMETERS_KEY),
                trial.user_attrs.get("graphnas:source", ""),
                trial.user_attrs.get("graphnas:attempts", 0),
                time.monotonic(),
            )
            if self.fidelity is not None:
                lease.rung = self.fidelity.first(self.study, trial)
                lease.values = dict(trial.user_attrs.get("graphnas:budgets", {}))
                if "graphnas:promoted" in trial.user_attrs:
                    budget, *spent = trial.user_attrs["graphnas:promoted"]
                    lease.rung, lease.spent = self.fidelity.rung(budget), tuple(spent)
            self._acquit(lease, trial.user_attrs.get("graphnas:lease", {}))
            if "graphnas:source" not in trial.user_attrs:
                lease.source = "interrupted"
                self._set(lease, "source", lease.source)
            if "graphnas:hash" not in trial.user_attrs:
                self._set(lease, "hash", self.space.hash(candidate))
            if lease.attempt >= self.max_attempts:
                self._fail(lease, f"lost {lease.attempt} times while it was evaluated")
            else:
                self.queue.append(lease)

    def _acquit(self, lease: Lease, record: Mapping[str, Any]) -> None:
        """Take back what a coordinator counted against the candidate that it had under way, if it got further."""
        place = self._workplace(lease)
        steps = 0 if place is None else len(engines.read_progress(place))
        before = record.get("reached", 0)
        if record.get("own_process", True) and steps > before:
            lease.attempt = 0
        lease.reached = max(before, steps)

    def _ask(self) -> Lease | None:
        """A new candidate, or None if there is no other."""
        trial: optuna.Trial | None = None
        try:
            trial = self.study.ask()
            candidate = self.space.suggest(trial)
            settings = None if self.hyperparameters is None else self.hyperparameters.suggest(trial)
        except BaseException:
            if trial is not None and not self._needs <= trial.user_attrs.keys():
                self._discard(trial._trial_id, trial.number, INTERRUPTED)
            raise
        # Optuna does not ask the sampler about an enqueued trial, and its own samplers do not say what they do.
        enqueued = "fixed_params" in self.study._storage.get_trial(trial._trial_id).system_attrs
        default = "enqueued" if enqueued else type(self.study.sampler).__name__
        source = str(trial.user_attrs.get("graphnas:source", default))
        lease = Lease(trial.number, trial._trial_id, candidate, settings, source, 0, time.monotonic())
        if self.fidelity is not None:
            lease.rung = self.fidelity.first(self.study, self.study._storage.get_trial(trial._trial_id))
        if "graphnas:source" not in trial.user_attrs:
            self._set(lease, "source", source)
        if source == f"fallback: {EXHAUSTED}":
            self.exhausted = True
            self._discard(lease.trial_id, lease.number, EXHAUSTED)
            self._emit(lease, "exhausted", reason=EXHAUSTED)
            return None
        return lease

    def _start(self, lease: Lease) -> None:
        lease.attempt += 1
        lease.started = time.monotonic()
        lease.reached = max(lease.reached, lease.steps)
        lease.steps = 0
        owner = {"owner": f"{socket.gethostname()}:{os.getpid()}", "attempt": lease.attempt}
        self._set(lease, "lease", {**owner, "own_process": self.own_process, "reached": lease.reached})
        # Whoever finds the trial running knows that this process has died. A candidate in another process is not the
        # cause; its attempt counts once its worker is known to have died.
        self._set(lease, "attempts", lease.attempt if self.own_process else lease.attempt - 1)
        self._emit(lease, "started")
        place = self._workplace(lease)
        budget, until = self._budget(lease)
        call = partial(
            engines.evaluate,
            self.evaluator,
            lease.architecture.to_json(),
            budget=budget,
            until=until,
            seed=self.seed,
            hyperparameters=lease.settings,
            folder=None if place is None else str(place),
            objectives=(*self.objectives, *self.at_most, *self.at_least),
        )
        if self.executor is not None:
            self.pending[self.executor.submit(call)] = lease
            return
        future: Future[str] = Future()
        self.pending[future] = lease
        try:
            future.set_result(call(report=partial(self._progress, lease)))
        except Exception as error:  # whatever an evaluator raises fails its candidate, as in another process
            future.set_exception(error)

    def _finish(self, future: Future[str]) -> int:
        """Write what became of a candidate; 1 if its trial has finished, 0 if it is tried again."""
        from graphnas.evaluate.protocol import EvaluationFailed, Result

        lease = self.pending.pop(future)
        if not self.own_process:
            self._set(lease, "attempts", lease.attempt)
        try:
            result = Result.from_json(future.result())
            values = engines.objective_values(result, self.objectives)
            constraints = self._constraints(result)
        except (engines.WorkerLost, BrokenExecutor) as error:
            if lease.attempt < self.max_attempts:
                self.queue.append(lease)
                self._emit(lease, "retried", reason=str(error))
                return 0
            self._fail(lease, f"{error}, in each of {lease.attempt} attempts")
        except (EvaluationFailed, engines.EngineError) as error:
            self._fail(lease, str(error))
        except Exception as error:  # an evaluator may raise anything; the trial keeps what it said
            self._fail(lease, f"{type(error).__name__}: {error}")
        else:
            if not self._is_last(lease):
                return self._climb(lease, result, values, constraints)
            self._complete(lease, result, values, constraints)
        return 1

    def _budget(self, lease: Lease) -> tuple[int | None, int | None]:
        """What the evaluation under way is asked for: its budget, and where it stops before."""
        if self.fidelity is None:
            return self.budget, None
        budget = self.fidelity.budgets[lease.rung]
        if self.fidelity.restarted or self._is_last(lease):
            return budget, None
        return self.fidelity.budgets[-1], budget

    def _is_last(self, lease: Lease) -> bool:
        """Whether the budget under way is the largest."""
        return self.fidelity is None or lease.rung == len(self.fidelity.budgets) - 1

    def _climb(self, lease: Lease, result: Result, values: tuple[float, ...], constraints: Mapping[str, float]) -> int:
        """Compare a candidate at a smaller budget; 1 if its trial ends there, 0 if it goes on to the next."""
        assert self.fidelity is not None
        self._reach(lease, values[0])
        if self.fidelity.ends(self.study, lease.trial_id, lease.rung, values[0]):
            self._complete(lease, result, values, constraints, pruned=True)
            return 1
        # A training that goes on needs its weights, and counts all it has taken by itself.
        if self.fidelity.restarted:
            place = self._workplace(lease)
            for path in () if place is None else place.glob(WEIGHTS):
                path.unlink()
            seconds, cost, epochs = lease.spent
            budget = self.fidelity.budgets[lease.rung]
            lease.spent = seconds + result.seconds, cost + (result.cost or 0.0), epochs + budget
            lease.steps = lease.reached = 0
        lease.rung, lease.attempt = lease.rung + 1, 0
        self._set(lease, "attempts", 0)
        # In one, so that whoever takes it up counts what a budget has cost once.
        self._set(lease, "promoted", [self.fidelity.budgets[lease.rung], *lease.spent])
        self.queue.append(lease)
        self._emit(lease, "promoted", values=values, metrics=dict(result.metrics), seconds=result.seconds)
        return 0

    def _constraints(self, result: Result) -> dict[str, float]:
        """How far each bound is exceeded; 0 or less where it is met."""
        found = {}
        for side, sign, bounds in (("at most", 1.0, self.at_most), ("at least", -1.0, self.at_least)):
            for name, figure in zip(bounds, engines.objective_values(result, tuple(bounds)), strict=True):
                found[f"{name} {side} {bounds[name]:g}"] = sign * (figure - bounds[name])
        return found

    def _reach(self, lease: Lease, value: float) -> None:
        """Write what a trial has reached at its budget, for the pruner and for samplers."""
        assert self.fidelity is not None
        budget = self.fidelity.budgets[lease.rung]
        lease.values[str(budget)] = value
        self._set(lease, "budgets", lease.values)
        self.study._storage.set_trial_intermediate_value(lease.trial_id, budget, value)

    def _complete(
        self,
        lease: Lease,
        result: Result,
        values: tuple[float, ...],
        constraints: Mapping[str, float],
        *,
        pruned: bool = False,
    ) -> None:
        for name, exceeded in constraints.items():
            # What Trial.set_constraint does; a Trial object would ask the sampler again.
            self.study._storage.set_trial_system_attr(lease.trial_id, f"constraints:{name}", exceeded)
        self._set(lease, "metrics", dict(result.metrics))
        self._set(lease, "curve", {name: list(curve) for name, curve in result.curve.items()})
        self._set(lease, "seconds", lease.spent[0] + result.seconds)
        self._set(lease, "cost", None if result.cost is None else lease.spent[1] + result.cost)
        self._set(lease, "epochs", None if result.budget is None else lease.spent[2] + result.budget)
        self._set(lease, "seed", result.seed)
        # As it was asked for: a training by the clock is not one of the epochs that it came to.
        self._set(lease, "budget", self._budget(lease)[0])
        if result.predictions:
            # Relative, so that a search's folder can move.
            paths = {
                name: path if self.folder is None else os.path.relpath(path, self.folder)
                for name, path in result.predictions.items()
            }
            self._set(lease, "predictions", {name: str(path) for name, path in paths.items()})
        if self.fidelity is not None:
            if not pruned:  # what was reached at the budget of a pruned trial is written
                self._reach(lease, values[0])
        elif len(values) == 1:
            for step, value in enumerate(result.value_curve, start=1):
                self.study._storage.set_trial_intermediate_value(lease.trial_id, step, value)
        if pruned:
            self.study.tell(lease.number, state=TrialState.PRUNED)
        else:
            self.study.tell(lease.number, list(values))
        self.outcomes.append(True)
        self.weights.drop(self._place(lease))
        kept = all(exceeded <= 0 for exceeded in constraints.values())
        figures = {"values": values, "metrics": dict(result.metrics), "seconds": result.seconds}
        if pruned:
            assert self.fidelity is not None
            self._emit(lease, "pruned", feasible=kept, step=self.fidelity.budgets[lease.rung], **figures)
        else:
            self._emit(lease, "finished", feasible=kept, **figures)

    def _fail(self, lease: Lease, reason: str) -> None:
        self._set(lease, "reason", reason)
        seconds, cost, epochs = lease.spent
        place = self._workplace(lease)
        self._set(lease, "seconds", seconds + time.monotonic() - lease.started)
        # What the evaluation under way has cost is not known, but its steps are.
        self._set(lease, "cost", cost or None)
        self._set(lease, "epochs", epochs + (0 if place is None else len(engines.read_progress(place))))
        self._set(lease, "seed", self.seed)
        self._set(lease, "budget", self._budget(lease)[0])
        self.study.tell(lease.number, state=TrialState.FAIL)
        self.outcomes.append(False)
        self.weights.drop(self._place(lease))
        self._emit(lease, "failed", reason=reason, seconds=time.monotonic() - lease.started)

    def _discard(self, trial_id: int, number: int, reason: str) -> None:
        self.study._storage.set_trial_user_attr(trial_id, "graphnas:reason", reason)
        self.study.tell(number, state=TrialState.FAIL)

    def _check_failure_rate(self) -> None:
        failures = self.outcomes.count(False)
        if len(self.outcomes) >= 10 and failures > self.max_failure_rate * len(self.outcomes):
            last = next(
                trial.user_attrs["graphnas:reason"]
                for trial in reversed(finished(self.study))
                if "graphnas:reason" in trial.user_attrs
            )
            raise TooManyFailures(f"{failures} of {len(self.outcomes)} candidates failed, the last one: {last}")

    def _set(self, lease: Lease, name: str, value: Any) -> None:
        # A Trial object would ask the sampler again for a trial that an earlier coordinator left behind.
        self.study._storage.set_trial_user_attr(lease.trial_id, f"graphnas:{name}", value)

    def _place(self, lease: Lease) -> Path | None:
        return None if self.folder is None else self.folder / "trials" / str(lease.number)

    def _workplace(self, lease: Lease) -> Path | None:
        """Where the evaluation under way keeps its files; one that a larger budget does not go on from, apart."""
        place = self._place(lease)
        if place is None or self.fidelity is None or not self.fidelity.restarted or self._is_last(lease):
            return place
        return place / f"budget-{self.fidelity.budgets[lease.rung]}"

    def _watch(self) -> None:
        """Report the steps that candidates in other processes have written since the last look."""
        for lease in self.pending.values():
            place = self._workplace(lease)
            if self.executor is not None and place is not None:
                for step, metrics in engines.read_progress(place, after=lease.steps):
                    lease.steps += 1
                    self._progress(lease, step, metrics)

    def _progress(self, lease: Lease, step: int, metrics: Mapping[str, float]) -> None:
        self._emit(lease, "progress", step=step, metrics=metrics)

    def _emit(self, lease: Lease, kind: str, **details: Any) -> None:
        settings = lease.settings or {}
        self.on_event(Event(kind, lease.number, lease.architecture, lease.source, settings, **details))
