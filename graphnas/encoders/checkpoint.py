"""The checkpoint of a fit: one file, replaced at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FORMAT = 1  # of a checkpoint; raised when older ones could not be continued


class FitCheckpoint:
    """A fit in progress on disk: weights and optimiser state as safetensors, counters as JSON.

    Args:
        folder: Where it is kept; made if it is missing.
        about: What tells the fit from others, as JSON has it.
        objective: Gives and takes the weights.
        optimizer: Gives and takes its state.
    """

    def __init__(
        self, folder: Path, about: Mapping[str, Any], objective: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        # As JSON has it, where a tuple is a list.
        self.about = json.loads(json.dumps({"format": FORMAT, **about}))
        self.objective, self.optimizer = objective, optimizer
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "fit.safetensors"

    def exists(self) -> bool:
        """Whether there is a fit to go on with."""
        return self.path.is_file()

    def save(self, progress: Mapping[str, Any]) -> None:
        """Write weights, optimiser state and the given progress, as JSON has it."""
        tensors = {f"objective.{name}": tensor for name, tensor in self.objective.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in state.items()}
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        counters = json.dumps({"about": self.about, **progress})
        # One file, replaced at once: a kill leaves the previous checkpoint or the new one, never half of one.
        temporary = self.path.with_suffix(".tmp")
        save_file(tensors, temporary, metadata={"counters": counters})
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(self.path)

    def load(self) -> dict[str, Any]:
        """Put weights and optimiser state back, and return the progress.

        Raises:
            ValueError: if the file is damaged or belongs to another fit.
        """
        try:
            tensors = load_file(self.path)
            with safe_open(self.path, "pt") as handle:
                counters: dict[str, Any] = json.loads(handle.metadata()["counters"])
            about = counters["about"]
            known = {key: about.get(key) for key in self.about}
        except (SafetensorError, OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise self._damaged(error) from None
        for key, value in self.about.items():
            if known[key] != value:
                raise ValueError(
                    f"{self.path}: the checkpoint belongs to another fit: {key} was {known[key]!r:.80} and is "
                    f"{value!r:.80}; delete it to start again"
                )
        try:
            self.objective.load_state_dict(_below(tensors, "objective."))
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below(tensors, "optimizer.").items():
                number, key = name.split(".")
                state.setdefault(int(number), {})[key] = tensor
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        except (RuntimeError, ValueError, KeyError) as error:
            raise self._damaged(error) from None
        return counters

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self.path}: the checkpoint is damaged ({error}); delete it to start again")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
