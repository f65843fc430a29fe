"""All measures of a trained encoder in one record: what it reconstructs, how smooth it is, what follows from it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from graphnas.analysis.labels import LabelledCells, labelled_cells
from graphnas.analysis.latent_smoothness import Encoding, FloatArray, draw_pairs, latent_means
from graphnas.analysis.latent_smoothness import smoothness as measure_smoothness
from graphnas.analysis.ranking import MOST_FITTED, LabelDraw, compare_encodings, label_draws
from graphnas.analysis.split import TrainingSplit
from graphnas.cell import CellArrays
from graphnas.encoders import CellAutoencoder, quality
from graphnas.encoders.features import one_hot, path_features, structure_features, varying
from graphnas.encoders.statistics import structure_targets
from graphnas.evaluate import Table
from graphnas.networks import log_costs
from graphnas.spaces import Space
from graphnas.spaces.edit_distance import has_cell_distance

LATENT = "latent mean"
"""Name of the encoder's own encoding, with which the others are compared."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps of it are done, and how many there are."""

_REPEATS = 3  # seeds of what hardly varies with them


def encoder_report(
    model: CellAutoencoder,
    split: TrainingSplit,
    *,
    seeds: int = 10,
    labels: Sequence[int] | None = None,
    table: Table | None = None,
    fitted_to_labels: bool = False,
    pairs: int = 10_000,
    samples: int = 10_000,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure an encoder; everything but the `ranking` is measured without any accuracy.

    Args:
        model: A fitted autoencoder.
        split: What it was fitted to, and what it was not.
        seeds: Draws of labelled cells; other measures have at most three seeds, and so have large numbers of labels
            (five in ENAS, where a draw is a split of the whole table).
        labels: Numbers of labelled cells; those usual in the space if None.
        table: The space's benchmark table; the one in the data folder if None.
        fitted_to_labels: Whether the encoder has seen performances; then there is no ranking, which would not be fair.
        pairs: Random pairs, and walks, on which smoothness is measured.
        samples: Points drawn from the prior, and architectures timed.
        progress: Told of what takes long.

    Returns:
        `quality` and `smoothness` (see there), each measure with `mean`, `sd` and `by_seed`; `ranking` with the
        `table` of `compare_encodings`; and `architectures_per_second`, of CPU time on a CPU. What could not be
        measured is a record with the reason as `missing`.

    Raises:
        ValueError: if a number of labels or `seeds` is not positive.
    """
    if seeds < 1:
        raise ValueError(f"Expected at least one seed, but got {seeds}")
    if labels is not None and (not labels or min(labels) < 2):
        raise ValueError(f"Expected numbers of two or more labels, but got {list(labels)}")
    tell = progress or _silent
    repeats = range(min(seeds, _REPEATS))
    measured = []
    for seed in repeats:
        tell("quality", seed, len(repeats))
        measured.append(quality(model, split.held_out, train=split.train, seed=seed, prior_samples=samples))
    return {
        "quality": _over_seeds(measured),
        "smoothness": _smoothness(model, split.held_out, repeats, pairs, tell),
        "ranking": {"missing": "the encoder was fitted to labels, the other encodings were not"}
        if fitted_to_labels
        else _ranking(model, split.held_out, seeds, labels, table, tell),
        "architectures_per_second": _speeds(model, split.held_out, samples, tell),
    }


def hand_made_encodings(space: Space) -> dict[str, Encoding]:
    """The encodings that a latent space is compared with, by name.

    Label-free targets are what the default model predicts from its latent; beside them one sees what fitting adds.
    """
    functions: dict[str, Encoding] = {
        "one-hot": lambda cells: varying(one_hot(cells, space.vocabulary)),
        "paths": lambda cells: varying(path_features(cells, space.vocabulary)),
        "one-hot + statistics + paths": lambda cells: structure_features(cells, space.vocabulary),
        "label-free targets": lambda cells: structure_targets(cells, space.vocabulary, log_costs(space, cells)),
    }
    return {name: _joined(function, len(space.cell_names)) for name, function in functions.items()}


def _joined(features: Encoding, parts: int) -> Encoding:
    """Features of cells, those of one architecture beside one another."""

    def encoding(cells: CellArrays) -> FloatArray:
        return features(cells).reshape(cells.n // parts, -1)

    return encoding


def _silent(text: str, done: int, total: int) -> None:
    del text, done, total


def _over_seeds(measured: Sequence[dict[str, float]]) -> dict[str, dict[str, Any]]:
    values = {name: [one[name] for one in measured] for name in measured[0]}
    return {
        name: {
            "mean": statistics.fmean(by_seed),
            "sd": statistics.stdev(by_seed) if len(by_seed) > 1 else None,
            "by_seed": by_seed,
        }
        for name, by_seed in values.items()
    }


def _smoothness(
    model: CellAutoencoder, held_out: CellArrays, seeds: Sequence[int], pairs: int, tell: Progress
) -> dict[str, Any]:
    if not has_cell_distance(model.space.topology):
        return {"missing": f"cells of {model.space.name} are too large for an exact edit distance"}
    encodings = {LATENT: latent_means(model), **hand_made_encodings(model.space)}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in encodings}
    for number, seed in enumerate(seeds):
        tell("smoothness", number, len(seeds))
        drawn = draw_pairs(model.space, held_out, seed=seed, pairs=pairs)
        for name, encoding in encodings.items():
            measured[name].append(measure_smoothness(encoding, drawn))
    return {"pairs": pairs, "encodings": {name: _over_seeds(values) for name, values in measured.items()}}


def _ranking(
    model: CellAutoencoder,
    held_out: CellArrays,
    seeds: int,
    labels: Sequence[int] | None,
    table: Table | None,
    tell: Progress,
) -> dict[str, Any]:
    tell("labels", 0, 1)
    try:
        known = labelled_cells(model.space, held_out, table)
    except (FileNotFoundError, ValueError) as error:
        return {"missing": str(error)}
    wanted = sorted(set(known.counts if labels is None else labels))
    counts = [count for count in wanted if count <= known.most]
    cells = model.arrays(known.cells)
    encodings = {LATENT: latent_means(model), **hand_made_encodings(model.space)}
    rows = compare_encodings(
        {name: encoding(cells) for name, encoding in encodings.items()},
        known.labels,
        {count: _draws(known, count, seeds) for count in counts},
        reference=LATENT,
        progress=lambda text, done, total: tell(f"ranking: {text}", done, total),
    )
    return {
        "labels": known.title,
        "labelled": known.most,
        "tested": len(known.rows) // 10 if known.test is None else len(known.test),
        "too_many": [count for count in wanted if count > known.most],
        "table": rows,
    }


def _draws(known: LabelledCells, count: int, seeds: int) -> list[LabelDraw]:
    number = min(seeds, known.large_draws) if count > MOST_FITTED else seeds
    return label_draws(known.rows, [count], range(number), test=known.test)[count]


def _speeds(model: CellAutoencoder, held_out: CellArrays, timed: int, tell: Progress) -> dict[str, Any]:
    """Architectures a second, medians of three: from arrays to latent means, and from there to architectures."""
    tell("speed", 0, 1)
    number = held_out.n // len(model.space.cell_names)
    cells = model.space.take(held_out, np.arange(timed) % number)
    z = torch.randn(timed, model.latent_dim, generator=torch.Generator().manual_seed(0)).to(model.device)
    on_cpu = model.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    return {
        # What is returned is on the CPU, so that no work of a GPU is still to be done.
        "encode": round(timed / _seconds(clock, lambda: model.encode(cells)[0].cpu())),
        "decode": round(timed / _seconds(clock, lambda: model.decode(z))),
        "clock": "CPU" if on_cpu else "wall-clock",
        "device": model.device.type,
        "threads": torch.get_num_threads(),
    }


def _seconds(clock: Callable[[], float], work: Callable[[], object]) -> float:
    taken = []
    for _ in range(3):
        start = clock()
        work()
        taken.append(clock() - start)
    return statistics.median(taken)
