"""Ensembles that a surrogate predicts by: fitted to an archive, written as JSON or safetensors, and read again."""

from __future__ import annotations

import gzip
import importlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from optuna.trial import BaseTrial
from safetensors.torch import load_file, save_file
from torch import nn

from graphnas.cell import CellArrays
from graphnas.predictors.encodings import encoding
from graphnas.predictors.graph_networks import GraphConvolutions, GraphIsomorphisms, GraphNetworkPredictor
from graphnas.predictors.learning import Schedule, minimise
from graphnas.predictors.normal_scored import NormalScale
from graphnas.predictors.protocol import FloatArray
from graphnas.predictors.regression import chunks
from graphnas.spaces import Space

_KNOTS = 257  # values between which scores and values are translated


class Ensemble(ABC):
    """Members of one kind that differ in their seeds and in what they were fitted to.

    They predict normal scores, so that the failed trainings of an archive do not hide what sets the others apart.

    Args:
        space: Space of the architectures.
        settings: Hyperparameters of a member.
    """

    kind: ClassVar[str]
    encodings: ClassVar[tuple[str, ...]] = ()
    """Names of the encodings that members see; none if they see the graph."""
    defaults: ClassVar[dict[str, Any]]
    """Hyperparameters where `settings` says nothing."""

    def __init__(self, space: Space, settings: dict[str, Any] | None = None) -> None:
        self.space, self.settings = space, {**self.defaults, **(settings or {})}
        self.members: list[Any] = []

    @classmethod
    @abstractmethod
    def suggest(cls, trial: BaseTrial) -> dict[str, Any]:
        """Hyperparameters to try."""

    @abstractmethod
    def _inputs(self, cells: CellArrays) -> Any:
        """`n` rows that members take."""

    @abstractmethod
    def _fit_member(self, x: Any, y: FloatArray, seed: int) -> Any:
        """One member fitted to `n` rows and scores."""

    @abstractmethod
    def _predict_member(self, member: Any, x: Any) -> FloatArray:
        """`n` predicted scores."""

    @abstractmethod
    def _write_member(self, member: Any, folder: Path, number: int) -> Path:
        """Write a member, and say where."""

    @abstractmethod
    def _read_member(self, folder: Path, number: int) -> Any:
        """Read a member.

        Raises:
            ValueError: naming the file that is missing or damaged.
        """

    def fit(self, cells: CellArrays, values: FloatArray, *, members: int = 10, seed: int = 0) -> Ensemble:
        """Fit all members, each to another nine tenths of the architectures.

        Args:
            cells: Of `n` architectures.
            values: `n` values.
            members: How many there are.
            seed: Of members and of what they are fitted to.
        """
        self.scale = NormalScale.of(values, most=_KNOTS)
        x, y = self._inputs(cells), self.scale.to_scores(values)
        self.members = []
        for number in range(members):
            rows = np.random.default_rng((seed, number)).permutation(len(y))
            rows = np.sort(rows[: max(2, round(0.9 * len(y)))]) if members > 1 else np.arange(len(y))
            self.members.append(self._fit_member(x[rows], y[rows], seed + number))
        return self

    def predict(self, cells: CellArrays) -> FloatArray:
        """`members x n` predictions."""
        parts = []
        for _, part in chunks(self.space, cells):
            x = self._inputs(part)
            parts.append(np.stack([self._predict_member(member, x) for member in self.members]))
        return self.scale.to_targets(np.concatenate(parts, axis=1))

    def write(self, folder: Path) -> list[Path]:
        """Write all members."""
        return [self._write_member(member, folder, number) for number, member in enumerate(self.members)]

    def read(self, folder: Path, members: int, scale: NormalScale) -> Ensemble:
        """Read all members."""
        self.scale = scale
        self.members = [self._read_member(folder, number) for number in range(members)]
        return self


