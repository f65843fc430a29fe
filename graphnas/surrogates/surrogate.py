"""A surrogate benchmark: an ensemble fitted to trainings that answers as if it trained (Zela et al. 2022)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Architecture, CellArrays, IntArray
from graphnas.content import content_folder
from graphnas.evaluate import EvaluationFailed, Result
from graphnas.evaluate.protocol import Report
from graphnas.predictors.normal_scored import NormalScale
from graphnas.predictors.protocol import FloatArray, Prediction
from graphnas.spaces import Space
from graphnas.surrogates.archive import Archive
from graphnas.surrogates.ensemble import Ensemble
from graphnas.surrogates.kinds import ENSEMBLES

FORMAT = 3
"""Of a surrogate's folder; a reader refuses others."""
CONFIG = "surrogate.json"
"""File of a surrogate's folder that says what the other files are."""

_PACKAGES = {"xgb": "xgboost-cpu", "lgb": "lightgbm", "gin": "torch-geometric", "gnn": "torch", "latent-gp": "botorch"}


@dataclass(frozen=True)
class Surrogate:
    """Predicts what a training would have given, with its noise.

    The standard deviation of a prediction is that of the members, and the noise of a training that of the archive's
    trainings around the surrogate where it was tested.
    """

    space: Space
    ensemble: Ensemble
    seconds: Ensemble | None
    """Predicts logarithms of the seconds of a training; None where the archive knows none."""
    noise: float
    """Standard deviation of one training around the prediction, but for trainings that fail (`usual_noise`)."""
    spread: float
    """Deviation of the members that 99 of 100 architectures like those of the archive do not exceed."""
    counts: tuple[tuple[int, int], ...]
    """For each label of the vocabulary, the fewest and the most vertices that an architecture of the archive has of
    it."""
    about: dict[str, Any]
    """How it was made and how good it is: archive, metrics, versions."""

    def predict(self, architectures: Sequence[Architecture] | CellArrays) -> Prediction:
        """Means, and standard deviations of the members, of `n` architectures."""
        cells = architectures if isinstance(architectures, CellArrays) else self.space.to_arrays(architectures)
        each = self.ensemble.predict(cells)
        return Prediction(each.mean(0), each.std(0))

    def familiar(self, architectures: Sequence[Architecture] | CellArrays, prediction: Prediction) -> NDArray[np.bool_]:
        """Whether `n` predictions are of architectures like those of the archive.

        These have no operation more often, or less often, than any of the archive has it, and the members agree on them
        as they do on those that were held out.
        """
        cells = architectures if isinstance(architectures, CellArrays) else self.space.to_arrays(architectures)
        fewest, most = np.array(self.counts).T
        counts = operation_counts(self.space, cells)
        inside: NDArray[np.bool_] = ((counts >= fewest) & (counts <= most)).all(1)
        return inside & (prediction.std <= self.spread)

    def predict_seconds(self, architectures: Sequence[Architecture] | CellArrays) -> FloatArray | None:
        """Seconds of training of `n` architectures; None if nothing is known of them."""
        if self.seconds is None:
            return None
        cells = architectures if isinstance(architectures, CellArrays) else self.space.to_arrays(architectures)
        seconds: FloatArray = np.exp(self.seconds.predict(cells).mean(0))
        return seconds

    def save(self, folder: str | Path) -> None:
        """Write the surrogate into a folder, made if it is missing; its configuration comes last."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)
        parts = {"values": self.ensemble} | ({} if self.seconds is None else {"seconds": self.seconds})
        written: dict[str, Any] = {}
        for name, ensemble in parts.items():
            place = folder / name
            place.mkdir(exist_ok=True)
            for old in place.glob("member-*"):
                old.unlink()
            written[name] = {
                "kind": ensemble.kind,
                "encodings": list(ensemble.encodings),
                "settings": ensemble.settings,
                "scale": ensemble.scale.to_dict(),
                "files": {
                    f"{name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
                    for path in ensemble.write(place)
                },
            }
        config = {
            "format": FORMAT,
            "space": self.space.name,
            "vocabulary": list(self.space.vocabulary),
            "noise": self.noise,
            "spread": self.spread,
            "counts": [list(pair) for pair in self.counts],
            "parts": written,
            "about": dict(self.about),
        }
        text = json.dumps({**config, "sha256": _digest(config)}, indent=1, allow_nan=False)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, name_or_path: str | Path, *, space: Space | None = None) -> Self:
        """A surrogate that comes with the library, by name, or one of one's own, by folder.

        Args:
            name_or_path: Such as `surrogate-darts`, or a folder that `save` wrote.
            space: Its space, where that is a file of one's own.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: naming the field that is not as it should be, or the file that was altered.
        """
        folder = Path(name_or_path)
        if not (folder / CONFIG).is_file():
            folder = content_folder("spaces") / "benchmarks" / str(name_or_path)
        path = folder / CONFIG
        if not path.is_file():
            raise FileNotFoundError(f"{name_or_path} is neither a folder with a {CONFIG} nor a surrogate that is known")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            form, digest, name = config["format"], config.pop("sha256", None), config["space"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: expected a surrogate's configuration, but {error!r}") from None
        if form != FORMAT:
            raise ValueError(f"{path}: format: expected {FORMAT}, but got {form!r}")
        try:
            expected = _digest(config)
        except ValueError:
            raise ValueError(f"{path}: expected finite numbers") from None
        if digest != expected:
            raise ValueError(f"{path}: sha256: expected {expected}, but got {digest!r}: the file was altered")
        try:
            return cls._from_config(config, folder, space or Space.load(name))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: expected a surrogate's configuration, but {error!r}") from None

    @classmethod
    def _from_config(cls, config: Mapping[str, Any], folder: Path, space: Space) -> Self:
        path, name = folder / CONFIG, config["space"]
        if (space.name, list(space.vocabulary)) != (name, config["vocabulary"]):
            raise ValueError(f"{path}: vocabulary: expected that of {space.name}, but got {config['vocabulary']}")
        parts = {}
        for part, one in config["parts"].items():
            if one["kind"] not in ENSEMBLES:
                raise ValueError(f"{path}: kind: expected one of {', '.join(ENSEMBLES)}, but got {one['kind']!r}")
            encodings = list(ENSEMBLES[one["kind"]].encodings)
            if one["encodings"] != encodings:
                raise ValueError(f"{path}: encodings: expected {encodings}, but got {one['encodings']}")
            for file, digest in one["files"].items():
                if not (folder / file).is_file() or hashlib.sha256((folder / file).read_bytes()).hexdigest() != digest:
                    raise ValueError(f"{folder / file}: missing, or not the file that {CONFIG} was written with")
            ensemble = ENSEMBLES[one["kind"]](space, one["settings"])
            parts[part] = ensemble.read(folder / part, len(one["files"]), NormalScale.from_dict(one["scale"]))
        counts = tuple((int(fewest), int(most)) for fewest, most in config["counts"])
        return cls(
            space, parts["values"], parts.get("seconds"), config["noise"], config["spread"], counts, config["about"]
        )


def fit_surrogate(
    archive: Archive,
    *,
    kind: str = "xgb",
    members: int = 10,
    settings: Mapping[str, Any] | None = None,
    noise: float | None = None,
    spread: float | None = None,
    seed: int = 0,
) -> Surrogate:
    """Fit a surrogate to an archive.

    Args:
        archive: Trainings.
        kind: One of `ENSEMBLES`.
        members: Of the ensemble.
        settings: Hyperparameters of a member; the kind's own for what they do not say.
        noise: How far off one training is (`usual_noise`), as measured on trainings that were not fitted to; on the
            archive if None, which is too little.
        spread: Largest usual deviation of the members, as measured likewise; that on the archive if None.
        seed: Of the members.

    Raises:
        ImportError: naming the package that is missing.
        ValueError: if there is no such kind, or there are fewer than two members, which could not disagree.
    """
    if kind not in ENSEMBLES:
        raise ValueError(f"Expected kind to be one of {', '.join(ENSEMBLES)}, but got {kind!r}")
    if members < 2:
        raise ValueError(f"Expected members to be at least 2, but got {members}")
    ensemble = ENSEMBLES[kind](archive.space, dict(settings or {}))
    ensemble.fit(archive.cells, archive.values, members=members, seed=seed)
    known = np.flatnonzero(np.isfinite(archive.seconds) & (archive.seconds > 0))
    seconds = None
    if len(known) > 1:
        some = archive.take(known)
        seconds = ENSEMBLES[kind](archive.space).fit(some.cells, np.log(some.seconds), members=1, seed=seed)
    if noise is None or spread is None:
        each = ensemble.predict(archive.cells)
        noise = usual_noise(archive.values - each.mean(0)) if noise is None else noise
        spread = usual_spread(each.std(0)) if spread is None else spread
    about = {
        "archive": {"trainings": len(archive), "digest": archive.digest(), "samplers": sorted(set(archive.samplers))},
        "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in ("graphnas", _PACKAGES[kind])},
    }
    counts = operation_counts(archive.space, archive.cells)
    ranges = tuple(zip(counts.min(0).tolist(), counts.max(0).tolist(), strict=True))
    return Surrogate(archive.space, ensemble, seconds, noise, spread, ranges, about)


def operation_counts(space: Space, cells: CellArrays) -> IntArray:
    """`n x v`: how many vertices of each label of the vocabulary `n` architectures have, without what says nothing."""
    ops = space.topology.simplify(cells).ops
    of_cells = np.stack([(ops == code).sum(1) for code in range(len(space.vocabulary))], axis=1)
    counts: IntArray = of_cells.reshape(-1, len(space.cell_names), of_cells.shape[1]).sum(1)
    return counts


def _digest(config: Mapping[str, Any]) -> str:
    """64 hex digits of a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, allow_nan=False).encode()).hexdigest()


