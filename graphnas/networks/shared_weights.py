"""Networks of a space on the same weights, as one-shot methods train them (Pham et al. 2018, Sec. 2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from graphnas.cell import Architecture
from graphnas.networks.build import Network, build_network, initialise
from graphnas.networks.skeleton import OPERATION, NetworkSpace


class SharedWeights:
    """Weights that all architectures of a space have in common: layers of one place and one form are the same.

    The place is that in the skeleton and, in a cell without dead vertices, the number of the vertex; the form is the
    operation with its channels. Weights are drawn when an architecture first needs them. Normalisations use the
    statistics of the batch, in training and after it, since those of one path are no other's.

    Args:
        space: Gives the operations and the skeleton.
        sizes: Sizes of the skeleton by name, in place of the space's published ones.
        classes: Number of logits.
        in_channels: Channels of the images.
        generator: CPU source of the initial weights; the global one if None.
    """

    def __init__(
        self,
        space: NetworkSpace,
        *,
        sizes: Mapping[str, int] | None = None,
        classes: int = 10,
        in_channels: int = 3,
        generator: torch.Generator | None = None,
    ) -> None:
        self.space, self.sizes = space, dict(sizes or {})
        self.classes, self.in_channels, self.generator = classes, in_channels, generator
        self._parameters: dict[str, nn.Parameter] = {}

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All weights that some architecture has needed so far, in the order in which they were drawn."""
        return list(self._parameters.values())

    def network(self, architecture: Architecture) -> Network:
        """The network of an architecture, which holds the shared weights themselves: to train it is to train them.

        Raises:
            ValueError: as `build_network`.
        """
        network = build_network(
            architecture,
            self.space,
            sizes=self.sizes,
            classes=self.classes,
            in_channels=self.in_channels,
            device="meta",
        )
        for place, layer in _layers(network):
            if isinstance(layer, nn.BatchNorm2d):
                layer.track_running_stats = False
                layer.running_mean = layer.running_var = layer.num_batches_tracked = None
            names = [name for name, _ in layer.named_parameters(recurse=False)]
            if any(f"{place} {name}" not in self._parameters for name in names):
                layer.to_empty(device="cpu")
                initialise(layer, self.generator)
                self._parameters |= {f"{place} {name}": layer.get_parameter(name) for name in names}
            for name in names:
                layer.register_parameter(name, self._parameters[f"{place} {name}"])
        return network


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules with weights of their own, and for each a text that says where it is and what it is part of."""
    operation, form = "", ""
    for name, module in network.named_modules():
        if not (operation and name.startswith(f"{operation}.")):
            operation, form = (name, repr(module)) if OPERATION.fullmatch(name) else ("", "")
        if next(module.parameters(recurse=False), None) is not None:
            yield f"{name} {form or module!r}", module
