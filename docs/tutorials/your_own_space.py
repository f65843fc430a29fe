"""# Your own space, your own evaluator

A space is one TOML file; an evaluator is anything with a name and a method `evaluate`. Everything else (canonical form,
encoder, decoder, samplers, studies) follows from the two.
"""

import os
import time
from pathlib import Path

import numpy as np
import optuna
import torch

from graphnas import studies
from graphnas.analysis import training_split
from graphnas.encoders import CellAutoencoder, fit
from graphnas.evaluate import EvaluationFailed
from graphnas.evaluate.protocol import Result
from graphnas.networks import build_network, count_macs, count_parameters
from graphnas.search import LatentBOSampler
from graphnas.spaces import Space

torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
smoke = bool(os.environ.get("SMOKE"))

# %%
# Cells of up to three cheap operations. `[topology]` says which graphs are legal, `[operations]` what vertices compute,
# `[network]` how cells become a network.

Path("light.toml").write_text(
    """
name = "light"
cells = ["cell"]

[topology]
kind = "dag"
max_vertices = 5
max_edges = 8

[operations]
separable3 = { module = "separable_conv", kernel = 3 }
separable5 = { module = "separable_conv", kernel = 5 }
dilated3 = { module = "dil_conv", kernel = 3, dilation = 2 }
pool = { module = "max_pool", kernel = 3 }

[network]
skeleton = "stacked"
stacks = 2
cells_per_stack = 1
channels = 16
"""
)
space = Space.load("light.toml")
print(f"{space.enumerate_arrays().n:,} different cells")

# %%
# The evaluator measures what you care about. This one wants many paths for few multiply-adds, and refuses what is too
# large; a candidate that fails, whatever the reason, is a failed trial, and the search goes on.


class Paths:
    """Logarithm of the number of paths from input to output, less what they cost."""

    name = "paths"

    def evaluate(self, architecture, *, seed=0, **settings):
        """The figure of one cell; budgets and hyperparameters mean nothing here."""
        began = time.perf_counter()
        network = build_network(architecture, space, in_channels=3, generator=torch.Generator().manual_seed(seed))
        macs = count_macs(network, (3, 32, 32))
        if macs > 20e6:
            raise EvaluationFailed(f"{macs:,} multiply-adds are too many")
        (cell,) = architecture.cells
        paths = np.linalg.matrix_power(np.eye(cell.size) + cell.adjacency, cell.size)[0, -1]
        return Result(
            float(np.log(paths) - macs / 10e6),
            metrics={"macs": float(macs), "parameters": float(count_parameters(network))},
            seconds=time.perf_counter() - began,
            seed=seed,
            evaluator=self.name,
        )


# %%
# An encoder of the space, from its cells alone; eight CPU minutes give one as good as those that come along.

split = training_split(space, held_out=200)
model = CellAutoencoder.for_space(space, latent_dim=24)
fit(model, split.train, steps=60 if smoke else 3_000)

# %%
# And the search, as of any other space.

sampler = LatentBOSampler(space, model, n_startup_trials=5, seed=0)
study = optuna.create_study(direction="maximize", sampler=sampler)
studies.run(study, space, Paths(), n_trials=10 if smoke else 60)
(best,) = studies.best(study)
print(f"{best.value:.3f}, {best.user_attrs['graphnas:metrics']}, from: {best.user_attrs['graphnas:source']}")
print(studies.architecture(best).cells[0].ops)
