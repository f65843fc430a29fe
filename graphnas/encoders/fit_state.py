"""How a fit goes: how far it is, which cells a step takes, its step size, and what the steps came to."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from graphnas.encoders.checkpoint import FitCheckpoint
from graphnas.encoders.objective import TERMS, Recipe

_SAVE_EVERY = 60.0  # seconds between two checkpoints at most
_SAVE_STEPS = 200  # steps likewise
_EXAMINE_EVERY = 1_000  # steps between two looks at what the model keeps of cells that it does not learn from


class FitState:
    """How far a fit is: steps made and seconds spent, over all of its processes' lives."""

    def __init__(self, steps: int, seconds: float, device: torch.device) -> None:
        self.step, self.steps, self.seconds = 0, steps, seconds
        self.clock = time.process_time if device.type == "cpu" else time.perf_counter
        self._start, self._before = self.clock(), 0.0

    def done(self) -> float:
        """Share of the steps or of the time that is used up, whichever is more."""
        return max(self.step / self.steps, self._spent() / self.seconds)

    def _spent(self) -> float:
        return self._before + self.clock() - self._start

    def state_dict(self) -> dict[str, Any]:
        """Steps and seconds."""
        return {"step": self.step, "spent": self._spent()}

    def load_state_dict(self, found: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.step, self._before, self._start = int(found["step"]), float(found["spent"]), self.clock()


class Batches:
    """Which cells a step takes: those of an epoch in an order that depends on seed and epoch alone."""

    def __init__(self, n: int, size: int, seed: int) -> None:
        self.n, self.size, self.seed = n, size, seed
        self.per_epoch = n // size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def rows(self, step: int) -> Tensor:
        """Rows of the cells."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.from_numpy(np.random.default_rng((self.seed, epoch)).permutation(self.n))
        return self._order[place * self.size : (place + 1) * self.size]


class StepSize:
    """The optimiser's step size, by the recipe's schedule."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, per_epoch: int) -> None:
        self.optimizer, self.recipe, self.per_epoch = optimizer, recipe, per_epoch
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=10)
        self._epoch_loss = 0.0

    def before_step(self, done: float) -> None:
        """Set the step size at this share of the run."""
        if self.recipe.schedule == "one_cycle":
            self._set([self.recipe.learning_rate * _one_cycle(done)] * len(self.optimizer.param_groups))

    def after_step(self, step: int, loss: Tensor, agreed: Callable[[float], float]) -> None:
        """Learn of a step's loss; `agreed` makes the loss of an epoch the same in all processes."""
        if self.recipe.schedule != "plateau":
            return
        self._epoch_loss += float(loss)
        if step % self.per_epoch == 0:
            self._plateau.step(agreed(self._epoch_loss / self.per_epoch))
            self._epoch_loss = 0.0

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """The schedule's memory."""
        return {"plateau": self._plateau.state_dict(), "epoch_loss": self._epoch_loss}

    def load_state_dict(self, found: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._plateau.load_state_dict(found["plateau"])
        self._epoch_loss = float(found["epoch_loss"])
        self._set([float(rate) for rate in self._plateau.get_last_lr()])


class Log:
    """What the steps came to, row by row."""

    def __init__(self, state: FitState, batch_size: int, device: torch.device) -> None:
        self.state, self.batch_size, self.device = state, batch_size, device
        self.history: list[dict[str, float]] = []
        self.begin()

    def begin(self) -> None:
        """Begin the next row now."""
        self._sums = torch.zeros(len(TERMS), device=self.device)
        self._since, self._clock = self.state.step, self.state.clock()

    @property
    def waiting(self) -> bool:
        """Whether there are steps that no row tells of."""
        return self.state.step > self._since

    def add(self, terms: Tensor) -> None:
        """The `TERMS` of a step."""
        self._sums += terms

    def row(self) -> dict[str, float]:
        """Add a row to the history, of the steps since `begin`, and return it."""
        state, steps = self.state, self.state.step - self._since
        values = (self._sums / steps).tolist()
        if not math.isfinite(values[0]):
            raise FloatingPointError(f"The loss became {values[0]} before step {state.step}; try a lower learning rate")
        row = dict(zip(TERMS, values, strict=True)) | {"step": state.step, "steps": state.steps, "done": state.done()}
        row["cells_per_second"] = steps * self.batch_size / max(state.clock() - self._clock, 1e-9)
        self.history.append(row)
        return row

    def state_dict(self) -> dict[str, Any]:
        """The history."""
        return {"history": self.history}

    def load_state_dict(self, found: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.history = list(found["history"])
        self.begin()


class Keeper:
    """Sees to what a fit tells and saves on its way.

    Args:
        state: How far it is.
        rate: Its step size.
        log: What its steps came to.
        store: Where it is saved; nowhere if None. What is found there is gone on from.
        report_every: Steps between two rows.
        progress: Called with each row.
        examine: Adds to a row, every thousand steps, what the model keeps of other cells.
        first: Whether this process is the one, of several, that tells and saves.
    """

    def __init__(
        self,
        state: FitState,
        rate: StepSize,
        log: Log,
        *,
        store: FitCheckpoint | None,
        report_every: int,
        progress: Callable[[Mapping[str, float]], None] | None,
        examine: Callable[[dict[str, float]], None],
        first: bool = True,
    ) -> None:
        self.state, self.log, self.first = state, log, first
        self.report_every, self.progress, self.examine = report_every, progress, examine
        self.store, self._parts, self._saved = store, (state, rate, log), time.monotonic()
        if store is not None and store.exists():
            found = store.load()
            for part in self._parts:
                part.load_state_dict(found)

    def after_step(self, terms: Tensor) -> None:
        """Count a step, with its `TERMS`."""
        self.state.step += 1
        self.log.add(terms)

    def tell_and_save(self) -> None:
        """Report and save if it is time to."""
        step = self.state.step
        if step % self.report_every == 0:
            self._report()
        if step % _SAVE_STEPS == 0 or time.monotonic() > self._saved + _SAVE_EVERY:
            self._save()

    def end(self) -> None:
        """Report what is left, and save."""
        if self.log.waiting:
            self._report()
        self._save()

    def _report(self) -> None:
        row = self.log.row()
        if self.first and self.state.step % _EXAMINE_EVERY == 0:
            self.examine(row)
        self.log.begin()
        if self.first and self.progress is not None:
            self.progress(row)

    def _save(self) -> None:
        if self.first and self.store is not None:
            self.store.save({key: value for part in self._parts for key, value in part.state_dict().items()})
            self._saved = time.monotonic()


def check_budget(steps: int, report_every: int, minutes: float | None) -> None:
    """Refuse a fit that has no steps to make, or nothing to tell them by.

    Raises:
        ValueError: naming what is not positive.
    """
    if steps < 1 or report_every < 1 or (minutes is not None and not minutes > 0):
        raise ValueError(
            f"Expected steps, report_every and minutes to be positive, but got {steps}, {report_every} and {minutes}"
        )


def digest_of(*tensors: Tensor) -> str:
    """16 hex digits of the tensors' bytes."""
    data = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        data.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return data.hexdigest()


def agreed(value: float, device: torch.device, world: int) -> float:
    """The value of the first process in all of them."""
    if world == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(shared, 0)
    return shared.item()


def _one_cycle(done: float) -> float:
    """Linear warm-up over a tenth of the run, then a cosine to zero."""
    return done / 0.1 + 0.01 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))
