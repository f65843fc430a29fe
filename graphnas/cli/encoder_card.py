"""What `graphnas train` leaves beside the weights: the card, the record's history and the loss curve."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphnas.spaces import Space

_MODELS = {
    "graph": "a graph encoder (message passing beside a sum over places) and a decoder that derives cells under the "
    "space's exact masks, so that every decoding is legal",
    "universal": "a graph encoder over the labels of all spaces and a decoder that derives cells under the exact masks "
    "of any of them, so that every decoding is legal",
    "svge": "SVGe's encoder and decoder (Lukasik et al. 2020, arXiv 2010.04683), which know no masks: a decoding may "
    "be illegal",
    "dvae": "D-VAE's encoder (Zhang et al. 2019, arXiv 1904.11088) and a decoder that derives cells under the space's "
    "exact masks, so that every decoding is legal",
}


def thinned(history: Sequence[Mapping[str, float]], most: int = 200) -> list[dict[str, float]]:
    """So many rows at most: figures of neighbouring rows are averaged, the counters are those of the last of them.

    Args:
        history: The rows of `graphnas.encoders.fit`.
        most: Number of rows to come to at most.
    """
    rows = []
    number = min(most, len(history))
    for place in range(number):
        group = history[len(history) * place // number : len(history) * (place + 1) // number]
        row = dict(group[-1])
        for name in dict.fromkeys(name for one in group for name in one if name not in ("step", "steps", "done")):
            values = [one[name] for one in group if name in one]
            row[name] = float(f"{sum(values) / len(values):.6g}")
        rows.append(row)
    return rows


def card(space: Space, record: Mapping[str, Any]) -> str:
    """The text of an encoder's README.md, in Markdown.

    Args:
        space: The encoder's space.
        record: What its `metrics.json` holds.
    """
    settings, quality, labels = record["settings"], record["quality"], record["labels"]
    measures = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in quality.items())
    recipe = "\n".join(f"| {name.replace('_', ' ')} | {value} |" for name, value in record["recipe"].items())
    curve = "\n![Loss against the step](loss.svg)\n" if record["history"] else ""
    topology = ", ".join(f"{name} {value}" for name, value in space.topology.settings.items())
    learnt = (
        "without any accuracy"
        if labels is None
        else f"and to the labels of {labels['known']:,} of them, which its performance head predicts"
    )
    share = "" if settings["share"] == 1 else f"; this one was fitted to a share of {settings['share']:g}"
    performance = (
        "It knows nothing of accuracies."
        if labels is None
        else "Its performance head knows the labels it was fitted to and no others: their task, scale and noise."
    )
    return f"""# Encoder of {space.title}

A variational graph autoencoder between cells of `{space.name}` ({space.paper}) and a latent space of \
{record["latent_dim"]} dimensions a cell: {_MODELS[record["model"]]}. It has {record["parameters"]:,} parameters and \
was fitted to {record["cells"]:,} cells {learnt}.

## Recipe

```
{shlex.join(record["environment"]["command"])}
```

{record["steps"]:,} steps on {record["device"]} in {record["precision"]} with seed {record["seed"]}, \
{record["cells_per_second"]:,.0f} cells a second. `metrics.json` has versions, machine and all settings.

| setting | value |
| --- | --- |
{recipe}
{curve}
## Measures

On {record["held_out"]:,} architectures it was not fitted to, up to what the space counts as the same. KL is in nats.

| measure | value |
| --- | --- |
{measures}

## Use

```python
from graphnas.encoders import CellAutoencoder

model = CellAutoencoder.from_pretrained("{space.name}")
```

The name opens the encoder that comes with graphnas; for another, give the path of its folder.

## Limits

It encodes and decodes the operations {", ".join(space.operations)} and no others. The measures hold within the \
limits of its training ({topology}); beyond them it computes, but was not fitted. {performance} Novelty is low where \
nearly the whole space was fitted to{share}.

## Licence

MIT, as the library.
"""