class _Trees(Ensemble):
    """Boosted trees on hand-made encodings, written as compressed text."""

    package: ClassVar[str]
    encodings = ("flow", "all")

    def _inputs(self, cells: CellArrays) -> FloatArray:
        return np.column_stack([encoding(self.space, name)(cells) for name in self.encodings]).astype(np.float32)

    def _path(self, folder: Path, number: int) -> Path:
        return folder / f"member-{number}.json.gz"

    def _package(self) -> Any:
        try:
            return importlib.import_module(self.package)
        except ImportError:
            raise ImportError(
                f"A surrogate of the kind {self.kind!r} needs the package {self.package}: pip install 'graphnas[trees]'"
            ) from None

    def _write(self, folder: Path, number: int, text: str) -> Path:
        path = self._path(folder, number)
        # Without a time stamp, so that equal members are equal files.
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
        return path

    def _read(self, folder: Path, number: int) -> str:
        path = self._path(folder, number)
        try:
            return gzip.decompress(path.read_bytes()).decode()
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: expected a compressed model, but {error}") from None


class XGBoostEnsemble(_Trees):
    """XGBoost."""

    kind, package = "xgb", "xgboost"
    defaults: ClassVar[dict[str, Any]] = {
        "rounds": 300, "max_depth": 6, "learning_rate": 0.05, "colsample_bytree": 0.3, "subsample": 0.8,
        "min_child_weight": 3.0, "reg_lambda": 1.0,
    }  # fmt: skip

    @classmethod
    def suggest(cls, trial: BaseTrial) -> dict[str, Any]:
        """As White et al. 2021 and Zela et al. 2022 draw them, in the range that small archives bear."""
        return {
            "max_depth": trial.suggest_int("max_depth", 2, 12),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.1, 1.0),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "min_child_weight": trial.suggest_float("min_child_weight", 1, 40, log=True),
            "reg_lambda": trial.suggest_float("reg_lambda", 0.01, 50, log=True),
        }

    def _fit_member(self, x: FloatArray, y: FloatArray, seed: int) -> Any:
        xgboost, settings = self._package(), dict(self.settings)
        rounds = settings.pop("rounds")
        return xgboost.train({**settings, "seed": seed, "nthread": 1}, xgboost.DMatrix(x, y, nthread=1), rounds)

    def _predict_member(self, member: Any, x: FloatArray) -> FloatArray:
        return np.asarray(member.predict(self._package().DMatrix(x, nthread=1)), dtype=np.float64)

    def _write_member(self, member: Any, folder: Path, number: int) -> Path:
        return self._write(folder, number, member.save_raw("json").decode())

    def _read_member(self, folder: Path, number: int) -> Any:
        xgboost, text = self._package(), self._read(folder, number)
        booster = xgboost.Booster({"nthread": 1})
        try:
            json.loads(text)
            booster.load_model(bytearray(text.encode()))
        except (ValueError, xgboost.core.XGBoostError) as error:
            raise ValueError(f"{self._path(folder, number)}: expected a model of XGBoost, but {error}") from None
        return booster


class LightGBMEnsemble(_Trees):
    """LightGBM."""

    kind, package = "lgb", "lightgbm"
    defaults: ClassVar[dict[str, Any]] = {
        "rounds": 300, "num_leaves": 31, "learning_rate": 0.05, "feature_fraction": 0.3, "bagging_fraction": 0.8,
        "bagging_freq": 1, "min_data_in_leaf": 5, "lambda_l2": 1.0,
    }  # fmt: skip

    @classmethod
    def suggest(cls, trial: BaseTrial) -> dict[str, Any]:
        """Likewise."""
        return {
            "num_leaves": trial.suggest_int("num_leaves", 4, 64, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.1, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 1, 40, log=True),
            "lambda_l2": trial.suggest_float("lambda_l2", 0.01, 150, log=True),
        }

    def _fit_member(self, x: FloatArray, y: FloatArray, seed: int) -> Any:
        lightgbm, settings = self._package(), dict(self.settings)
        rounds = settings.pop("rounds")
        fixed = {"seed": seed, "num_threads": 1, "verbose": -1, "deterministic": True, "force_row_wise": True}
        return lightgbm.train({**settings, **fixed}, lightgbm.Dataset(x, y), rounds)

    def _predict_member(self, member: Any, x: FloatArray) -> FloatArray:
        return np.asarray(member.predict(x, num_threads=1), dtype=np.float64)

    def _write_member(self, member: Any, folder: Path, number: int) -> Path:
        return self._write(folder, number, member.model_to_string())

    def _read_member(self, folder: Path, number: int) -> Any:
        lightgbm, text = self._package(), self._read(folder, number)
        if not text.startswith("tree\n"):
            raise ValueError(f"{self._path(folder, number)}: expected a model of LightGBM, but got {text[:20]!r}")
        return lightgbm.Booster(model_str=text)


