"""Bayesian optimisation over architectures and training hyperparameters at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graphnas.cell import Architecture
from graphnas.encoders.protocol import Encoder
from graphnas.predictors.gaussian_process import fit_gaussian_process, winsorised_scores
from graphnas.search.candidates import Candidates
from graphnas.search.latent_bo import Judge, LatentBOSampler
from graphnas.search.latent_sampler import edit_distance
from graphnas.search.sampler import CandidateList, History, Proposal, candidate_key, split_key
from graphnas.spaces import HyperparameterSpace, Space

_INCUMBENTS = 8  # best candidates that new ones surround
_SAMPLES = 48  # latent points drawn around them
_NEAR, _RANDOM = 16, 8  # settings drawn near those of the best, and at random
_CHANGED = 0.4  # share of the settings that a draw near the best changes,
_STEP = 0.15  # and how far, in units of a range
_STARTS = 16  # best candidates from which the acquisition is ascended
_STEPS = 12  # of the ascent
_RATE = 0.03  # of a range, by which one step changes a hyperparameter
_RADIUS = 2.5  # reach of the ascent in the latent space, in median distances to one-edit neighbours


class LatentJointSampler(LatentBOSampler):
    """Bayesian optimisation over the latent points of architectures and the settings of their training.

    One Gaussian process, whose kernel is the product of one of latent means and one of hyperparameters, of whose effect
    a share is the same for all architectures (`fit_gaussian_process`), predicts the outcomes, the worst of which count
    alike (`winsorised_scores`); where trials are compared at several budgets, it learns from all of these. Candidates
    are the architectures of the best trials, those one edit away from them, and those that points around them decode
    to, each with settings near those of the best and with random ones. From the most promising of all, the acquisition
    is ascended by gradient, in the settings alone and in both. The source of a proposal is `settings` if its
    architecture has been tried before; else it says how that was found, as in `LatentBOSampler`.

    Args:
        space: The space to search.
        encoder: Encodes and decodes its architectures.
        hyperparameters: What else is searched.
        acquisition: `ucb`, `log-ei` or `log-nei`, as in `LatentBOSampler`.
        kappa: As in `LatentBOSampler`.
        metric: As in `LatentBOSampler`.
        candidates: Proposes only these architectures.
        n_startup_trials: Number of random candidates before the first model.
        seed: Makes proposals a function of the study's trials.
    """

    hyperparameters: HyperparameterSpace

    def __init__(
        self,
        space: Space,
        encoder: Encoder,
        hyperparameters: HyperparameterSpace,
        *,
        acquisition: str = "ucb",
        kappa: float = 3.0,
        metric: bool = True,
        candidates: Sequence[Architecture] | CandidateList | None = None,
        n_startup_trials: int = 10,
        seed: int | None = None,
    ) -> None:
        if acquisition == "thompson":
            # BoTorch draws no paths of a process with such a kernel.
            raise ValueError("Expected acquisition to be ucb, log-ei or log-nei, but got 'thompson'")
        super().__init__(
            space,
            encoder,
            acquisition=acquisition,
            kappa=kappa,
            predictor=functools.partial(fit_gaussian_process, settings=hyperparameters.width),
            metric=metric,
            candidates=candidates,
            n_startup_trials=n_startup_trials,
            seed=seed,
        )
        self.hyperparameters = hyperparameters

    def encoded(self, architectures: dict[str, Architecture]) -> Tensor:
        """`n x d` points of known candidates, by key: latent points, then coordinates of the settings."""
        split = [split_key(key) for key in architectures]
        unique = {key: one for (key, _), one in zip(split, architectures.values(), strict=True)}
        latent = dict(zip(unique, super().encoded(unique), strict=True))
        settings = self.hyperparameters.to_unit([settings for _, settings in split])
        return torch.cat([torch.stack([latent[key] for key, _ in split]), torch.from_numpy(settings)], -1)

    def scores(self, values: Sequence[float]) -> Tensor:
        """`n x 1` outcomes as the model sees them."""
        return winsorised_scores(values)

    def _choose(self, judge: Judge, history: History, rng: np.random.Generator) -> Proposal | None:
        finished = history.finished
        points = self.encoded({key: one.architecture for key, one in finished.items()})
        with torch.no_grad():
            top = judge.mean(points).argsort(descending=True, stable=True)[:_INCUMBENTS]
        keys, latent = list(finished), points.shape[1] - self.hyperparameters.width
        incumbents = {finished[keys[i]].hash: finished[keys[i]].architecture for i in top.tolist()}
        known = self.space.to_arrays(list(incumbents.values()))
        blocks = [Candidates("settings", known, tuple(incumbents), self._source.encode(known))]
        scale = 1.0
        if self._listed is None:
            edits = [block for key, one in incumbents.items() if (block := self._source.edits(one, key))]
            scale = edit_distance(blocks[0].z, edits)
            around = self.around(points[top, :latent], scale, rng, _SAMPLES)
            blocks += [*self._source.decode({"sample": around}), *edits]
        else:
            blocks.append(self._listed)
        pool = _Pairs.of(blocks, self._settings_near(points[top, latent:], rng))
        best = pool.best(judge, _STARTS)
        pool = pool.joined(replace(best, points=self._uphill(judge, best.points, latent, reach=0.0)))
        if self._listed is None:
            reached = self._uphill(judge, best.points, latent, reach=_RADIUS * scale)
            found = self._source.decode({"acquisition": reached[:, :latent]})
            # A decoder without masks may have found nothing legal.
            if found[0].hashes:
                pool = pool.joined(_Pairs.of(found, reached[:, latent:]))
        ranked, tried = pool.best(judge, len(pool.rows)), {split_key(key)[0] for key in history.hashes}
        for (block, row), point in zip(ranked.rows, ranked.points, strict=True):
            (settings,) = self.hyperparameters.from_unit(point[None, latent:].numpy())
            if candidate_key(block.hashes[row], settings) not in history.hashes:
                proposal = block.proposal(row, self.space)._replace(settings=settings)
                return proposal._replace(source="settings") if proposal.hash in tried else proposal
        return None

    def _settings_near(self, best: Tensor, rng: np.random.Generator) -> Tensor:
        """Coordinates of settings: the best, some near these, some random ones."""
        near = best.numpy()[rng.integers(len(best), size=_NEAR)]
        moved = near + _STEP * rng.standard_normal(near.shape)
        fresh = self.hyperparameters.sample_unit(_NEAR, rng)
        for parameter in self.hyperparameters.parameters:
            columns = self.hyperparameters.columns[parameter.name]
            changed = rng.random((_NEAR, 1)) < _CHANGED
            # There is no near among choices.
            near[:, columns] = np.where(changed, (fresh if parameter.choices else moved)[:, columns], near[:, columns])
        drawn = np.concatenate([near, self.hyperparameters.sample_unit(_RANDOM, rng)])
        return torch.cat([best, torch.from_numpy(self.hyperparameters.snap(drawn))])

    def _uphill(self, judge: Judge, start: Tensor, latent: int, *, reach: float) -> Tensor:
        """Ascend the acquisition by projected gradient steps (Adam); choices stay as they are.

        Args:
            judge: Constraints count for nothing on the way.
            start: `n x d` points.
            latent: How many of the `d` columns are latent.
            reach: How far the latent part may move; not at all if 0.

        Returns:
            `n x d` points, with coordinates of settings that there are.
        """
        # Adam moves all coordinates alike: they are taken in units of what one step should change.
        unit = torch.full_like(start[0], _RATE)
        unit[:latent] = 2.0 * reach / _STEPS * self.spread() / self.spread().norm()
        for parameter in self.hyperparameters.parameters:
            if parameter.choices:
                columns = self.hyperparameters.columns[parameter.name]
                unit[latent:][columns] = 0.0
        u = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([u], lr=1.0)
        for _ in range(_STEPS):
            (u.grad,) = torch.autograd.grad(-judge.acquisition(start + unit * u, 1.0).sum(), u)
            optimizer.step()
            with torch.no_grad():
                moved = start + unit * u
                offset = moved[:, :latent] - start[:, :latent]
                length = offset.norm(dim=-1, keepdim=True).clamp_min(1e-12)
                moved[:, :latent] = start[:, :latent] + offset * (reach / length).clamp(max=1.0)
                moved[:, latent:] = moved[:, latent:].clamp(0.0, 1.0)
                u.copy_(torch.where(unit > 0, (moved - start) / unit, 0.0))
        with torch.no_grad():
            reached = start + unit * u
            settings = torch.from_numpy(self.hyperparameters.snap(reached[:, latent:].numpy()))
        return torch.cat([reached[:, :latent], settings], -1)


@dataclass(frozen=True)
class _Pairs:
    """Architectures with settings."""

    rows: list[tuple[Candidates, int]]
    """Block and row of each pair's architecture."""
    points: Tensor
    """`n x d` points: where the architecture lies, then coordinates of the settings."""

    @classmethod
    def of(cls, blocks: Sequence[Candidates], settings: Tensor) -> Self:
        """Every architecture with all of `m x w` settings; one that several blocks have belongs to the first."""
        first: dict[str, tuple[Candidates, int]] = {}
        for block in blocks:
            for row, key in enumerate(block.hashes):
                first.setdefault(key, (block, row))
        latent = torch.stack([block.z[row] for block, row in first.values()])
        points = torch.cat([latent.repeat_interleave(len(settings), 0), settings.repeat(len(latent), 1)], -1)
        return cls([pair for pair in first.values() for _ in range(len(settings))], points)

    def joined(self, other: Self) -> Self:
        """These and others."""
        return replace(self, rows=self.rows + other.rows, points=torch.cat([self.points, other.points]))

    def best(self, judge: Judge, n: int) -> Self:
        """The `n` best, best first."""
        with torch.no_grad():
            order = judge(self.points).argsort(descending=True, stable=True)[:n]
        return replace(self, rows=[self.rows[i] for i in order.tolist()], points=self.points[order])
