"""Joint search of architectures and hyperparameters, and what few epochs say (Zela et al. 2018, arXiv 1807.06906).

What the paper claims and two cores can test, on NAS-Bench-101's space and 300 digits (`digits#300`), with learning
rate, weight decay, momentum, batch size, cutout and label smoothing (`sgd-small`):

- `budgets`: random candidates are trained for 1, 3, 9 and 27 epochs, each time on a schedule of its own. How do budgets
  rank them (Spearman's coefficient, all and best tenth), and what makes the difference after each (functional analysis
  of variance: hyperparameters, architecture, and their interaction)? Every seed draws other candidates.
- `search`: strategies at equal cost, all epochs of all trials counted. Joint: Hyperband with latent Bayesian
  optimisation, BOHB's densities, Optuna's TPE, and random proposals, and random search without Hyperband. One after the
  other, half of the epochs each: architecture first, with default hyperparameters, or hyperparameters first, with a
  random architecture. What a strategy ends with is trained anew with five other seeds and judged on the test images,
  since the best of many validation accuracies is luck too.

    python runs/zela2018_joint_digits.py budgets --seeds 5
    python runs/zela2018_joint_digits.py search --seeds 5

Rows that the result files hold are not measured again.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.samplers import BaseSampler
from records import Record
from rich.console import Console

from graphnas import studies
from graphnas.analysis.anytime import anytime
from graphnas.analysis.budget_correlation import budget_correlations
from graphnas.analysis.importance import ARCHITECTURE, importance
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import EvaluationFailed, TrainingEvaluator
from graphnas.spaces import HyperparameterSpace, Space
from graphnas.studies import Fidelity
from graphnas.training import TrainingConfig

TASK = "digits#300"
BUDGETS = (1, 3, 9, 27)
CANDIDATES = 100
EPOCHS = 810  # of one search: thirty trainings of 27
PLACES = (270, 540, 810)
JUDGED = range(100, 105)  # seeds of the final trainings
FIDELITY = Fidelity("hyperband", BUDGETS)
PAIRS = tuple(itertools.combinations(BUDGETS, 2))


def budgets(space: Space, sgd: HyperparameterSpace, seeds: int, out: Path) -> None:
    """What each budget says of the others, and what matters after each."""
    record = Record(
        out,
        name="zela2018_budgets",
        figure=f"{CANDIDATES} random joint candidates on 300 digits: rank correlation of budgets, and importance",
        settings={"task": TASK, "candidates": CANDIDATES, "budgets": list(BUDGETS)},
        columns={
            **{f"all_{small}_{large}": f"Spearman, {small} with {large} epochs" for small, large in PAIRS},
            **{f"top_{small}_{large}": f"{small} with {large} epochs, best tenth at {large}" for small, large in PAIRS},
            **{
                f"{name}_{budget}": f"share of {title}, {budget} epochs"
                for budget in BUDGETS
                for name, title in (
                    ("architecture", "the architecture"),
                    ("learning_rate", "the learning rate"),
                    ("batch_size", "the batch size"),
                    ("momentum", "the momentum"),
                    ("weight_decay", "the weight decay"),
                    ("interaction", "architecture x hyperparameters"),
                    ("explained", "what the forest explains"),
                )
            },
            "failed": "trainings that failed",
        },
        rows={"random": "uniform settings and random cells; validation loss, negated"},
    )
    for seed in range(record.seeds("random"), seeds):
        clock, rng = time.process_time(), np.random.default_rng(seed)
        cells, settings = space.sample(CANDIDATES, rng), sgd.sample(CANDIDATES, rng)
        evaluator, failed = TrainingEvaluator(space, TASK), 0
        values = {budget: np.full(CANDIDATES, -np.inf) for budget in BUDGETS}
        for (row, cell), budget in itertools.product(enumerate(cells), BUDGETS):
            try:
                found = evaluator.evaluate(cell, budget=budget, seed=seed, hyperparameters=settings[row])
                values[budget][row] = -found.metrics["validation_loss"]
            except EvaluationFailed:
                failed += 1
        measured: dict[str, float] = {"failed": failed}
        for one in budget_correlations(values, seed=seed):
            measured |= {f"all_{one.small}_{one.large}": one.all.rho, f"top_{one.small}_{one.large}": one.top.rho}
        for budget in BUDGETS:
            # Diverged losses would be all that there is to explain: ranks are analysed.
            ranks = values[budget].argsort().argsort().astype(float)
            shares = importance(space, cells, ranks.tolist(), hyperparameters=sgd, settings=settings, seed=seed)
            main = {effect.factors[0]: effect.share for effect in shares.main}
            crossed = [effect.share for effect in shares.pairs if effect.factors[1] == ARCHITECTURE]
            names = (ARCHITECTURE, "learning_rate", "batch_size", "momentum", "weight_decay")
            measured |= {f"{name}_{budget}": main[name] for name in names}
            measured |= {f"interaction_{budget}": sum(crossed), f"explained_{budget}": shares.explained}
        record.add("random", {k: v for k, v in measured.items() if not math.isnan(v)}, time.process_time() - clock)
    record.show()


class Strategy:
    """A search of one seed, in one or two parts.

    Args:
        space: Space of the cells.
        sgd: Space of the settings.
        encoder: For samplers that need one.
        seed: Of proposals, trainings and the random cell.
    """

    def __init__(self, space: Space, sgd: HyperparameterSpace, encoder: CellAutoencoder, seed: int) -> None:
        self.space, self.sgd, self.encoder, self.seed = space, sgd, encoder, seed
        self.spent: list[float] = []
        self.best: list[float] = []

    def run(
        self,
        sampler: str,
        epochs: float,
        *,
        hyperband: bool = True,
        joint: bool = True,
        candidates: list[Architecture] | None = None,
        config: TrainingConfig | None = None,
    ) -> tuple[Architecture, dict[str, Any]]:
        """Search until so many epochs are spent; the best cell and its settings."""
        make: Callable[..., BaseSampler] = functools.partial(studies.make_sampler, sampler, self.space, seed=self.seed)
        study = optuna.create_study(
            direction="maximize",
            sampler=make(encoder=self.encoder, candidates=candidates, hyperparameters=self.sgd if joint else None),
        )
        evaluator = TrainingEvaluator(self.space, TASK, epochs=BUDGETS[-1], config=config)
        trials, cost = 0, 0.0
        while cost < epochs:
            trials += 1
            studies.run(
                study,
                self.space,
                evaluator,
                n_trials=trials,
                fidelity=FIDELITY if hyperband else None,
                hyperparameters=self.sgd if joint else None,
                seed=self.seed,
                max_failure_rate=1.0,
            )
            curve = anytime(study)
            cost = float(curve.cost[-1])
        before = self.spent[-1] if self.spent else 0.0
        self.spent += (before + curve.cost).tolist()
        self.best += curve.best.tolist()
        best = studies.best(study)[0]
        return studies.architecture(best), studies.hyperparameters(best)

    def at(self, epochs: float) -> float:
        """Best validation accuracy after so many epochs; of the second part, once it has found any."""
        known = [best for spent, best in zip(self.spent, self.best, strict=True) if spent <= epochs]
        return max((best for best in known if not math.isnan(best)), default=math.nan)


Ended = tuple[Architecture, dict[str, Any]]
"""The best cell and its settings."""


def joint(sampler: str, *, hyperband: bool = True) -> Callable[[Strategy], Ended]:
    """Both at once."""
    return lambda strategy: strategy.run(sampler, EPOCHS, hyperband=hyperband)


def architecture_first(strategy: Strategy) -> Ended:
    """The cell with default settings, then the settings of the best cell."""
    cell, _ = strategy.run("latent-bo", EPOCHS / 2, joint=False)
    return strategy.run("latent-joint", EPOCHS - strategy.spent[-1], candidates=[cell])


def hyperparameters_first(strategy: Strategy) -> Ended:
    """The settings of a random cell, then the cell with the best of these."""
    cells = strategy.space.sample(1, np.random.default_rng((strategy.seed, 1)))
    _, settings = strategy.run("latent-joint", EPOCHS / 2, candidates=cells)
    config = replace(TrainingConfig(), **settings)
    cell, _ = strategy.run("latent-bo", EPOCHS - strategy.spent[-1], joint=False, config=config)
    return cell, settings


STRATEGIES: Mapping[str, tuple[str, Callable[[Strategy], Ended]]] = {
    "latent-joint": ("joint: latent Bayesian optimisation, Hyperband", joint("latent-joint")),
    "bohb": ("joint: BOHB's densities, Hyperband", joint("bohb")),
    "tpe": ("joint: Optuna's TPE, Hyperband", joint("tpe")),
    "random": ("joint: random proposals, Hyperband", joint("random")),
    "random, 27 epochs": ("joint: random proposals, all trained for 27 epochs", joint("random", hyperband=False)),
    "architecture first": ("the architecture by latent Bayesian optimisation, then the settings", architecture_first),
    "settings first": ("the settings of a random architecture, then the architecture", hyperparameters_first),
}


def search(space: Space, sgd: HyperparameterSpace, seeds: int, rows: list[str], out: Path) -> None:
    """Strategies at equal cost."""
    record = Record(
        out,
        name="zela2018_search",
        figure=f"Joint and sequential search on 300 digits, {EPOCHS} epochs in all: accuracies",
        settings={"task": TASK, "epochs": EPOCHS, "budgets": list(BUDGETS)},
        columns={f"best_{place}": f"validation, best after {place} epochs" for place in PLACES}
        | {"test": "test, trained anew with five seeds", "below": "test, below latent-joint"},
        rows={name: about for name, (about, _) in STRATEGIES.items()},
    )
    encoder, screen = CellAutoencoder.from_pretrained("nasbench101"), Console(stderr=True)
    for name in dict.fromkeys(("latent-joint", *rows)):  # others are compared with its seeds
        for seed in range(record.seeds(name), seeds):
            clock, strategy = time.process_time(), Strategy(space, sgd, encoder, seed)
            cell, settings = STRATEGIES[name][1](strategy)
            evaluator = TrainingEvaluator(space, TASK, epochs=BUDGETS[-1])
            judged = [evaluator.test(cell, seed=other, hyperparameters=settings).test_accuracy for other in JUDGED]
            found = {f"best_{place}": strategy.at(place) for place in PLACES} | {"test": float(np.mean(judged))}
            if name != "latent-joint":
                first = record.content["rows"]["latent-joint"]["results"]["test"]["by_seed"][seed]
                found["below"] = first - found["test"]
            record.add(name, {k: v for k, v in found.items() if not math.isnan(v)}, time.process_time() - clock)
            screen.print(f"{name}, seed {seed}: test {found['test']:.4f}")
    record.show()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("budgets", "search"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), metavar="NAME")
    parser.add_argument("--out", type=Path, help="runs/results/zela2018_PART.json if not given")
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, sgd = Space.load("nasbench101"), HyperparameterSpace.load("sgd-small")
    out = args.out or Path(f"runs/results/zela2018_{args.part}.json")
    if args.part == "budgets":
        budgets(space, sgd, args.seeds, out)
    else:
        search(space, sgd, args.seeds, args.rows, out)


if __name__ == "__main__":
    main()
