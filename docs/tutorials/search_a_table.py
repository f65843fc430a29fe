"""# Search a table

`digits101` comes with graphnas: every cell of NAS-Bench-101's space with at most five vertices, 2,532 of them, trained
three times on handwritten digits. Looking a result up costs nothing, so that ways to search can be compared in seconds.
"""

import os

import numpy as np
import optuna
import torch

from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import TableEvaluator, open_table
from graphnas.report.terminal import architecture_text
from graphnas.search import LatentBOSampler, RandomCellSampler, RegularizedEvolutionSampler
from graphnas.spaces import Space

torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
trials, seeds = (15, 1) if os.environ.get("SMOKE") else (40, 5)

# %%
# A table is an evaluator, as a training is; `metric` chooses a column. Its own choice is the validation accuracy, the
# mean of three trainings, and losses are metrics too.

space = Space.load("digits101")
table = open_table("digits101")
evaluator = TableEvaluator(table)
accuracies = table.column(evaluator.query)
print(f"{len(table):,} cells, best {accuracies.max():.4f}, median {np.median(accuracies):.4f}")

# %%
# A search is an Optuna study whose sampler proposes cells. `space.suggest` says which cell a trial is about; the
# encoder is that of NAS-Bench-101, of whose space this one is a part.

encoder = CellAutoencoder.from_pretrained("nasbench101", space=space)


def search(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """A search of so many trials."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: evaluator.evaluate(space.suggest(trial)).value, n_trials=trials)
    return study


# %%
# What matters is how far the best cell is from the best of all, over several seeds.

for name, make in {
    "random": lambda seed: RandomCellSampler(space, seed=seed),
    "evolution": lambda seed: RegularizedEvolutionSampler(space, seed=seed),
    "latent-bo": lambda seed: LatentBOSampler(space, encoder, seed=seed),
}.items():
    studies = [search(make(seed)) for seed in range(seeds)]
    regret = [accuracies.max() - study.best_value for study in studies]
    print(f"{name}: regret {np.mean(regret):.4f} after {trials} trials, mean of {seeds} seeds")

# %%
# The best cell of the last search, and where it came from: the acquisition, an edit of a good cell, a random point.

best = studies[-1].best_trial
print(best.user_attrs["graphnas:source"], f"{best.value:.4f}")
print(architecture_text(space.suggest(optuna.trial.FixedTrial(best.params))))

# %%
# The command line does the same, and keeps a report, figures and the study in a folder:
# `graphnas search digits101 --objective table --trials 40 --workers 0`. Many methods with many seeds, paired tests and
# curves are `graphnas bench`.
