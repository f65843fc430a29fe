"""Predictors compared under one protocol, that of White et al. 2021 (arXiv 2104.01177, Sec. 3).

A predictor is fitted to so many trained architectures and asked about others, of which it sees the first epochs of a
training, or a score of the untrained network, if it asks for them. What that costs counts in full: initialisation is
the training of the architectures learned from, the fit, and a supernet; a query is the prediction, the epochs that it
looks at and the score.
"""

from __future__ import annotations

import functools
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphnas.bench.lines import whole_lines
from graphnas.bench.network_scores import NetworkScores
from graphnas.bench.prediction_data import PredictionData, prediction_data
from graphnas.bench.prediction_rows import SETTINGS
from graphnas.bench.program import program_digest
from graphnas.encoders import CellAutoencoder, encoder_digest
from graphnas.engines import LocalProcesses
from graphnas.predictors import MEASURES, PREDICTORS, ModelFittingError, Needs, make_predictor, prediction_measures
from graphnas.predictors.protocol import FloatArray

TRAIN_SIZES = (10, 30, 100, 300, 1_000)
"""Numbers of trained architectures that are usual."""

FEWER = {"lce-m": 50}
"""Architectures that slow predictors are asked about at most."""

_COMPARED = ("spaces", "encoders", "predictors", "proxies", "networks", "tasks", "training", "bench")


