"""Whether a search in a latent space can be expected to pay, before anything is spent on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from gpytorch.likelihoods import GaussianLikelihood
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import norm, spearmanr

from graphnas.analysis.latent_smoothness import latent_smoothness
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.legality import legal_hashes
from graphnas.encoders.quality import quality
from graphnas.predictors.gaussian_process import fit_gaussian_process, normal_scores
from graphnas.predictors.metric import MetricEncoder
from graphnas.predictors.posterior import Posterior
from graphnas.spaces.edit_distance import has_cell_distance

FloatArray = NDArray[np.float64]
Values = Callable[[Sequence[Architecture]], Sequence[float]]
"""From `n` architectures to `n` values, larger is better; NaN where there is none."""

_PAIRS = 2_000  # random pairs, and walks
_POINTS = 1_000  # drawn from the prior
_FOLDS = 5
_LEVEL = 0.9  # of the intervals that should hold so many of the values

GOOD, FAIR, POOR = "good", "fair", "poor"


@dataclass(frozen=True)
class Finding:
    """One measure and what it means for a search."""

    name: str
    value: float
    verdict: str
    """`good`, `fair` or `poor`."""
    words: str
    """What follows from it."""


@dataclass(frozen=True)
class Trust:
    """What the diagnosis of a latent space has found."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The worst of the findings."""
        ranked = [finding.verdict for finding in self.findings]
        return next((word for word in (POOR, FAIR) if word in ranked), GOOD)

    @property
    def words(self) -> str:
        """The verdict as advice."""
        if self.verdict == GOOD:
            return "A latent search can be expected to pay."
        doubts = ", ".join(finding.name for finding in self.findings if finding.verdict == self.verdict)
        if self.verdict == FAIR:
            return f"A latent search should pay, with reservations: {doubts}."
        return (
            f"A latent search may do no better than one without a latent space ({doubts}): train the encoder for "
            "longer, or search with --sampler evolution."
        )


# For each measure the least value that is good, and that is fair; and what to say of either.
_RULES: dict[str, tuple[float, float, tuple[str, str, str]]] = {
    "reconstruction": (
        0.95,
        0.8,
        (
            "the decoder returns the architectures that were encoded",
            "some architectures come back as others, which are judged in their place",
            "many architectures cannot be proposed, since the decoder returns others",
        ),
    ),
    "active dimensions": (
        0.5,
        0.15,
        (
            "most dimensions say something of an architecture",
            "many dimensions are idle",
            "hardly any dimension says anything of an architecture",
        ),
    ),
    "distinct decodings": (
        0.3,
        0.05,
        (
            "random points decode to many different architectures",
            "random points often decode to the same architectures",
            "large parts of the space are dead: they decode to few architectures",
        ),
    ),
    "round trip": (
        0.8,
        0.5,
        (
            "what a random point decodes to is encoded so that it decodes to itself",
            "some points decode to architectures that lie elsewhere, where the model was not asked",
            "most points decode to architectures that lie elsewhere: a maximum of the model is no architecture's",
        ),
    ),
    "smoothness": (
        0.6,
        0.3,
        (
            "what differs by few edits lies close together",
            "closeness says something of how many edits lie between two architectures",
            "closeness says little of how many edits lie between two architectures",
        ),
    ),
    "value and distance": (
        0.15,
        0.05,
        (
            "what lies close together is about equally good",
            "what lies close together is somewhat more alike in value than what does not",
            "what lies close together is no more alike in value than what does not",
        ),
    ),
    "prediction": (
        0.5,
        0.25,
        (
            "a model of the values tried here ranks others well",
            "a model of the values tried here ranks others a little",
            "a model of the values tried here does not rank others",
        ),
    ),
    "calibration": (
        0.8,
        0.6,
        (
            "the model's uncertainty is about what its errors are",
            "the model is somewhat surer than it should be",
            "the model is far surer than it should be",
        ),
    ),
}


