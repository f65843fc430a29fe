"""Optimizers by name, and their state as tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphnas.training.config import TrainingConfig

_RMSPROP_DECAY = 0.9
_RMSPROP_EPSILON = 1.0  # of NAS-Bench-101 (Ying et al. 2019, Table 2); TensorFlow adds it under the root


def make_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer of a module's parameters; normalisations and biases are decayed only if the settings say so."""
    weights = [one for one in module.parameters() if one.ndim > 1 or config.decay_all]
    others = [one for one in module.parameters() if one.ndim <= 1 and not config.decay_all]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.momentum, 0.999))
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            groups, lr=config.learning_rate, alpha=_RMSPROP_DECAY, eps=_RMSPROP_EPSILON, momentum=config.momentum
        )
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.nesterov)


def state_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by names, `KIND.PARAMETER`."""
    return {
        f"{kind}.{name}": value
        for name, parameter in module.named_parameters()
        for kind, value in optimizer.state[parameter].items()
        if isinstance(value, Tensor)
    }


def restore_state(module: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Inverse of `state_tensors`."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        parameter = parameters[name]
        # Counts of steps stay on the CPU, as the optimizers have them.
        optimizer.state[parameter][kind] = value if value.ndim == 0 else value.to(parameter.device)
