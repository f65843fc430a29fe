"""What regularises a training from outside the network: dropped operations, a second classifier, averaged weights.

The network itself stays what is exported.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphnas.networks.build import initialise
from graphnas.networks.skeleton import OPERATION


class DroppedPaths:
    """Drops the results of operations at random while a network trains, image by image (Zoph et al. 2018).

    Results that stay are scaled up by as much as is lost on average. Identities are never dropped.

    Args:
        network: The network, whose operations are watched from now on.
    """

    def __init__(self, network: nn.Module) -> None:
        # A tensor, of which a compiled network reads the value; a number would be compiled into it.
        self._keep = torch.ones(())
        self.generator: torch.Generator | None = None
        """On the network's device."""
        self._handles = [
            module.register_forward_hook(self._drop)
            for name, module in network.named_modules()
            if OPERATION.fullmatch(name) and not isinstance(module, nn.Identity)
        ]

    @property
    def probability(self) -> float:
        """Of dropping an operation's result."""
        return 1 - float(self._keep)

    @probability.setter
    def probability(self, value: float) -> None:
        self._keep.fill_(1 - value)

    def remove(self) -> None:
        """Leave the network as it was."""
        for handle in self._handles:
            handle.remove()

    def _drop(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        kept = torch.rand(len(output), 1, 1, 1, generator=self.generator, device=output.device) < self._keep
        return output * (kept / self._keep).to(output.dtype)


class AuxiliaryClassifier(nn.Module):
    """A second classifier, which reads the cell after two thirds of them (Liu et al. 2019, Sec. 3.2).

    ReLU, average over 5 x 5 pixels at steps of 3, 1 x 1 convolution to 128 channels, 2 x 2 convolution to 768, both
    normalised and with ReLU, dense layer. Windows shrink with images that are smaller.

    Args:
        network: A network whose `cells` follow each other.
        images: A standardised batch, by which the sizes are found.
        classes: Number of logits.
        generator: CPU source of the initial weights.

    Raises:
        ValueError: if the network has no such cells.
    """

    def __init__(self, network: nn.Module, images: Tensor, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        cells = getattr(network, "cells", None)
        if not isinstance(cells, nn.Sequential | nn.ModuleList):
            raise ValueError(f"Expected auxiliary to be 0 for a {type(network).__name__}, which has no chain of cells")
        self._seen: list[Tensor] = []
        self._handle = cells[2 * len(cells) // 3].register_forward_hook(self._keep)
        mode = network.training
        with torch.no_grad():
            network.eval()(images)
        network.train(mode)
        _, channels, height, width = self._seen[0].shape
        side = min(height, width)
        window = min(5, side)
        # Built on meta first: the modules' own initialisation would draw from the global random state.
        with torch.device("meta"):
            self.layers = nn.Sequential(
                nn.ReLU(),
                nn.AvgPool2d(window, stride=3, count_include_pad=False),
                nn.Conv2d(channels, 128, 1, bias=False),
                nn.BatchNorm2d(128),
                nn.ReLU(),
                nn.Conv2d(128, 768, min(2, (side - window) // 3 + 1), bias=False),
                nn.BatchNorm2d(768),
                nn.ReLU(),
            )
            self.classifier = nn.Linear(768, classes)
        self.to_empty(device="cpu")
        initialise(self, generator)
        self.to(images.device)

    def forward(self) -> Tensor:
        """`n x classes` logits of the batch that the network saw last."""
        logits: Tensor = self.classifier(self.layers(self._seen[0]).mean(dim=(2, 3)))
        return logits

    def remove(self) -> None:
        """Leave the network as it was."""
        self._handle.remove()

    def _keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._seen[:] = [output]


class AveragedWeights:
    """A moving average of a network's weights and of its normalisations' statistics.

    Args:
        network: Gives the first values.
        decay: Weight of the average so far; less at first, so that the first values are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Count the network's weights in."""
        self.steps += 1
        share = 1 - min(self.decay, self.steps / (10 + self.steps))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, share)
            else:
                self.values[name].copy_(value)
