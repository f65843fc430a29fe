"""The measures that papers on graph autoencoders of cells report, taken as they define them, and interpolation.

Decoding is stochastic here, unlike in `quality`, and equality is that of labelled graphs in their order. D-VAE (Zhang
et al. 2019, arXiv 1904.11088) and SVGe (Lukasik et al. 2020, arXiv 2010.04683) report these figures. Two traits of
theirs to know: a perfect deterministic decoder is at most a tenth unique, as every point is decoded ten times; and in
a space far larger than the training set nearly every decoding is novel.

Legality is that of the space. The programs of the two papers have rules of their own, which differ for ENAS.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphnas.cell import Architecture, CellArrays
from graphnas.encoders.autoencoder import CellAutoencoder, reparameterize
from graphnas.encoders.legality import legal_cells, legal_hashes
from graphnas.spaces import Space


def svge_protocol(
    model: CellAutoencoder,
    held_out: Sequence[Architecture] | CellArrays,
    *,
    train: Sequence[Architecture] | CellArrays,
    seed: int = 0,
    encodings: int = 10,
    decodings: int = 10,
    prior_points: int = 1000,
    noise: float = 1.0,
) -> dict[str, float]:
    """Measure an autoencoder by the protocol of D-VAE and SVGe.

    Args:
        model: A fitted autoencoder.
        held_out: Architectures that it was not fitted to; as arrays, their cells in consecutive rows.
        train: Architectures that it was fitted to, likewise; they give the prior's mean and spread.
        seed: Seed of all draws.
        encodings: Points drawn around the mean of each held-out architecture.
        decodings: Stochastic decodings of every point.
        prior_points: Points drawn from N(0, I), scaled to mean and deviation of the training latents.
        noise: Factor of the deviation of encodings, such as the 0.01 that SVGe is trained with.

    Returns:
        Shares between 0 and 1, but for the last. Legal is what `Space.validate` accepts: dead vertices are dropped
        first where the space drops them.

        - `reconstruction`: of the held-out's decodings, those equal to the canonical form, vertex by vertex;
        - `reconstruction_up_to_hash`: those equal up to `Space.hash`;
        - `validity`: of the prior points' decodings, the legal ones;
        - `uniqueness`: of these, the distinct ones, vertex by vertex;
        - `novelty`: of these, those equal to no canonical training architecture, vertex by vertex;
        - `greedy_uniqueness`: distinct legal architectures up to `Space.hash` among the likeliest decodings of the
          prior points, for each point;
        - `invalid_decodings`: number of the prior points' illegal decodings.

    Raises:
        ValueError: if there are no held-out or no training architectures.
    """
    space, width = model.space, model.space.topology.max_vertices
    arrays, known = model.arrays(held_out).padded(width), model.arrays(train).padded(width)
    for name, given in (("held_out", arrays), ("train", known)):
        if given.n == 0:
            raise ValueError(f"Expected {name} to hold at least one architecture, but it is empty")
    mu, logvar = model.encode(arrays)
    generator = torch.Generator(device=mu.device).manual_seed(seed)

    wanted, hashes = _keys(space, arrays), np.array(space.hashes(arrays))
    exact = alike = 0
    for _ in range(encodings):
        z = mu + noise * (reparameterize(mu, logvar, generator) - mu)
        for _ in range(decodings):
            decoded = model.decode_arrays(z, sample=True, generator=generator)
            same = _keys(space, decoded) == wanted
            other = np.flatnonzero(~same)
            exact += int(same.sum())
            alike += int(same.sum()) + int((legal_hashes(space, space.take(decoded, other)) == hashes[other]).sum())
    attempts = len(wanted) * encodings * decodings

    latents = model.encode(known)[0]
    prior = torch.randn(prior_points, model.latent_dim, generator=generator, device=mu.device)
    prior = prior * latents.std(0, unbiased=False) + latents.mean(0)
    drawn = model.decode_arrays(prior.repeat_interleave(decodings, 0), sample=True, generator=generator)
    simplified, legal = legal_cells(space, drawn)
    valid = int(legal.sum())
    kept = Counter(_keys(space, simplified)[legal].tolist())
    seen = set(_keys(space, known).tolist())
    novel = sum(count for key, count in kept.items() if key not in seen)
    greedy = set(legal_hashes(space, model.decode_arrays(prior)).tolist()) - {""}
    return {
        "reconstruction": exact / max(attempts, 1),
        "reconstruction_up_to_hash": alike / max(attempts, 1),
        "validity": valid / max(len(legal), 1),
        "uniqueness": len(kept) / max(valid, 1),
        "novelty": novel / max(valid, 1),
        "greedy_uniqueness": len(greedy) / max(prior_points, 1),
        "invalid_decodings": float(len(legal) - valid),
    }


def interpolate(
    model: CellAutoencoder,
    first: Architecture,
    second: Architecture,
    points: int = 11,
    *,
    decodings: int = 100,
    seed: int = 0,
) -> list[Architecture]:
    """Decode points on the straight line between two architectures' latent means, both ends included.

    Args:
        model: A fitted autoencoder.
        first: Where the line starts.
        second: Where it ends.
        points: Number of points at equal distances.
        decodings: Stochastic decodings of each point; the most frequent legal one is taken.
        seed: Seed of the decodings.

    Returns:
        One architecture a point; points without any legal decoding are left out.
    """
    start, end = model.encode([first, second])[0]
    share = torch.linspace(0, 1, points, dtype=start.dtype, device=start.device)[:, None]
    decoded = most_frequent(model, start + share * (end - start), decodings=decodings, seed=seed)
    return [architecture for architecture in decoded if architecture is not None]


def great_circle(
    model: CellAutoencoder,
    first: Architecture,
    second: Architecture,
    points: int = 36,
    *,
    decodings: int = 100,
    seed: int = 0,
) -> list[Architecture]:
    """Decode points on a circle around the origin that starts at one architecture and turns towards another.

    Its radius is the distance of the first latent mean from the origin, which is the training latents' mean.

    Args:
        model: A fitted autoencoder.
        first: Where the circle starts.
        second: It passes through the direction of this one's latent mean.
        points: Number of points at equal angles, once around.
        decodings: Stochastic decodings of each point; the most frequent legal one is taken.
        seed: Seed of the decodings.

    Returns:
        One architecture a point; points without any legal decoding are left out.

    Raises:
        ValueError: if the two latent means lie on one line with the origin.
    """
    start, end = model.encode([first, second])[0].double()
    radius = start.norm()
    side = end - (end @ start) / radius.square() * start
    if not side.norm() > 1e-6 * end.norm():
        raise ValueError("Expected first and second to lie in different directions from the origin of the latent space")
    angle = 2 * math.pi * torch.arange(points, dtype=start.dtype, device=start.device)[:, None] / points
    z = angle.cos() * start + angle.sin() * radius * side / side.norm()
    decoded = most_frequent(model, z.float(), decodings=decodings, seed=seed)
    return [architecture for architecture in decoded if architecture is not None]


def most_frequent(
    model: CellAutoencoder, z: Tensor, *, decodings: int = 500, seed: int = 0
) -> list[Architecture | None]:
    """The legal architecture that most decodings of each point give, as the papers' searches decode.

    Args:
        model: A fitted autoencoder.
        z: `n x d` points.
        decodings: Stochastic decodings of each.
        seed: Seed of the decodings.

    Returns:
        One architecture a point, the first of several that are as frequent; None where no decoding is legal.
    """
    space = model.space
    generator = torch.Generator(device=z.device).manual_seed(seed)
    drawn = model.decode_arrays(z.repeat_interleave(decodings, 0), sample=True, generator=generator)
    simplified, legal = legal_cells(space, drawn)
    keys = _keys(space, simplified)
    chosen: dict[int, int] = {}
    for point in range(len(z)):
        rows = point * decodings + np.flatnonzero(legal[point * decodings : (point + 1) * decodings])
        if rows.size:
            ((key, _),) = Counter(keys[rows].tolist()).most_common(1)
            chosen[point] = int(rows[(keys[rows] == key).argmax()])
    found = space.from_arrays(space.take(simplified, np.array(list(chosen.values()), dtype=np.int64)))
    by_point = dict(zip(chosen, found, strict=True))
    return [by_point.get(point) for point in range(len(z))]


def _keys(space: Space, arrays: CellArrays) -> NDArray[np.object_]:
    """Bytes of each architecture, equal for equal labels and edges in the same order."""
    n = arrays.n // len(space.cell_names)
    edges = np.packbits(arrays.adjacency.reshape(arrays.n, -1), axis=1)
    rows = np.concatenate([arrays.ops.view(np.uint8), edges], axis=1).reshape(n, -1)
    keys = np.empty(n, dtype=object)
    keys[:] = [row.tobytes() for row in rows]
    return keys