@dataclass(frozen=True)
class Trial:
    """One predictor, fitted once and asked about all test architectures."""

    data: str
    predictor: str
    train_size: int
    """Trained architectures learned from; 0 where none are needed."""
    epochs: int
    """Epochs of a training that it sees of those it is asked about; 0 where none are needed."""
    seed: int
    test_size: int
    """Architectures asked about, but for predictors of `FEWER`."""
    setting: str
    """One of `SETTINGS`."""
    encoder: str | None
    """Digest of the encoder's weights, of predictors that look at latent means."""
    program: str
    """Digest of the program that predicted."""
    measures: dict[str, float]
    """`MEASURES`."""
    initialisation: float
    """Seconds of the trainings learned from, their scores, a supernet and the fit; trainings of unknown cost count one
    each."""
    query: float
    """Seconds of one prediction, with the epochs seen and the scores."""

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What tells a trial from others."""
        asked = self.test_size, self.setting
        return self.data, self.predictor, self.train_size, self.epochs, self.seed, *asked, self.encoder, self.program


@dataclass(frozen=True)
class Grid:
    """What is compared."""

    predictors: tuple[str, ...]
    train_sizes: tuple[int, ...]
    epochs: tuple[int, ...]
    seeds: tuple[int, ...]
    test: int
    """Architectures that are asked about."""
    setting: str = "random"
    """One of `SETTINGS`."""

    def settings(self, data: PredictionData, needs: Mapping[str, Needs]) -> list[tuple[str, int, int, int]]:
        """Predictor, train size, epochs and seed of all trials; a setting that makes no difference is 0.

        Args:
            data: The architectures.
            needs: What each predictor needs.

        Raises:
            ValueError: if a predictor needs what the data does not have, or there are too few architectures.
        """
        asked = data.train if data.test is None else data.test
        if self.test > len(asked):
            raise ValueError(f"Expected at most {len(asked):,} architectures to ask about, but got {self.test:,}")
        room = len(data.train) if data.test is not None else len(data.train) - self.test
        if any(needs[name].targets for name in self.predictors) and max(self.train_sizes) > room:
            raise ValueError(f"Expected train sizes of at most {room:,}, but got {max(self.train_sizes):,}")
        found = []
        for name in self.predictors:
            for curve in needs[name].curves:
                if curve not in data.curves:
                    raise ValueError(f"{name} needs the curve {curve}, which {data.name} does not have")
            for score in needs[name].scores:
                try:
                    NetworkScores(data, 0).check(score)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
            sizes = self.train_sizes if needs[name].targets else (0,)
            epochs = [e for e in self.epochs if e >= needs[name].fewest_epochs] if needs[name].curves else [0]
            if not epochs:
                least, most = needs[name].fewest_epochs, max(self.epochs)
                raise ValueError(f"{name} needs curves of {least} epochs or more, but got {most} at most")
            found += [(name, size, e, seed) for size in sizes for e in epochs for seed in self.seeds]
        return found


def run_grid(
    data: PredictionData,
    grid: Grid,
    path: Path,
    *,
    encoder: str | None = None,
    processes: int = 1,
    progress: Callable[[Trial, int, int], None] | None = None,
) -> list[Trial]:
    """All trials of a grid that the file does not hold yet; each is written when it is done.

    For one seed, fewer trained architectures are among the more, and all predictors learn from the same and are asked
    about the same.

    Args:
        data: The architectures.
        grid: What is compared.
        path: File of finished trials, one a line.
        encoder: Name or folder of the encoder of predictors that look at latent means; the space's own if None.
        processes: Trials at a time.
        progress: Called with each trial that is done, how many are, and how many there are to do.

    Returns:
        The grid's trials, and after them those of other predictors, sizes, epochs and seeds that the file holds of the
        same data, test size, setting, encoder and program.

    Raises:
        FileNotFoundError: if there is no such encoder.
        ValueError: as `Grid.settings`, or if the file holds what is no trial.
    """
    encoder = encoder or data.space.pretrained
    latent = {name: PREDICTORS[name].latent for name in grid.predictors if name in PREDICTORS}
    loaded = CellAutoencoder.from_pretrained(encoder, space=data.space) if any(latent.values()) else None
    needs = {name: make_predictor(name, data.space, encoder=loaded).needs for name in grid.predictors}
    digest, program = encoder_digest(encoder), program_digest(_COMPARED)
    wanted = {
        (data.name, *setting, grid.test, grid.setting, digest if latent[setting[0]] else None, program): setting
        for setting in grid.settings(data, needs)
    }
    known = {trial.key: trial for trial in read_trials(path)}
    # Seed by seed, so that a worker scores a network once.
    left = sorted(((key, setting) for key, setting in wanted.items() if key not in known), key=lambda job: job[1][3])
    path.parent.mkdir(parents=True, exist_ok=True)
    with LocalProcesses(processes) as pool:
        futures = [
            pool.submit(
                _run, data.name, *setting, grid.test, grid.setting, encoder if latent[setting[0]] else None, key[-2:]
            )
            for key, setting in left
        ]
        for number, future in enumerate(as_completed(futures), start=1):
            trial = future.result()
            known[trial.key] = trial
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(trial) | {"measures": _each_known(trial.measures)}) + "\n")
            if progress is not None:
                progress(trial, number, len(left))
    alike = [
        key
        for key, trial in known.items()
        if (trial.data, trial.test_size, trial.setting) == (data.name, grid.test, grid.setting)
        and trial.encoder in (None, digest)
        and trial.program == program
    ]
    return [known[key] for key in dict.fromkeys([*wanted, *alike])]


@functools.lru_cache(maxsize=1)
def _scores(name: str, seed: int) -> NetworkScores:
    return NetworkScores(prediction_data(name), seed)


@functools.cache
def _encoder(name: str, space: str) -> CellAutoencoder:
    return CellAutoencoder.from_pretrained(name, space=prediction_data(space).space)


def _run(
    source: str,
    name: str,
    size: int,
    epochs: int,
    seed: int,
    test: int,
    setting: str,
    encoder: str | None,
    digests: tuple[str | None, str],
) -> Trial:
    data, scores = prediction_data(source), _scores(source, seed)
    train, asked = SETTINGS[setting](source, size, test, seed)
    asked = asked[: FEWER.get(name, len(asked))]
    placed = None if encoder is None else _encoder(encoder, source)
    predictor = make_predictor(name, data.space, encoder=placed, seed=seed)
    needs = predictor.needs
    initialisation = query = 0.0
    # What makes a model slow or makes warnings is not what is measured.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if needs.targets:
                known = scores.of(needs.scores, train)
                initialisation = float(data.cost(train).sum()) + len(train) * scores.query(needs.scores)
                clock = time.process_time()
                predictor.fit(data.architectures(train), data.targets[train], data.info(train, epochs or None, known))
                initialisation += time.process_time() - clock
            told = scores.of(needs.scores, asked)
            clock = time.process_time()
            mean = predictor.predict(data.architectures(asked), data.info(asked, epochs or None, told)).mean
            query = (time.process_time() - clock) / len(asked) + scores.query(needs.scores)
        except (ModelFittingError, np.linalg.LinAlgError):
            mean = np.full(len(asked), math.nan)
    initialisation += scores.initialisation(needs.scores)
    if epochs and data.epochs is not None:
        query += float(data.cost(asked).mean()) * epochs / data.epochs
    measures = prediction_measures(mean, (data.targets if data.truth is None else data.truth)[asked])
    if len(asked) < test:
        # The best of fewer are easier to find.
        measures |= {name: math.nan for name in measures if name.startswith("precision")}
    if not needs.targets:
        # A score is not in the units of what is predicted.
        measures |= {"rmse": math.nan, "sparse_kendall": math.nan}
    return Trial(data.name, name, size, epochs, seed, test, setting, *digests, measures, initialisation, query)


def read_trials(path: Path) -> list[Trial]:
    """Finished trials of a file; none where there is no file.

    Raises:
        ValueError: naming the file and the line that holds no trial.
    """
    found = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            row = json.loads(line)
            measures = {name: math.nan if value is None else value for name, value in row["measures"].items()}
            found.append(Trial(**row | {"measures": measures}))
        except (ValueError, TypeError, LookupError) as error:
            raise ValueError(
                f"{path}, line {number}: expected a trial of a predictor of this version, but got {error!r}"
            ) from None
    return found


def summarise(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """One row for each predictor, train size and epochs: means over the seeds, and the standard errors of measures.

    A mean that is not defined, and an error of one seed, is None.
    """
    groups: dict[tuple[str, int, int], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.predictor, trial.train_size, trial.epochs), []).append(trial)
    rows = []
    for (name, size, epochs), mine in groups.items():
        values = np.array([[trial.measures[measure] for measure in MEASURES] for trial in mine])
        errors = values.std(0, ddof=1) / math.sqrt(len(mine)) if len(mine) > 1 else np.full(len(MEASURES), math.nan)
        rows.append(
            {
                "predictor": name,
                "train_size": size,
                "epochs": epochs,
                "seeds": len(mine),
                "measures": {
                    measure: _each_known({"mean": float(mean), "standard_error": float(error)})
                    for measure, mean, error in zip(MEASURES, values.mean(0), errors, strict=True)
                },
                "initialisation": float(np.mean([trial.initialisation for trial in mine])),
                "query": float(np.mean([trial.query for trial in mine])),
            }
        )
    return rows


def _each_known(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values of which those that are not finite are None, as JSON has it."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def best_by_budget(
    rows: Sequence[Mapping[str, Any]], initialisation: FloatArray, query: FloatArray, *, measure: str = "kendall"
) -> list[list[tuple[str, float] | None]]:
    """The best predictor that two budgets allow, and what it reaches.

    Args:
        rows: From `summarise`.
        initialisation: Budgets of initialisation in seconds.
        query: Budgets of one query in seconds.
        measure: What is compared, larger is better.

    Returns:
        For each query budget a row, with an entry for each budget of initialisation; None where nothing is
        cheap enough.
    """
    table: list[list[tuple[str, float] | None]] = []
    for most_query in query:
        line: list[tuple[str, float] | None] = []
        for most_initialisation in initialisation:
            allowed = [
                (row["predictor"], row["measures"][measure]["mean"])
                for row in rows
                if row["initialisation"] <= most_initialisation and row["query"] <= most_query
            ]
            line.append(max(allowed, key=lambda pair: pair[1]) if allowed else None)
        table.append(line)
    return table
