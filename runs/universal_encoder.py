"""One encoder for the cells of all spaces: its training, what it keeps of each space, and what carries over.

`train` fits the universal autoencoder to NAS-Bench-101, NAS-Bench-201, DARTS, ENAS and random graphs of up to 24
vertices; architectures that each space's own encoder was not fitted to are kept apart here too. `measure` compares it
with these encoders: reconstruction of 1,000 held-out architectures, and how well others are ranked from 100 or 1,000
accuracies, by a plain Gaussian process and by the predictor `latent-gp`. `transfer` learns the labels of one space and
ranks the cells of another with none, 16 and 64 labels of its own, by the universal latent and by hand-made encodings of
the same universal cells. `card` writes README.md of the encoder from what was measured.

    python runs/universal_encoder.py train --minutes 90
    python runs/universal_encoder.py measure --seeds 5
    python runs/universal_encoder.py transfer --seeds 3
    python runs/universal_encoder.py card
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from records import Record
from rich.console import Console
from scipy.stats import spearmanr

from graphnas import studies
from graphnas.analysis import training_split
from graphnas.analysis.labels import labelled_cells
from graphnas.analysis.latent_smoothness import latent_means
from graphnas.analysis.ranking import gp_ranking, label_draws
from graphnas.analysis.transfer import SourceModel, predict_transferred
from graphnas.cell import Architecture, CellArrays
from graphnas.encoders import CellAutoencoder
from graphnas.encoders.features import one_hot, varying
from graphnas.encoders.fitting import reconstruction
from graphnas.encoders.statistics import graph_statistics, operation_statistics, path_sketch
from graphnas.encoders.universal_fitting import Part, fit_universal
from graphnas.evaluate import open_table
from graphnas.networks import log_costs
from graphnas.predictors import make_predictor
from graphnas.report import loss_curve
from graphnas.spaces import Space
from graphnas.spaces.universal import MOST_VERTICES, UNIVERSAL, any_space, computed, random_graphs, universal_arrays

FloatArray = NDArray[np.float64]

BATCHES = {"nasbench101": 256, "nasbench201": 128, "darts": 192, "enas": 192}
GRAPHS, GRAPH_BATCH = 50_000, 64
MEASURED = 1_000  # architectures that are reconstructed
LABELS = (100, 1_000)
RANKED = ("nasbench101", "nasbench201", "enas")

SOURCE_LABELS, TARGET_LABELS = 500, (0, 16, 64)
TESTED = 1_000  # cells of the target that are ranked at most
DOMAINS = {
    "nasbench101": "test_acc_run0",
    "nasbench201": "c10_val_200",
    "enas": "acc",
    "darts": "valid_acc50",
    "digits101": "validation_accuracy",
}


def train(args: argparse.Namespace, screen: Console) -> None:
    """Fit and write the encoder."""
    minutes, threads, seed, out = args.minutes, args.threads, args.seed, args.encoder
    torch.set_num_threads(threads)
    began = time.process_time()
    parts = []
    for name, batch in BATCHES.items():
        space = Space.load(name)
        split = training_split(space)
        kept = space.take(split.held_out, np.arange(min(200, split.held_out.n // len(space.cell_names))))
        canonical = space.topology.canonical(split.train)
        parts.append(Part(space, canonical, batch, targets=log_costs(space, split.train), validation=kept))
    graphs = any_space()
    drawn = random_graphs(graphs, GRAPHS + 200, np.random.default_rng(seed))
    parts.append(
        Part(
            graphs,
            drawn.take(slice(200, None)),
            GRAPH_BATCH,
            validation=drawn.take(slice(0, 200)),
            weight=args.graph_weight,
        )
    )
    model = (
        CellAutoencoder.for_space(graphs, kind="universal", seed=seed)
        if args.start is None
        else CellAutoencoder.from_pretrained(args.start)
    )
    history = fit_universal(
        model,
        parts,
        seed=seed,
        minutes=minutes,
        steps=10**9,
        checkpoint=Path("results") / out.name,
        progress=lambda row: screen.print({key: round(value, 3) for key, value in row.items()}),
    )
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "space": graphs.name,
        "model": model.kind,
        "latent_dim": model.cell_dim,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "cells": sum(part.arrays.n for part in parts),
        "seed": seed,
        "steps": int(history[-1]["step"]),
        "settings": {
            "minutes": minutes,
            "threads": threads,
            "batches": {**BATCHES, graphs.name: GRAPH_BATCH},
            "graph_weight": args.graph_weight,
            "start": None if args.start is None else str(args.start),
        },
        "cpu_seconds": time.process_time() - began,
        "environment": studies.environment(seed),
        "history": history[:: max(len(history) // 100, 1)],
    }
    studies.write_text(out / "metrics.json", json.dumps(record, indent=1) + "\n")
    studies.write_text(out / "loss.svg", loss_curve(record["history"]))
    model.save_pretrained(out)


def measure(encoder: Path, seeds: int, out: Path, screen: Console) -> None:
    """The universal encoder beside those of each space."""
    names = {"own": "the space's own encoder", "universal": "the universal encoder"}
    columns = {"reconstruction": "reconstruction"}
    columns |= {f"spearman_{n}": f"Spearman, plain process, {n:,} labels" for n in LABELS}
    columns |= {f"latent_gp_{n}": f"Spearman, latent-gp, {n:,} labels" for n in LABELS}
    rows = {f"{space}, {kind}": f"{space}: {about}" for space in BATCHES for kind, about in names.items()}
    record = Record(
        out,
        name="universal_encoder",
        figure="The universal encoder and each space's own",
        settings={"labels": list(LABELS), "reconstructed": MEASURED},
        columns=columns,
        rows={**rows, "universal, universal": f"random graphs of up to {MOST_VERTICES} vertices"},
    )
    for name in BATCHES:
        space = Space.load(name)
        held_out = training_split(space).held_out
        known = labelled_cells(space, held_out) if name in RANKED else None
        for kind in names:
            row = f"{name}, {kind}"
            if record.seeds(row) >= seeds:
                continue
            model = CellAutoencoder.from_pretrained(name if kind == "own" else encoder, space=space)
            count = min(MEASURED, held_out.n // len(space.cell_names))
            rebuilt = reconstruction(model, space.take(held_out, np.arange(count)))
            points = None if known is None else latent_means(model)(model.arrays(known.cells))
            for seed in range(record.seeds(row), seeds if known is not None else 1):
                began = time.process_time()
                found = {"reconstruction": rebuilt}
                if known is not None and points is not None:
                    for n, (draw,) in label_draws(known.rows, LABELS, [seed], test=known.test).items():
                        scores = gp_ranking(points, known.labels, draw.train, draw.test, seed=seed)
                        found[f"spearman_{n}"] = scores["spearman"]
                        predictor = make_predictor("latent-gp", space, encoder=model, seed=seed)
                        predictor.fit(known.cells.take(draw.train), known.labels[draw.train])
                        mean = predictor.predict(known.cells.take(draw.test)).mean
                        found[f"latent_gp_{n}"] = float(spearmanr(mean, known.labels[draw.test]).statistic)
                record.add(row, found, time.process_time() - began)
                screen.print(row, seed, found)
    if not record.seeds("universal, universal"):
        graphs = any_space()
        # The first 200 of the seed are those that the training kept apart; another seed shares none of them.
        drawn = random_graphs(graphs, MEASURED, np.random.default_rng(1))
        began = time.process_time()
        model = CellAutoencoder.from_pretrained(encoder)
        record.add(
            "universal, universal", {"reconstruction": reconstruction(model, drawn)}, time.process_time() - began
        )
    record.show()


def card(encoder: Path, measured: Path) -> None:
    """Write what was measured into the encoder's folder: the record's quality, and README.md."""
    rows = json.loads(measured.read_text())["rows"]

    def mean(row: str, measure: str) -> float | None:
        found = rows[row]["results"].get(measure)
        return None if found is None else found["mean"]

    def field(name: str, measure: str, digits: int) -> str:
        pair = [mean(f"{name}, {kind}", measure) for kind in ("universal", "own")]
        return " | ".join("" if one is None else f"{one:.{digits}f}" for one in pair)

    lines = [
        f"| {name} | {field(name, 'reconstruction', 4)} | "
        + " | ".join(field(name, measure, 3) for measure in (*(f"latent_gp_{n}" for n in LABELS), "spearman_1000"))
        + " |"
        for name in BATCHES
    ]
    rebuilt = {name: mean(f"{name}, universal", "reconstruction") or 0.0 for name in (*BATCHES, "universal")}
    path = encoder / "metrics.json"
    record = json.loads(path.read_text())
    record["quality"] = {"reconstruction": float(np.mean([rebuilt[name] for name in BATCHES]))} | {
        f"reconstruction_{name}": value for name, value in rebuilt.items()
    }
    studies.write_text(path, json.dumps(record, indent=1) + "\n")
    text = CARD.format(
        dimensions=record["latent_dim"],
        parameters=record["parameters"],
        cells=record["cells"],
        command=shlex.join(["python", "runs/universal_encoder.py", *record["environment"]["command"][1:]]),
        steps=record["steps"],
        seed=record["seed"],
        most=MOST_VERTICES,
        measured=MEASURED,
        lines="\n".join(lines),
        graphs=rebuilt["universal"],
        graph_weight=record["settings"]["graph_weight"],
    )
    studies.write_text(encoder / "README.md", text)


CARD = """# Encoder of all spaces