def usual_noise(errors: FloatArray) -> float:
    """Standard deviation of normal errors that has as many within it as `n` errors have.

    Failed trainings, of which a few may be far off, do not make all others noisy.
    """
    low, high = np.quantile(errors, [0.1587, 0.8413])
    return float(high - low) / 2


def usual_spread(std: FloatArray) -> float:
    """What 99 of 100 deviations do not exceed."""
    return float(np.quantile(std, 0.99))


class SurrogateEvaluator:
    """Asks a surrogate instead of training.

    It warns once of an architecture that is not `familiar`.

    Args:
        surrogate: The surrogate.
        noisy: Whether a value has the noise of one training: a draw that belongs to architecture and seed.
        name: What stands in results.
    """

    def __init__(self, surrogate: Surrogate, *, noisy: bool = False, name: str = "surrogate") -> None:
        self.surrogate, self.noisy, self.name = surrogate, noisy, name
        self._warned = False

    @property
    def label(self) -> str:
        """What a value is, for people."""
        return "surrogate's value"

    def evaluate(
        self,
        architecture: Architecture,
        *,
        budget: int | None = None,
        seed: int = 0,
        hyperparameters: Mapping[str, Any] | None = None,
        report: Report | None = None,
        folder: str | Path | None = None,
        until: int | None = None,
    ) -> Result:
        """What a training of an architecture would give.

        Args:
            architecture: An architecture of the surrogate's space.
            budget: Must be None: it knows whole trainings.
            seed: Of the noise.
            hyperparameters: Must be None or empty.
            report: Called once, with 1 and the value.
            folder: Not used.
            until: Must be None.

        Raises:
            EvaluationFailed: if the architecture is not of the space.
            ValueError: if a budget or hyperparameters are given.
        """
        del folder
        if budget is not None or until is not None or hyperparameters:
            raise ValueError("A surrogate knows whole trainings: expected no budget, no until and no hyperparameters")
        start, space = time.perf_counter(), self.surrogate.space
        try:
            space.validate(architecture)
        except ValueError as error:
            raise EvaluationFailed(f"not an architecture of {space.name}: {error}") from error
        predicted = self.surrogate.predict([architecture])
        value, familiar = float(predicted.mean[0]), bool(self.surrogate.familiar([architecture], predicted)[0])
        if not familiar and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name} guesses: an architecture is unlike those that it learned from, or its members disagree "
                f"by more than {self.surrogate.spread:.2g} (the metric familiar tells which)",
                stacklevel=2,
            )
        if self.noisy:
            words = np.frombuffer(bytes.fromhex(space.hash(architecture)), dtype=np.uint32)
            value += self.surrogate.noise * float(np.random.default_rng((*words.tolist(), seed)).standard_normal())
        seconds = self.surrogate.predict_seconds([architecture])
        if report is not None:
            report(1, {"value": value})
        return Result(
            value=value,
            metrics={
                "predicted": float(predicted.mean[0]),
                "std": float(predicted.std[0]),
                "familiar": float(familiar),
            },
            seconds=time.perf_counter() - start,
            cost=None if seconds is None else float(seconds[0]),
            seed=seed,
            evaluator=self.name,
        )