def diagnose(model: CellAutoencoder, *, values: Values | None = None, architectures: int = 200, seed: int = 0) -> Trust:
    """Look into a latent space, with the values of some random architectures or without any.

    Without values: `reconstruction` of random architectures; the share of `active dimensions`; of points of the prior
    the share of `distinct decodings`, and that whose decoding decodes to itself (`round trip`); `smoothness`, the rank
    correlation of latent and edit distance over random pairs and ends of short walks (cells that are not too large).
    With values, in the coordinates that the latent search goes by: the correlation of `value and distance` (of how much
    two architectures differ in rank with how far apart they are), how well a Gaussian process ranks those left out in
    turn (`prediction`, Spearman), and the share of these that its intervals of 90 % hold (`calibration`).

    Args:
        model: A fitted autoencoder.
        values: Judges architectures, such as `values_by` of an evaluator; None for what needs none.
        architectures: Number of random architectures, 20 or more.
        seed: Of everything random.

    Raises:
        ValueError: if there are too few architectures, or fewer than ten different values.
    """
    if architectures < 20:
        raise ValueError(f"Expected at least 20 architectures, but got {architectures}")
    space, rng = model.space, np.random.default_rng(seed)
    drawn = space.sample(architectures, rng)
    measured = quality(model, drawn, train=drawn, seed=seed, prior_samples=_POINTS)
    found = {
        "reconstruction": measured["reconstruction"],
        "active dimensions": measured["active_units"] / model.latent_dim,
        "distinct decodings": measured["uniqueness"],
        "round trip": _round_trip(model, seed),
    }
    if has_cell_distance(space.topology):
        cells = space.to_arrays(drawn)
        found["smoothness"] = latent_smoothness(model, cells, seed=seed, pairs=_PAIRS)["pooled"]
    if values is not None:
        found |= _of_values(model, drawn, np.asarray(values(drawn), dtype=np.float64), rng)
    return Trust(tuple(_finding(name, value) for name, value in found.items()))


def _finding(name: str, value: float) -> Finding:
    good, fair, words = _RULES[name]
    place = 0 if value >= good else 1 if value >= fair else 2
    return Finding(name, value, (GOOD, FAIR, POOR)[place], words[place])


def _round_trip(model: CellAutoencoder, seed: int) -> float:
    points = torch.randn(_POINTS, model.latent_dim, generator=torch.Generator().manual_seed(seed)).to(model.device)
    first = model.decode_arrays(points)
    hashes = legal_hashes(model.space, first)
    legal = np.flatnonzero(hashes != "")
    if not legal.size:
        return 0.0
    again = legal_hashes(model.space, model.decode_arrays(model.encode(model.space.take(first, legal))[0]))
    return float((again == hashes[legal]).sum()) / len(points)


def _of_values(
    model: CellAutoencoder, drawn: Sequence[Architecture], values: FloatArray, rng: np.random.Generator
) -> dict[str, float]:
    known = np.flatnonzero(np.isfinite(values))
    if len(set(values[known].tolist())) < 10:
        raise ValueError(f"Expected ten or more different values, but got {len(set(values[known].tolist()))}")
    z = MetricEncoder(model.space, model).encode([drawn[row] for row in known.tolist()])[0].double().cpu()
    scores = normal_scores(values[known].tolist())
    apart = pdist(z.numpy())
    differ = pdist(scores.numpy())
    fold = rng.permutation(len(known)) % _FOLDS
    mean, deviation = np.zeros(len(known)), np.zeros(len(known))
    for number in range(_FOLDS):
        kept, left = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        process = fit_gaussian_process(z[kept], scores[kept])
        one, other = Posterior(process).moments(z[left])
        # What is left out is one evaluation, with its noise, and not the function behind it.
        noise = cast(GaussianLikelihood, process.likelihood).noise.detach()
        mean[left] = one.detach().numpy()
        deviation[left] = (other.detach().square() + noise).sqrt().numpy()
    truth = scores[:, 0].numpy()
    inside = np.abs(truth - mean) <= norm.ppf((1 + _LEVEL) / 2) * deviation
    return {
        "value and distance": float(spearmanr(apart, differ).statistic),
        "prediction": float(spearmanr(mean, truth).statistic),
        "calibration": float(inside.mean()),
    }