A variational graph autoencoder between cells of any space, or of any network, and a latent space of {dimensions}
dimensions a cell: a graph encoder over the labels of all spaces (convolutions by kind and size, pools, sums, attention
and so on), and a decoder that derives cells under the exact masks of whichever space it is asked for, so that every
decoding is legal. It has {parameters:,} parameters and was fitted to {cells:,} cells without any accuracy: those of
NAS-Bench-101, NAS-Bench-201, DARTS and ENAS, and random graphs of up to {most} vertices.

## Recipe

```
{command}
```

{steps:,} steps with seed {seed} on one thread of a CPU, each with cells of every space; the loss of random graphs
weighs {graph_weight:g}, since it is far larger. `metrics.json` has versions, machine and all settings.

![Loss against the step](loss.svg)

## Measures

On {measured:,} architectures of each space that neither this encoder nor the space's own was fitted to: how many come
back, and how well others are ranked from 100 or 1,000 accuracies by `latent-gp`, and from 1,000 by a plain Gaussian
process (Spearman, mean over seeds).

| space | back | own encoder | 100 labels | own encoder | 1,000 labels | own encoder | plain process | own encoder |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{lines}

Of random graphs of up to {most} vertices {graphs:.3f} come back. Deviations, and what the labels of one space tell
of another, are in `runs/RESULTS.md` (`universal_encoder`, `universal_transfer`).

