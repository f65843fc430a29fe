"""# Search on your images

One folder for each class, with PNG or JPEG files in it, is a task. Every cell that the search proposes is trained on
it, and the best one ends as plain PyTorch source with weights.
"""

import os
from pathlib import Path

import numpy as np
import optuna
import torch
from PIL import Image
from sklearn.datasets import load_digits

from graphnas import studies
from graphnas.encoders import CellAutoencoder
from graphnas.evaluate import TrainingEvaluator
from graphnas.networks import export_source
from graphnas.search import LatentBOSampler
from graphnas.spaces import Space

torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
trials, epochs = (3, 1) if os.environ.get("SMOKE") else (20, 8)

# %%
# Some images to have any: the handwritten zeros, ones and twos of scikit-learn, as files. Yours may have any size and
# colours; they are then resized, as `folder:photos@64` says.

digits = load_digits()
for label in range(3):
    Path("photos", str(label)).mkdir(parents=True, exist_ok=True)
    for number in np.flatnonzero(digits.target == label)[:80]:
        Image.fromarray((digits.images[number] * 15).astype(np.uint8)).save(f"photos/{label}/{number}.png")

# %%
# The evaluator builds a cell's network at the space's proxy size, and trains it. What the search is told is accuracy on
# validation images; the test images stay untouched until the end.

space = Space.load("nasbench101")
evaluator = TrainingEvaluator(space, "folder:photos", epochs=epochs)
encoder = CellAutoencoder.from_pretrained("nasbench101")

# %%
# `studies.create` makes a folder that survives a crash: `studies.resume` goes on with it, and a trained candidate is
# never lost. To train several at a time, pass `executor=LocalProcesses(workers=2)`, or `RayTasks` for a cluster.

sampler = LatentBOSampler(space, encoder, n_startup_trials=min(10, trials), seed=0)
study = studies.create("my-search", space, evaluator, sampler, config={"sampler": {"kind": "latent-bo", "seed": 0}})
studies.run(
    study,
    space,
    evaluator,
    n_trials=trials,
    on_event=lambda event: event.kind == "finished" and print(f"trial {event.number}: {event.values[0]:.4f}"),
)

# %%
# The best cell is judged on the test images, once, and written as source that needs torch and safetensors alone.

(best,) = studies.best(study)
cell = studies.architecture(best)
tested = evaluator.test(cell, seed=best.user_attrs["graphnas:seed"], folder=f"my-search/trials/{best.number}")
print(f"validation {best.value:.4f}, test {tested.test_accuracy:.4f}")
print(export_source(tested.network, Path("my-network"), name="network", title="The best cell."))

# %%
# The same as one command, with a report to look at:
# `graphnas search nasbench101 --task folder:photos --trials 20 --epochs 8`.
