"""The predictors by name: the 31 of White et al. 2021 (arXiv 2104.01177), theirs that combine families, and our own."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphnas.encoders import CellAutoencoder
from graphnas.predictors.averaged import AveragedPredictor
from graphnas.predictors.bayesian import BOHAMIANN, DNGO, BayesianLinear
from graphnas.predictors.encodings import Encoding, count, encoding, latent_encoding, remembered
from graphnas.predictors.extrapolation import CurveExtrapolation
from graphnas.predictors.further import FurtherFeatures
from graphnas.predictors.graph_networks import BONAS, GraphNetworkPredictor
from graphnas.predictors.latent_network import LatentNetworkPredictor
from graphnas.predictors.natural_boosting import NaturalGradientBoosting
from graphnas.predictors.normal_scored import NormalScoredPredictor
from graphnas.predictors.partial_curves import CurveRegression, EarlyStopping, SumOfTrainingLosses
from graphnas.predictors.perceptrons import PerceptronPredictor
from graphnas.predictors.processes import (
    ProcessPredictor,
    fit_rbf_process,
    fit_sparse_process,
    fit_variational_process,
    fit_wl_process,
)
from graphnas.predictors.protocol import Architectures, FloatArray, Predictor
from graphnas.predictors.regression import EstimatorPredictor
from graphnas.predictors.sequences import SequencePredictor
from graphnas.predictors.zero_cost import ScorePredictor
from graphnas.proxies import PROXIES
from graphnas.spaces import Space

_OMNI_EPOCHS = 3  # from which the last training loss tells OMNI something
_OMNI_DRAWS = 10  # the paper takes 35, which take minutes
_MANY = 1_000_000  # sparse processes take in all targets


@dataclass(frozen=True)
class PredictorKind:
    """One predictor of the catalogue."""

    family: str
    """`zero-cost`, `learning curve`, `hybrid`, `weight sharing`, `neural`, `trees`, `bayesian`, `gaussian process`,
    `combined` or `latent`."""
    title: str
    """What it is, for people."""
    make: Callable[[Space, CellAutoencoder | None, int], Predictor]
    """From a space, its encoder and a seed to a predictor that is not fitted."""
    latent: bool = False
    """Whether it needs an encoder."""


def _forest(space: Space, encoder: CellAutoencoder | None, seed: int) -> Predictor:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        116, max_features=0.1706, min_samples_leaf=2, bootstrap=False, n_jobs=1, random_state=seed
    )
    return EstimatorPredictor(space, encoding(space, "adjacency"), forest)


def _boosted(seed: int, **settings: float) -> Any:
    """XGBoost with 500 trees of depth 6."""
    regressor = _package("xgboost").XGBRegressor
    return regressor(n_estimators=500, max_depth=6, n_jobs=1, random_state=seed, **settings)


def _xgboost(space: Space, encoder: CellAutoencoder | None, seed: int) -> Predictor:
    model = _boosted(seed, learning_rate=0.3)
    return EstimatorPredictor(space, encoding(space, "adjacency"), model)


def _lightgbm(space: Space, encoder: CellAutoencoder | None, seed: int) -> Predictor:
    model = _package("lightgbm").LGBMRegressor(
        n_estimators=500,
        num_leaves=31,
        learning_rate=0.05,
        colsample_bytree=0.9,
        subsample=0.8,
        subsample_freq=5,
        min_child_samples=5,
        n_jobs=1,
        random_state=seed,
        verbose=-1,
    )
    return EstimatorPredictor(space, encoding(space, "adjacency"), model)


def _latent_gp(space: Space, encoder: CellAutoencoder | None, seed: int) -> Predictor:
    return NormalScoredPredictor(ProcessPredictor(space, _latents(space, encoder), seed=seed))


def _latent_trees(space: Space, encoder: CellAutoencoder | None, seed: int) -> Predictor:
    # Both members look at the first two.
    latents, flow = remembered(_latents(space, encoder)), remembered(encoding(space, "flow"))
    hand_made = encoding(space, "all")

    def short(architectures: Architectures) -> FloatArray:
        # All encodings have as much variance as they have dimensions; here both count alike.
        parts = latents(architectures), flow(architectures)
        width = sum(part.shape[1] for part in parts)
        return np.column_stack([part * math.sqrt(width / (2 * part.shape[1])) for part in parts])

    def long(architectures: Architectures) -> FloatArray:
        # Trees compare in single precision.
        parts = [one(architectures) for one in (latents, flow, hand_made)]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    model = _boosted(seed, learning_rate=0.05, colsample_bytree=0.3, subsample=0.8)
    members = [ProcessPredictor(space, short, seed=seed), EstimatorPredictor(space, long, model)]
    return NormalScoredPredictor(AveragedPredictor(space, members))


def _omni(
    scores: tuple[str, ...] = ("jacov",), curves: tuple[str, ...] = ("train_loss",), *, graph: bool = True
) -> Callable[[Space, CellAutoencoder | None, int], Predictor]:
    """NGBoost on what is known of an architecture, tuned by random draws."""

    def make(space: Space, encoder: CellAutoencoder | None, seed: int) -> Predictor:
        from scipy.stats import loguniform, randint, uniform

        def nothing(architectures: Architectures) -> FloatArray:
            return np.zeros((count(space, architectures), 0))

        return EstimatorPredictor(
            space,
            encoding(space, "adjacency") if graph else nothing,
            NaturalGradientBoosting(random_state=seed),
            scores=scores,
            curves=curves,
            fewest_epochs=_OMNI_EPOCHS if curves else 1,
            tuning={
                "n_estimators": randint(128, 513),
                "learning_rate": loguniform(1e-3, 0.1),
                "max_depth": randint(1, 25),
                "max_features": uniform(0.1, 0.9),
            },
            draws=_OMNI_DRAWS,
            seed=seed,
        )

    return make


def _on(name: str, estimator: Callable[[int], Any]) -> Callable[[Space, CellAutoencoder | None, int], Predictor]:
    """A regressor of a seed on an encoding."""
    return lambda space, encoder, seed: EstimatorPredictor(space, encoding(space, name), estimator(seed))


def _process(name: str, fit: Any, most: int = 1_000) -> Callable[[Space, CellAutoencoder | None, int], Predictor]:
    return lambda space, encoder, seed: ProcessPredictor(
        space, encoding(space, name), fit_process=fit, most_fitted=most, seed=seed
    )


def _score(name: str, title: str, family: str = "zero-cost") -> PredictorKind:
    return PredictorKind(family, title, lambda space, encoder, seed: ScorePredictor(name))


_TITLES = {
    "fisher": "Fisher information of channels",
    "grad-norm": "norm of the gradients",
    "grasp": "GraSP: what pruning does to the gradient's flow",
    "jacov": "covariance of the slopes at different images",
    "snip": "SNIP: sensitivity of the loss to each weight",
    "synflow": "SynFlow: synaptic flow",
    "nwot": "NWOT: how differently images switch units",
    "zico": "ZiCo: steadiness of gradients",
    "parameters": "number of parameters",
    "macs": "multiply-adds",
}

PREDICTORS: dict[str, PredictorKind] = {
    **{name: _score(name, _TITLES[name]) for name in PROXIES},
    "sotl": PredictorKind(
        "learning curve", "SoTL: sum of training losses", lambda space, encoder, seed: SumOfTrainingLosses()
    ),
    "sotl-e": PredictorKind(
        "learning curve",
        "SoTL-E: training loss of the last epoch seen",
        lambda space, encoder, seed: SumOfTrainingLosses(last=True),
    ),
    "early-accuracy": PredictorKind(
        "learning curve", "early stopping: validation accuracy so far", lambda space, encoder, seed: EarlyStopping()
    ),
    "early-loss": PredictorKind(
        "learning curve",
        "early stopping: validation loss so far",
        lambda space, encoder, seed: EarlyStopping("validation_loss"),
    ),
    "lce": PredictorKind(
        "learning curve",
        "LCE: mixture of curve families, one chain",
        lambda space, encoder, seed: CurveExtrapolation(seed=seed),
    ),
    "lce-m": PredictorKind(
        "learning curve",
        "LCE-m: mixture of fitted curve families, 50 walkers",
        lambda space, encoder, seed: CurveExtrapolation(steps=800, burn_in=500, walkers=50, seed=seed),
    ),
    "lcsvr": PredictorKind(
        "hybrid", "LcSVR: support vectors on partial curves", lambda space, encoder, seed: CurveRegression(seed=seed)
    ),
    "one-shot": _score("one-shot", "accuracy with the shared weights of a supernet", "weight sharing"),
    "rsws": _score("rsws", "accuracy with shared weights, trained on random paths", "weight sharing"),
    "mlp": PredictorKind(
        "neural",
        "perceptron on the adjacency encoding",
        lambda space, encoder, seed: PerceptronPredictor(space, encoding(space, "adjacency"), seed=seed),
    ),
    "bananas": PredictorKind(
        "neural",
        "BANANAS: three perceptrons on paths",
        lambda space, encoder, seed: PerceptronPredictor(space, encoding(space, "paths"), members=3, seed=seed),
    ),
    "gcn": PredictorKind(
        "neural", "graph convolutional network", lambda space, encoder, seed: GraphNetworkPredictor(space, seed=seed)
    ),
    "bonas": PredictorKind(
        "neural",
        "BONAS: graph convolutional network with a global vertex",
        lambda space, encoder, seed: GraphNetworkPredictor(
            space, width=64, global_vertex=True, schedule=BONAS, seed=seed
        ),
    ),
    "nao": PredictorKind(
        "neural", "NAO: recurrent autoencoder", lambda space, encoder, seed: SequencePredictor(space, seed=seed)
    ),
    "seminas": PredictorKind(
        "neural",
        "SemiNAS: the same with predicted targets of ten times as many architectures",
        lambda space, encoder, seed: SequencePredictor(space, unlabelled=10, seed=seed),
    ),
    "random-forest": PredictorKind("trees", "random forest", _forest),
    "xgboost": PredictorKind("trees", "XGBoost", _xgboost),
    "lightgbm": PredictorKind("trees", "LightGBM", _lightgbm),
    "ngboost": PredictorKind(
        "trees",
        "NGBoost: natural gradient boosting",
        _on("adjacency", lambda seed: NaturalGradientBoosting(random_state=seed)),
    ),
    "bayesian-linear": PredictorKind(
        "bayesian", "Bayesian linear regression", _on("adjacency", lambda seed: BayesianLinear())
    ),
    "dngo": PredictorKind(
        "bayesian",
        "DNGO: Bayesian linear regression on a network",
        _on("adjacency", lambda seed: DNGO(random_state=seed)),
    ),
    "bohamiann": PredictorKind(
        "bayesian",
        "BOHAMIANN: network sampled by Hamiltonian Monte Carlo",
        _on("adjacency", lambda seed: BOHAMIANN(random_state=seed)),
    ),
    "gp": PredictorKind("gaussian process", "exact, RBF kernel", _process("adjacency", fit_rbf_process)),
    "sparse-gp": PredictorKind(
        "gaussian process", "ten inducing points", _process("adjacency", fit_sparse_process, _MANY)
    ),
    "variational-gp": PredictorKind(
        "gaussian process", "variational, ten inducing points", _process("adjacency", fit_variational_process, _MANY)
    ),
    "wl-gp": PredictorKind("gaussian process", "Weisfeiler-Leman kernel", _process("wl", fit_wl_process)),
    "omni-ngboost": PredictorKind("combined", "OMNI: NGBoost on encoding, jacov and SoTL-E", _omni()),
    "omni-no-curve": PredictorKind("combined", "OMNI without SoTL-E", _omni(curves=())),
    "omni-no-score": PredictorKind("combined", "OMNI without jacov", _omni(scores=())),
    "omni-no-encoding": PredictorKind("combined", "OMNI without the encoding", _omni(graph=False)),
    "omni-seminas": PredictorKind(
        "combined",
        "OMNI: SemiNAS with jacov and SoTL-E",
        lambda space, encoder, seed: SequencePredictor(
            space,
            unlabelled=10,
            further=FurtherFeatures(("jacov",), ("train_loss",), fewest_epochs=_OMNI_EPOCHS),
            seed=seed,
        ),
    ),
    "latent-gp": PredictorKind("latent", "Gaussian process on latent means, as in the latent search", _latent_gp, True),
    "latent-mlp": PredictorKind(
        "latent",
        "SVGe's predictor: encoder and perceptrons tuned together",
        lambda space, encoder, seed: LatentNetworkPredictor(_needed(encoder), seed=seed),
        True,
    ),
    "latent-trees": PredictorKind(
        "latent",
        "mean of a Gaussian process on latent means and flow, and of XGBoost on these and all hand-made encodings",
        _latent_trees,
        True,
    ),
}
"""All predictors, in the order of their families."""


def make_predictor(name: str, space: Space, *, encoder: CellAutoencoder | None = None, seed: int = 0) -> Predictor:
    """A predictor of the catalogue, not fitted.

    Args:
        name: Of `PREDICTORS`.
        space: Space of the architectures.
        encoder: A fitted autoencoder, for those that look at latent means.
        seed: Of what is random in it.

    Raises:
        ImportError: naming the extra that has its package.
        ValueError: if there is no such predictor, or it needs an encoder.
    """
    if name not in PREDICTORS:
        raise ValueError(f"Expected a predictor out of {', '.join(PREDICTORS)}, but got {name!r}")
    kind = PREDICTORS[name]
    if kind.latent:
        _needed(encoder, name)
    return kind.make(space, encoder, seed)


def _needed(encoder: CellAutoencoder | None, name: str = "latent") -> CellAutoencoder:
    if encoder is None:
        raise ValueError(f"The predictor {name!r} needs a fitted encoder, but got none")
    return encoder


def _latents(space: Space, encoder: CellAutoencoder | None) -> Encoding:
    return latent_encoding(space, _needed(encoder))


def _package(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        raise ImportError(f"This predictor needs the package {name}: pip install 'graphnas[trees]'")
    return importlib.import_module(name)
