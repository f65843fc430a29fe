"""Zero-cost proxies: what a network says of its performance before any training."""

from graphnas.proxies.agreement import jacobian_covariance, nwot
from graphnas.proxies.saliency import fisher, grad_norm, grasp, snip, synflow
from graphnas.proxies.scores import PROXIES, Proxy, proxy_scores
from graphnas.proxies.zico import zico

__all__ = [
    "PROXIES",
    "Proxy",
    "fisher",
    "grad_norm",
    "grasp",
    "jacobian_covariance",
    "nwot",
    "proxy_scores",
    "snip",
    "synflow",
    "zico",
]