## Use

```python
from graphnas.encoders import CellAutoencoder
from graphnas.spaces import Space

model = CellAutoencoder.from_pretrained("universal")
darts = model.bound_to(Space.load("darts"))  # encodes and decodes architectures of this space
```

```
graphnas embed resnet.py:resnet18 model.onnx genotypes.json --encoder universal
graphnas map table --encoder universal:nasbench201
```

## Limits

Searches were measured with each space's own encoder, not with this one. Kinds of vertices that no label stands for
count as `other`. Cells of more than {most} vertices compute, but were not fitted. It knows nothing of accuracies.

## Licence

MIT, as the library.
"""


def domain(name: str) -> tuple[Space, list[Architecture], FloatArray]:
    """Up to 2,000 labelled architectures of a space, the same for every seed."""
    space, table = Space.load(name, **({"exclude": []} if name == "darts" else {})), open_table(name)
    values = table.column(DOMAINS[name]).astype(np.float64)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(np.isfinite(values)))[:2_000]
    return space, table.architectures(rows.tolist()), np.maximum(values[rows], 0.8 if name == "nasbench101" else 0.0)


def means(points: FloatArray, architectures: int, cells: int) -> FloatArray:
    """`n x d` means over the cells of each architecture."""
    result: FloatArray = points.reshape(architectures, cells, -1).mean(1)
    return result


def encodings(encoder: Path) -> dict[str, Callable[[Space, list[Architecture]], FloatArray]]:
    """Architectures of any space to points that all spaces share; those of several cells are means over these."""
    shared = CellAutoencoder.from_pretrained(encoder)

    def latent(space: Space, architectures: list[Architecture]) -> FloatArray:
        mu: FloatArray = shared.bound_to(space).encode(architectures)[0].double().numpy()
        return means(mu, len(architectures), len(space.cell_names))

    def of_cells(features: Callable[[CellArrays], FloatArray]) -> Callable[[Space, list[Architecture]], FloatArray]:
        def encoding(space: Space, architectures: list[Architecture]) -> FloatArray:
            cells = universal_arrays(space, space.topology.canonical(space.to_arrays(architectures)))
            points = features(computed(cells).padded(MOST_VERTICES + 1))
            return means(points, len(architectures), len(space.cell_names))

        return encoding

    return {
        "universal latent": latent,
        "adjacency": of_cells(lambda cells: one_hot(cells, UNIVERSAL)),
        "paths": of_cells(lambda cells: path_sketch(cells, UNIVERSAL)),
        "statistics": of_cells(
            lambda cells: np.column_stack([graph_statistics(cells, UNIVERSAL), operation_statistics(cells, UNIVERSAL)])
        ),
    }


def common_scale(points: Mapping[str, FloatArray], standardised: bool) -> dict[str, FloatArray]:
    """Columns that vary in any space, of one unit each if they have different ones."""
    joined = varying(np.concatenate(list(points.values())))
    if standardised:
        joined = (joined - joined.mean(0)) / joined.std(0)
    ends = np.cumsum([len(one) for one in points.values()])[:-1]
    return dict(zip(points, np.split(joined, ends), strict=True))


def rank_correlation(predicted: FloatArray, values: FloatArray) -> float:
    """Spearman's correlation; 0 of predictions that are all the same, which say nothing."""
    return float(spearmanr(predicted, values).statistic) if np.ptp(predicted) > 0 else 0.0


