"""Several budgets: candidates that fall behind at a small one are never given the large one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner

from graphnas.budgets import geometric_budgets
from graphnas.studies.samplers import plain_value

if TYPE_CHECKING:
    from graphnas.evaluate.protocol import Evaluator

FIDELITIES = ("hyperband", "halving")
"""What ends candidates: Hyperband (Li et al. 2018), or its asynchronous successive halving alone (Li et al. 2020)."""


@dataclass(frozen=True)
class Fidelity:
    """The budgets at which candidates are compared, and what ends those that fall behind.

    Optuna's pruners decide: of the trials that have reached a budget, about one in `factor` goes on to the next.
    Hyperband divides the trials among brackets, the first of which begins at the smallest budget, the next at the
    second, and so on, since small budgets rank some candidates wrongly.

    Raises:
        ValueError: if the kind is unknown, there are fewer than two budgets, or a number is out of range.
    """

    kind: str
    """One of `FIDELITIES`."""
    budgets: tuple[int, ...]
    """Epochs, increasing."""
    factor: int = 3
    """One of so many trials goes on."""
    restarted: bool = False
    """Whether a larger budget is a new training with a schedule of its own, as in published tables; otherwise the
    training of the smaller one goes on, with the schedule of the largest from its first epoch."""

    def __post_init__(self) -> None:
        if self.kind not in FIDELITIES:
            raise ValueError(f"Expected fidelity to be one of {', '.join(FIDELITIES)}, but got {self.kind!r}")
        if len(self.budgets) < 2 or self.budgets[0] < 1 or list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError(f"Expected two or more increasing budgets from 1, but got {self.budgets!r}")
        if self.factor < 2:
            raise ValueError(f"Expected factor to be a whole number from 2, but got {self.factor!r}")

    @classmethod
    def of(cls, word: str, evaluator: Evaluator) -> Fidelity:
        """The fidelity of a word, with the budgets of an evaluator.

        A table has budgets of its own, and says whether each is a training of its own. For trainings they are `epochs`
        and what division by `factor` leaves of it, down to `least` (1).

        Example:
            >>> from graphnas.evaluate import TrainingEvaluator
            >>> from graphnas.spaces import Space
            >>> evaluator = TrainingEvaluator(Space.load("nasbench101"), epochs=27)
            >>> Fidelity.of("hyperband:least=3", evaluator).budgets
            (3, 9, 27)

        Args:
            word: One of `FIDELITIES`, then `:NAME=VALUE` for `least`, `factor` and `restarted`.
            evaluator: Has `epochs`, and if it is a table `budgets`.

        Raises:
            ValueError: if the word or a number in it is wrong, or the evaluator has fewer than two budgets.
        """
        kind, *parts = word.split(":")
        if kind not in FIDELITIES:
            raise ValueError(f"Expected fidelity to be one of {', '.join(FIDELITIES)}, but got {kind!r}")
        settings: dict[str, Any] = {"least": 1, "factor": 3, "restarted": False}
        known, epochs = getattr(evaluator, "budgets", None), getattr(evaluator, "epochs", None)
        for part in parts:
            name, _, text = part.partition("=")
            value = plain_value(text)
            if name not in settings or type(value) is not type(settings[name]):
                raise ValueError(f"Expected fidelity settings least=N, factor=N and restarted=true, but got {part!r}")
            if name == "restarted" and known is not None:
                raise ValueError(f"Expected no {part!r}: whether budgets are trainings of their own is the table's")
            settings[name] = value
        least, factor, restarted = settings["least"], settings["factor"], settings["restarted"]
        if least < 1 or factor < 2:
            raise ValueError(f"Expected least from 1 and factor from 2, but got {least} and {factor}")
        if known is not None:
            budgets = sorted(budget for budget in known if epochs is not None and least <= budget <= epochs)
            restarted = not getattr(evaluator, "continued", False)
        else:
            budgets = [] if epochs is None else geometric_budgets(epochs, factor=factor, least=least)
        if len(budgets) < 2:
            raise ValueError(
                f"Expected two or more budgets for fidelity {word!r}, but {evaluator.name} has {budgets or 'none'}"
            )
        return cls(kind, tuple(budgets), factor, restarted)

    def pruner(self, seed: int) -> BasePruner:
        """What decides, new; a study's samplers find it in `Study.pruner`.

        Args:
            seed: Says which trial belongs to which bracket of Hyperband.
        """
        if self.kind == "halving":
            return SuccessiveHalvingPruner(min_resource=1, reduction_factor=self.factor)
        # One bracket for each budget: the logarithm of the next power below would be rounded down.
        most = self.factor ** (len(self.budgets) - 1) + 1
        return _SeededBrackets(seed, min_resource=1, max_resource=most, reduction_factor=self.factor)

    def first(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> int:
        """Index of the budget at which a trial of a study with this fidelity's pruner begins."""
        pruner = study.pruner
        if not isinstance(pruner, HyperbandPruner):
            return 0
        # As Optuna's own samplers ask; there is no public way. A pruner that has decided nothing knows no brackets.
        if not pruner._pruners:
            pruner._try_initialization(study)
        return min(pruner._get_bracket_id(study, trial), len(self.budgets) - 1)

    def rung(self, budget: int) -> int:
        """Index of a budget, or of the next larger one that there is, or of the largest."""
        return next((rung for rung, one in enumerate(self.budgets) if one >= budget), len(self.budgets) - 1)

    def ends(self, study: optuna.Study, trial_id: int, rung: int, value: float) -> bool:
        """Whether a trial that has reached a value at the budget of an index falls behind.

        The study's pruner sees powers of `factor` in place of budgets, which need not be in its proportion.
        """
        trial = copy.copy(study._storage.get_trial(trial_id))
        trial.intermediate_values = {self.factor**rung: value}
        return bool(study.pruner.prune(study, trial))


class _SeededBrackets(HyperbandPruner):
    """Optuna's Hyperband, in which a trial's bracket is a function of a seed and its number.

    Optuna takes the study's name for the seed: searches of one name would all have the same brackets, and one that is
    repeated under another name would have others.
    """

    def __init__(self, seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._named = SimpleNamespace(study_name=f"seed {seed}")

    def _get_bracket_id(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> int:
        return super()._get_bracket_id(cast(optuna.Study, self._named), trial)
