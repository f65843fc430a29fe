"""Figures known before, to stand beside ours: published ones and those of our own earlier prototypes.

A `target` is the best figure that a prototype reached on the same data and split sizes, one thread, CPU seconds, and
`prototype` one that it reached without the part in question. A published figure names its paper; `recalled` marks those
that were written down from memory and not looked up again.
Papers differ in data, split, noise and definition of a measure, so a difference to theirs is a hint, not a test.
So is one to the targets of smoothness, whose walks were drawn by another rule: one-hot's figures show how far.
"""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """One figure known before."""

    value: float
    source: str


TARGET = "target: prototype"
PROTOTYPE = "prototype"
PLAIN = "target: plain features"
DVAE = "D-VAE (arXiv 1904.11088), recalled"
SVAE = "S-VAE in D-VAE's table (arXiv 1904.11088), recalled"
DAGNN = "DAGNN (arXiv 2101.07965), recalled"
ARCH2VEC = "arch2vec (arXiv 2006.06936), recalled"
ARCH_VQ = "Arch-VQ (arXiv 2503.22063), published"
RELEASED = "the authors' program on our machine"

CEILING = "ceiling: prototype on a latent fitted to half of the labels"

SEARCHES: dict[str, dict[str, dict[int, float]]] = {
    "p101-full": {
        TARGET: {25: 93.886, 50: 94.270, 100: 94.409, 150: 94.462, 200: 94.482},
        CEILING: {25: 94.086, 50: 94.339, 100: 94.447, 150: 94.483, 200: 94.493},
    },
    "p101-val": {TARGET: {25: 94.588, 50: 94.839, 100: 94.881, 150: 94.882, 200: 94.883}},
    "p201": {TARGET: {25: 91.00, 50: 91.43, 100: 91.55}},
}
"""Best values queried by protocol of `graphnas bench`, in percent, by number of queries."""