def transfer(encoder: Path, seeds: int, out: Path, screen: Console) -> None:
    """All pairs of spaces."""
    found = {name: domain(name) for name in DOMAINS}
    kinds = encodings(encoder)
    pairs = [(source, target) for target in DOMAINS for source in (*DOMAINS, "nothing") if source != target]
    record = Record(
        out,
        name="universal_transfer",
        figure="Spearman on cells of one space, from labels of another",
        settings={"source_labels": SOURCE_LABELS, "tested": TESTED},
        columns={f"spearman_{n}": f"{n} labels of its own" for n in TARGET_LABELS},
        rows={
            f"{source} to {target}, {kind}": f"{source} to {target}, by {kind}"
            for source, target in pairs
            for kind in kinds
        },
    )
    for kind, encode in kinds.items():
        points = common_scale(
            {name: encode(space, cells) for name, (space, cells, _) in found.items()}, kind == "statistics"
        )
        for seed in range(seeds):
            models: dict[str, SourceModel] = {}
            for source, target in pairs:
                row = f"{source} to {target}, {kind}"
                if record.seeds(row) > seed:
                    continue
                began = time.process_time()
                x, y = points[target], found[target][2]
                order = np.random.default_rng((seed, 1)).permutation(len(y))
                test = order[max(TARGET_LABELS) :][:TESTED]
                known = None
                if source != "nothing":
                    if source not in models:
                        taken = np.random.default_rng((seed, 0)).permutation(len(points[source]))[:SOURCE_LABELS]
                        models[source] = SourceModel(points[source][taken], found[source][2][taken], seed=seed)
                    known = models[source].predict(x)
                measured = {
                    f"spearman_{n}": rank_correlation(predict_transferred(known, x, y, order[:n], test), y[test])
                    for n in TARGET_LABELS
                    if n or known is not None
                }
                record.add(row, measured, time.process_time() - began)
                screen.print(row, seed, {key: round(value, 3) for key, value in measured.items()})
    record.show()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("train", "measure", "transfer", "card"))
    parser.add_argument("--minutes", type=float, default=90, help="CPU minutes of the training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--start", type=Path, help="folder of a universal encoder whose training goes on")
    parser.add_argument(
        "--graph-weight",
        type=float,
        default=0.1,
        help="of random graphs' loss, which says far more than fits into a latent: at weight 1 it is most of all",
    )
    parser.add_argument("--encoder", type=Path, default=Path("encoders/universal"))
    parser.add_argument(
        "--out", type=Path, help="runs/results/universal_encoder.json, or universal_transfer.json, if not given"
    )
    args = parser.parse_args()
    screen = Console(stderr=True)
    if args.part == "train":
        train(args, screen)
        return
    if args.part == "card":
        card(args.encoder, args.out or Path("runs/results/universal_encoder.json"))
        return
    torch.set_num_threads(1)
    name = {"measure": "universal_encoder", "transfer": "universal_transfer"}[args.part]
    work = measure if args.part == "measure" else transfer
    work(args.encoder, args.seeds, args.out or Path(f"runs/results/{name}.json"), screen)


if __name__ == "__main__":
    main()
