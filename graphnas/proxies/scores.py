"""The measures by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from graphnas.networks import count_macs, count_parameters
from graphnas.proxies.agreement import jacobian_covariance, nwot
from graphnas.proxies.saliency import fisher, grad_norm, grasp, snip, synflow
from graphnas.proxies.zico import zico

Proxy = Callable[[nn.Module, Tensor, Tensor], float]
"""From an untrained network, `b` standardised images and their classes to a score, larger is better."""

PROXIES: Mapping[str, Proxy] = {
    "fisher": fisher,
    "grad-norm": grad_norm,
    "grasp": grasp,
    "jacov": lambda network, images, labels: jacobian_covariance(network, images),
    "snip": snip,
    "synflow": lambda network, images, labels: synflow(network, images),
    "nwot": lambda network, images, labels: nwot(network, images),
    "zico": zico,
    "parameters": lambda network, images, labels: float(count_parameters(network)),
    "macs": lambda network, images, labels: float(count_macs(network, (images.shape[1], *images.shape[2:]))),
}
"""The first six are those of White et al. 2021; the last two are what a network costs."""


def proxy_scores(
    network: nn.Module, images: Tensor, labels: Tensor, names: Sequence[str] = tuple(PROXIES)
) -> dict[str, float]:
    """Scores of an untrained network, which stays as it is.

    Args:
        network: Maps `b x channels x height x width` images to `b x classes` logits.
        images: `b` standardised images.
        labels: `b` class numbers.
        names: Of `PROXIES`.

    Returns:
        By name; not finite where a measure is not defined for this network.

    Raises:
        ValueError: if a name is unknown, naming those that are not.
    """
    unknown = [name for name in names if name not in PROXIES]
    if unknown:
        raise ValueError(f"Expected proxies out of {', '.join(PROXIES)}, but got {unknown[0]!r}")
    return {name: PROXIES[name](network, images, labels) for name in names}
