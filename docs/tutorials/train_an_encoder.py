"""# Train an encoder

An encoder turns cells into points, a decoder turns points into cells. Neither needs an accuracy: what a graph says
about itself is enough to give the latent space its shape. This takes three minutes of CPU time; with `SMOKE=1` in the
environment it is a trial of some seconds.
"""

import os

import numpy as np
import torch

from graphnas.analysis import diagnose, training_split
from graphnas.encoders import CellAutoencoder, fit, quality
from graphnas.networks import log_costs
from graphnas.spaces import Space

torch.set_num_threads(1)  # more are slower on a machine that is busy
smoke = bool(os.environ.get("SMOKE"))

# %%
# All 15,625 cells of NAS-Bench-201 are listed, and a tenth of their classes is kept apart, to measure on. What is held
# out are classes: two cells that compute the same are never on both sides.

space = Space.load("nasbench201")
split = training_split(space, held_out=500)
print(f"{split.train.n:,} cells to fit to, {split.held_out.n:,} to measure on")

# %%
# `fit` changes the model in place. `targets` are further label-free figures that the latent has to tell, here the
# parameters and multiply-adds of each cell; `validation` is what the progress reports on.

model = CellAutoencoder.for_space(space, seed=0)
history = fit(
    model,
    split.train,
    validation=split.held_out,
    targets=log_costs(space, split.train),
    steps=60 if smoke else 2_000,
    progress=lambda row: print(f"step {row['step']:.0f}: {row['reconstruction_nats']:.2f} nats a cell"),
)

# %%
# Does every cell come back? Are random points different cells? And does the latent space follow what matters in a
# search? The last is put into words, and asks for no accuracy either, unless you have some to give.

measured = quality(model, split.held_out, train=split.train, prior_samples=500)
print({name: round(value, 3) for name, value in measured.items()})

found = diagnose(model, architectures=50)
for finding in found.findings:
    print(f"{finding.name}: {finding.value:.2f}, {finding.verdict}: {finding.words}")
print(found.words)

# %%
# A folder holds everything that is needed to load it again, here or elsewhere; weights are safetensors, settings TOML.
# `--encoder FOLDER` takes it on the command line.

model.save_pretrained("my-encoder")
again = CellAutoencoder.from_pretrained("my-encoder")
(cell,) = space.sample(1, np.random.default_rng(0))
mean, log_variance = again.encode([cell])
print(mean.shape, again.decode(mean) == [cell])
