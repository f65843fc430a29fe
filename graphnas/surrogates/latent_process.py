"""Gaussian processes on latent means as members of a surrogate."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from botorch.models import SingleTaskGP
from optuna.trial import BaseTrial
from safetensors.torch import load_file, save_file

from graphnas.cell import CellArrays
from graphnas.encoders import CellAutoencoder, encoder_digest
from graphnas.predictors.encodings import Encoding, latent_encoding
from graphnas.predictors.gaussian_process import fit_gaussian_process, unfitted_gaussian_process
from graphnas.predictors.posterior import Posterior
from graphnas.predictors.protocol import FloatArray
from graphnas.spaces import Space
from graphnas.surrogates.ensemble import Ensemble


class LatentProcessEnsemble(Ensemble):
    """Exact processes, each of some of the architectures, in the metric of the latent search.

    Its encoder is the space's own if `settings` names no other; with the name goes the digest of the weights, without
    which points would mean something else.
    """

    kind, encodings = "latent-gp", ("latent",)
    defaults: ClassVar[dict[str, Any]] = {"points": 1_000}

    def __init__(self, space: Space, settings: dict[str, Any] | None = None) -> None:
        super().__init__(space, settings)
        encoder = self.settings.setdefault("encoder", space.pretrained)
        digest = encoder_digest(encoder)
        if self.settings.setdefault("weights", digest) != digest:
            raise ValueError(
                f"Expected the encoder {encoder!r} with the weights {self.settings['weights']}, but it has {digest}"
            )

    @classmethod
    def suggest(cls, trial: BaseTrial) -> dict[str, Any]:
        """How many architectures a process is of: priors leave nothing else to choose."""
        return {"points": trial.suggest_int("points", 200, 1_600, log=True)}

    @functools.cached_property
    def _encoding(self) -> Encoding:
        encoder = CellAutoencoder.from_pretrained(self.settings["encoder"], space=self.space)
        return latent_encoding(self.space, encoder)

    def _inputs(self, cells: CellArrays) -> torch.Tensor:
        return torch.from_numpy(self._encoding(cells))

    def _fit_member(self, x: torch.Tensor, y: FloatArray, seed: int) -> Posterior:
        rows = np.random.default_rng(seed).permutation(len(y))[: self.settings["points"]]
        # In the precision in which they are written.
        points, values = x[rows].float().double(), torch.from_numpy(y[rows]).float().double()[:, None]
        return Posterior(fit_gaussian_process(points, values))

    def _predict_member(self, member: Posterior, x: torch.Tensor) -> FloatArray:
        with torch.no_grad():
            found: FloatArray = member.mean(x).numpy()
        return found

    def _write_member(self, member: Posterior, folder: Path, number: int) -> Path:
        path, model = folder / f"member-{number}.safetensors", member.model
        assert isinstance(model, SingleTaskGP)
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        data = {"points": model.train_inputs[0].float(), "values": model.train_targets.float()}
        save_file(tensors | data, path)
        return path

    def _read_member(self, folder: Path, number: int) -> Posterior:
        path = folder / f"member-{number}.safetensors"
        try:
            tensors = load_file(path)
            points, values = (tensors.pop(name).double() for name in ("points", "values"))
            model = unfitted_gaussian_process(points, values[:, None])
            model.load_state_dict(tensors)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: expected a Gaussian process, but {error!r}") from None
        return Posterior(model)