class GraphEnsemble(Ensemble):
    """Graph convolutional networks."""

    kind = "gnn"
    defaults: ClassVar[dict[str, Any]] = {
        "width": 64, "layers": 3, "learning_rate": 3e-3, "epochs": 100, "batch_size": 64, "weight_decay": 1e-4,
    }  # fmt: skip

    @classmethod
    def suggest(cls, trial: BaseTrial) -> dict[str, Any]:
        """Sizes, rates and epochs."""
        return {
            "width": trial.suggest_int("width", 16, 128, log=True),
            "layers": trial.suggest_int("layers", 2, 6),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
            "epochs": trial.suggest_int("epochs", 30, 200, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        }

    def _inputs(self, cells: CellArrays) -> torch.Tensor:
        return GraphNetworkPredictor(self.space).inputs(cells)

    def _network(self) -> nn.Module:
        one = self.settings
        parts = len(self.space.cell_names)
        return GraphConvolutions(
            len(self.space.vocabulary), parts, one["layers"], one["width"], one["width"], global_vertex=True
        )

    def _loss(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (predicted - target).square().mean()

    def _fit_member(self, x: torch.Tensor, y: FloatArray, seed: int) -> nn.Module:
        one, target = self.settings, torch.from_numpy(y).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._network()
            schedule = Schedule(
                one["epochs"], one["batch_size"], one["learning_rate"], weight_decay=one["weight_decay"], cosine=True
            )

            def loss(rows: torch.Tensor) -> torch.Tensor:
                return self._loss(network(x[rows]), target[rows])

            minimise(network, len(x), loss, schedule, torch.Generator().manual_seed(seed))
        return network

    def _predict_member(self, member: nn.Module, x: torch.Tensor) -> FloatArray:
        with torch.no_grad():
            found: FloatArray = member(x).double().numpy()
        return found

    def _write_member(self, member: nn.Module, folder: Path, number: int) -> Path:
        path = folder / f"member-{number}.safetensors"
        save_file(member.state_dict(), path)
        return path

    def _read_member(self, folder: Path, number: int) -> nn.Module:
        path, network = folder / f"member-{number}.safetensors", self._network()
        try:
            network.load_state_dict(load_file(path))
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: expected weights of a graph network, but {error}") from None
        return network.eval()


class IsomorphismEnsemble(GraphEnsemble):
    """Graph isomorphism networks fitted by absolute errors and by pairs in the wrong order, as NAS-Bench-301's."""

    kind = "gin"
    defaults: ClassVar[dict[str, Any]] = {
        "width": 32, "layers": 4, "learning_rate": 3e-3, "epochs": 128, "batch_size": 51, "weight_decay": 1e-4,
        "dropout": 0.035, "margin": 0.1,
    }  # fmt: skip

    @classmethod
    def suggest(cls, trial: BaseTrial) -> dict[str, Any]:
        """Likewise, and the dropout."""
        return super().suggest(trial) | {"dropout": trial.suggest_float("dropout", 0.0, 0.2)}

    def _network(self) -> nn.Module:
        one, parts = self.settings, len(self.space.cell_names)
        return GraphIsomorphisms(len(self.space.vocabulary), parts, one["layers"], one["width"], one["dropout"])

    def _loss(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        better = target[:, None] > target
        gaps = (self.settings["margin"] - (predicted[:, None] - predicted))[better]
        order = gaps.relu().mean() if len(gaps) else predicted.new_zeros(())
        return (predicted - target).abs().mean() + order