FIGURES: dict[str, dict[str, list[Figure]]] = {
    "encoder_nasbench101": {
        "reconstruction": [Figure(0.9998, TARGET), Figure(1.0, ARCH2VEC)],
        "sampled reconstruction": [Figure(0.985, TARGET)],
        "validity": [Figure(1.0, TARGET), Figure(0.8973, ARCH_VQ), Figure(0.4497, ARCH2VEC)],
        "uniqueness": [Figure(0.974, TARGET), Figure(0.988, "423,624 cells drawn uniformly")],
        "smoothness, random pairs: latent mean": [Figure(0.664, TARGET)],
        "smoothness, walks: latent mean": [Figure(0.789, TARGET)],
        "smoothness, pooled: latent mean": [Figure(0.912, TARGET)],
        "smoothness, random pairs: one-hot": [Figure(0.537, TARGET)],
        "smoothness, walks: one-hot": [Figure(0.681, TARGET)],
        "smoothness, pooled: one-hot": [Figure(0.822, TARGET)],
        "GP Spearman, 100 labels: latent mean": [Figure(0.835, TARGET), Figure(0.838, PLAIN)],
        "GP Spearman, 1,000 labels: latent mean": [Figure(0.911, TARGET), Figure(0.906, PLAIN)],
        "GP Spearman, 10,000 labels: latent mean": [Figure(0.941, TARGET), Figure(0.943, PLAIN)],
        "GP Spearman, 100 labels: one-hot": [Figure(0.736, TARGET)],
        "GP Spearman, 1,000 labels: one-hot": [Figure(0.867, TARGET)],
        "GP Spearman, 10,000 labels: one-hot": [Figure(0.933, TARGET)],
        "GP Spearman, 100 labels: one-hot + statistics + paths": [Figure(0.838, TARGET)],
        "GP Spearman, 1,000 labels: one-hot + statistics + paths": [Figure(0.906, TARGET)],
        "GP Spearman, 10,000 labels: one-hot + statistics + paths": [Figure(0.943, TARGET)],
        "decode, architectures per CPU-s": [Figure(22_600, TARGET)],
    },
    "encoder_nasbench201": {"validity": [Figure(0.9752, ARCH_VQ)]},
    "encoder_darts": {"validity": [Figure(0.9946, ARCH_VQ)]},
    "encoder_enas": {
        "reconstruction": [Figure(0.9869, TARGET)],
        "GP Pearson, 15,407 labels: latent mean": [Figure(0.875, TARGET), Figure(0.924, DVAE), Figure(0.964, DAGNN)],
        "GP RMSE, 15,407 labels: latent mean": [Figure(0.478, TARGET), Figure(0.375, DVAE), Figure(0.264, DAGNN)],
        "GP Pearson, 15,407 labels: one-hot": [Figure(0.975, "one split, 8,000 labels")],
        "GP RMSE, 15,407 labels: one-hot": [Figure(0.225, "one split, 8,000 labels")],
    },
    "ablations_nasbench101": {
        "default: GP Spearman, 100 labels": [Figure(0.835, TARGET)],
        "default: GP Spearman, 1,000 labels": [Figure(0.911, TARGET)],
        "default: smoothness, pooled": [Figure(0.912, TARGET)],
        "no-targets: reconstruction": [Figure(0.9998, PROTOTYPE)],
        "no-targets: GP Spearman, 100 labels": [Figure(0.489, PROTOTYPE)],
        "no-targets: GP Spearman, 1,000 labels": [Figure(0.678, PROTOTYPE)],
        "little-noise-no-targets: reconstruction": [Figure(1.0, PROTOTYPE)],
        "little-noise-no-targets: GP Spearman, 100 labels": [Figure(0.477, PROTOTYPE)],
        "little-noise-no-targets: GP Spearman, 1,000 labels": [Figure(0.629, PROTOTYPE)],
        "little-noise-no-targets: smoothness, random pairs": [Figure(0.360, PROTOTYPE)],
        "little-noise-no-targets: smoothness, walks": [Figure(0.694, PROTOTYPE)],
        "little-noise-no-targets: smoothness, pooled": [Figure(0.799, PROTOTYPE)],
        "message-passing: reconstruction": [Figure(0.967, PROTOTYPE)],
        "message-passing: GP Spearman, 1,000 labels": [Figure(0.911, PROTOTYPE)],
        "places: reconstruction": [Figure(0.9998, PROTOTYPE)],
        "places: GP Spearman, 1,000 labels": [Figure(0.898, PROTOTYPE)],
        "no-masks: validity": [Figure(0.58, PROTOTYPE)],
    },
    "svge_enas": {
        "default: reconstruction": [Figure(0.953, TARGET), Figure(0.9996, DVAE), Figure(0.9998, SVAE)],
        "default, little noise: reconstruction": [Figure(0.953, TARGET), Figure(0.9996, DVAE)],
        "svge: reconstruction": [Figure(0.9996, DVAE)],
        "svge: validity": [Figure(1.0, DVAE)],
        "svge: novelty": [Figure(1.0, DVAE)],
        "default: validity": [Figure(1.0, DVAE)],
        "default: uniqueness of stochastic decodings": [Figure(0.582, TARGET), Figure(0.3726, DVAE)],
        "svge: uniqueness of stochastic decodings": [Figure(0.3726, DVAE)],
        "default: uniqueness of likeliest decodings": [Figure(1.0, TARGET)],
        "default: GP on the latent, r": [Figure(0.875, TARGET), Figure(0.924, DVAE), Figure(0.964, DAGNN)],
        "default: GP on the latent, RMSE": [Figure(0.478, TARGET), Figure(0.375, DVAE), Figure(0.264, DAGNN)],
        "svge: GP on the latent, r": [Figure(0.924, DVAE)],
        "svge: GP on the latent, RMSE": [Figure(0.375, DVAE)],
        "one-hot: GP on the latent, r": [Figure(0.975, "one split, 8,000 labels")],
        "one-hot: GP on the latent, RMSE": [Figure(0.225, "one split, 8,000 labels")],
        "svge: training cells per CPU-s": [Figure(157.3, f"SVGe, {RELEASED}"), Figure(57.9, f"D-VAE, {RELEASED}")],
        "default: training cells per CPU-s": [Figure(2_150, TARGET), Figure(157.3, f"SVGe, {RELEASED}")],
        "svge: encoded per CPU-s": [Figure(908, f"SVGe, {RELEASED}")],
        "svge: decoded per CPU-s, one sample each": [Figure(89, f"SVGe, {RELEASED}")],
        "svge: parameters": [Figure(2_246_417, "SVGe, the authors' program")],
    },
    "bench": {
        f"{protocol}, latent-bo, {place} queries": [
            Figure(value, source) for source, values in known.items() if (value := values.get(place)) is not None
        ]
        for protocol, known in SEARCHES.items()
        for place in sorted(set().union(*known.values()))
    }
    | {
        "p201, latent-bo, 100 queries, share at the optimum": [Figure(0.96, TARGET)],
        "p101-full, random, 100 queries": [Figure(93.665, PROTOTYPE)],
        "p101-full, evolution, 100 queries": [Figure(94.120, PROTOTYPE)],
        "p101-full, local-search, 100 queries": [Figure(94.042, PROTOTYPE)],
        "p101-full, bananas, 100 queries": [Figure(94.163, PROTOTYPE)],
        "p101-full, npenas, 100 queries": [Figure(94.345, PROTOTYPE)],
        "p101-full, xgboost, 100 queries": [Figure(94.215, PROTOTYPE)],
    },
}
"""By result file and measure, as the tables name it."""
