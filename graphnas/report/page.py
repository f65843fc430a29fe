"""The report of a search: one HTML file that needs nothing beside itself, `best.json`, `best.svg` and the figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.report.drawing import architecture_svg
from graphnas.report.figures import (
    follow_text_colour,
    incumbent_curve,
    latent_map,
    pareto_front,
    source_colour,
    source_kind,
)
from graphnas.report.study_map import study_map

if TYPE_CHECKING:
    from graphnas.encoders import CellAutoencoder
    from graphnas.spaces import Space

_STYLE = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#1f2733;--soft:#667085;--line:#e3e7ec;--mark:#d1722a}
@media (prefers-color-scheme:dark){:root{--ground:#14181e;--card:#1c222b;--ink:#e6e9ee;--soft:#98a2b3;--line:#2d3540}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .2rem;letter-spacing:-.01em}
h2{font-size:1.12rem;margin:2.6rem 0 .8rem}
p.note{color:var(--soft);margin:.2rem 0 0;max-width:75ch}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem 1.1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:.8rem;margin-top:1.6rem}
.tiles b{display:block;font-size:1.3rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:.86rem}
.cells{display:grid;grid-template-columns:repeat(auto-fill,minmax(290px,1fr));gap:.8rem}
.cells figure{margin:0;display:flex;flex-direction:column;align-items:center}
.cells figcaption{align-self:stretch;font-size:.9rem;margin-bottom:.6rem;display:flex;justify-content:space-between}
.cells figcaption span{color:var(--soft)}
svg{max-width:100%;height:auto;display:block}
.figure{display:flex;justify-content:center}
iframe.map{width:100%;height:min(85vh,680px);border:0}
.scroll{overflow-x:auto;padding:0}
table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.42rem .8rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}
tr:last-child td{border-bottom:0}
th.text,td.text{text-align:left}
td.code{font-family:ui-monospace,"SF Mono",Menlo,Consolas,monospace;font-size:.8rem}
tr.failed td{color:var(--soft)}
td.reason{white-space:normal;min-width:14rem}
tr.best td{font-weight:650}
.dot{display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.45rem}
pre{margin:0;overflow-x:auto;font:.82rem/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace}
th.sorts{cursor:pointer}
th[data-order=down]::after{content:" ↓"}
th[data-order=up]::after{content:" ↑"}
input.filter{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:6px;
padding:.25rem .6rem;min-width:18rem;margin-bottom:.6rem}
details>summary{cursor:pointer;color:var(--soft)}
details pre{margin-top:.8rem}
"""


# Numbers are sorted as such, rows without one last; a click on the same head turns the order around.
_SCRIPT = """
for (const table of document.querySelectorAll("table.trials")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const number = text => parseFloat(text.replaceAll(",", ""));
  heads.forEach((head, column) => {
    head.classList.add("sorts");
    head.onclick = () => {
      const text = head.classList.contains("text"), usual = text ? "up" : "down", other = text ? "down" : "up";
      const order = head.dataset.order === usual ? other : usual, sign = order === "down" ? -1 : 1;
      heads.forEach(one => delete one.dataset.order);
      head.dataset.order = order;
      const value = row => row.cells[column].textContent.trim();
      body.append(...rows.sort((a, b) => {
        if (text) return sign * value(a).localeCompare(value(b), "en", {numeric: true});
        const x = number(value(a)), y = number(value(b));
        return isNaN(x) - isNaN(y) || sign * (x - y) || 0;
      }));
    };
  });
  const filter = document.querySelector("input.filter");
  filter.hidden = false;
  filter.oninput = () => {
    const words = filter.value.toLowerCase().split(/\\s+/);
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  };
}
"""


def compact(architecture: Architecture, *, width: int | None = None) -> str:
    """An architecture as one line of text: operations in order, each with the vertices that feed it.

    Example:
        >>> cell = Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))
        >>> compact(Architecture("nasbench101", (cell,)))
        '1 conv3x3(0) · out(1)'

    Args:
        architecture: Any architecture.
        width: Longest text; a longer one ends in an ellipsis.
    """
    texts = []
    for cell in architecture.cells:
        parts = []
        for vertex, operation in enumerate(cell.ops):
            feeds = ",".join(str(i) for i, j in sorted(cell.edges) if j == vertex)
            if vertex == cell.size - 1:
                parts.append(f"out({feeds})")
            elif not operation.startswith("input"):
                parts.append(f"{vertex} {operation}({feeds})")
        texts.append(" · ".join(parts))
    text = " | ".join(texts)
    return text if width is None or len(text) <= width else text[: width - 1] + "…"


def settings_text(settings: Mapping[str, Any]) -> str:
    """Hyperparameters as one line of text, numbers with three digits.

    Example:
        >>> settings_text({"learning_rate": 0.123456, "batch_size": 32})
        'learning_rate 0.123 · batch_size 32'
    """
    parts = (f"{name} {value:.3g}" if type(value) is float else f"{name} {value}" for name, value in settings.items())
    return " · ".join(parts)


def parameter_count(metrics: Mapping[str, float | None]) -> int | None:
    """Trainable parameters of a network from the metrics of its evaluation; None where they are not known.

    Trainings count `parameters`, tables `params`; NAS-Bench-201's table has `params_m_c100`, the millions of parameters
    of the network with 100 classes.
    """
    for name, unit in (("parameters", 1.0), ("params", 1.0), ("params_m_c100", 1e6)):
        count = metrics.get(name)
        if count is not None and math.isfinite(count):
            return round(count * unit)
    return None


def figure_text(value: float) -> str:
    """An objective's value for people: four decimals of a fraction, fewer of what is larger."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 10_000 else f"{value:,.0f}"


def parameters(trial: FrozenTrial) -> int | None:
    """Trainable parameters of a trial's network, where its evaluator reports them."""
    return parameter_count(trial.user_attrs.get("graphnas:metrics", {}))


def write_report(
    folder: str | Path,
    study: optuna.Study,
    space: Space,
    *,
    encoder: CellAutoencoder | None = None,
    test: Mapping[str, float] | None = None,
    labels: Sequence[str] = ("validation accuracy",),
    top: int = 5,
) -> Path:
    """Write `report.html`, `best.json`, `best.svg` and `figures/` into the folder of a search.

    Of several objectives, `pareto.json` holds the Pareto set, and the best cell is that with the best first objective.

    Args:
        folder: The search's folder.
        study: Its study; without a completed trial the report says so and there is no best cell.
        space: Its search space.
        encoder: Draws the latent map; left out if None.
        test: Metrics of the best cell on data that the search has not seen.
        labels: Names of the objectives.
        top: Number of cells to draw.

    Returns:
        The path of `report.html`.
    """
    folder = Path(folder)
    best = studies.best(study, top)
    if best:
        record = _record(best[0], labels) | {"test": dict(test or {})}
        studies.write_text(folder / "best.json", json.dumps(record, indent=2) + "\n")
        if len(labels) > 1:
            front = [_record(trial, labels) for trial in studies.best(study, len(study.trials))]
            studies.write_text(folder / "pareto.json", json.dumps(front, indent=2) + "\n")
        drawing = architecture_svg(
            studies.architecture(best[0]), space.cell_names, title=f"Best cell, trial {best[0].number}"
        )
        studies.write_text(folder / "best.svg", drawing + "\n")
    figures = draw_figures(study, space, encoder=encoder, labels=labels)
    if figures:
        (folder / "figures").mkdir(exist_ok=True)
    for name, svg in figures.items():
        studies.write_text(folder / "figures" / f"{name}.svg", svg)
    path = folder / "report.html"
    chart = study_map(study, space, encoder) if encoder is not None and best else None
    studies.write_text(path, _page(folder, study, space, best, figures, dict(test or {}), labels, chart))
    return path


def _record(trial: FrozenTrial, labels: Sequence[str]) -> dict[str, Any]:
    """What there is to know of a trial, for programs."""
    return {
        "trial": trial.number,
        "value": trial.values[0],
        "values": dict(zip(labels, trial.values, strict=True)),
        "metrics": trial.user_attrs.get("graphnas:metrics", {}),
        "constraints": dict(trial.constraints),
        "source": trial.user_attrs.get("graphnas:source", ""),
        "hash": trial.user_attrs.get("graphnas:hash", ""),
        "architecture": json.loads(trial.user_attrs["graphnas:architecture"]),
        **({"hyperparameters": settings} if (settings := studies.hyperparameters(trial)) else {}),
    }


def draw_figures(
    study: optuna.Study,
    space: Space,
    *,
    encoder: CellAutoencoder | None = None,
    labels: Sequence[str] = ("validation accuracy",),
) -> dict[str, str]:
    """The figures of a study as SVG by name: `incumbent`, `pareto` where there are several objectives, and `latent`
    where there is an encoder.

    Args:
        study: Its completed trials are drawn; no figure without any.
        space: Draws the background of random cells.
        encoder: Gives the latent points.
        labels: Names of the objectives; the first counts where a figure shows one.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not trials:
        return {}
    values, label = np.array([trial.values[0] for trial in trials]), labels[0]
    feasible = np.array([studies.keeps_bounds(trial) for trial in trials])
    maximize = study.directions[0] == StudyDirection.MAXIMIZE
    figures = {
        "incumbent": incumbent_curve(
            [trial.number for trial in trials],
            values.tolist(),
            [trial.user_attrs.get("graphnas:source", "") for trial in trials],
            feasible=feasible,
            ylabel=label,
            maximize=maximize,
        )
    }
    if len(labels) > 1:
        chosen = {trial.number for trial in studies.pareto_set(study)}
        figures["pareto"] = pareto_front(
            np.array([trial.values for trial in trials]),
            np.array([trial.number in chosen for trial in trials]),
            [trial.user_attrs.get("graphnas:source", "") for trial in trials],
            labels=labels,
        )
    if encoder is not None:
        background = space.sample(800, np.random.default_rng(0))
        points = _latent(encoder, [*background, *map(studies.architecture, trials)])
        figures["latent"] = latent_map(
            points[: len(background)],
            points[len(background) :],
            values if maximize else -values,
            feasible=feasible,
            label=label if maximize else f"negated {label}",
        )
    return figures


def _latent(encoder: CellAutoencoder, architectures: Sequence[Architecture]) -> np.ndarray[Any, Any]:
    import torch

    with torch.no_grad():
        return encoder.encode(architectures)[0].cpu().double().numpy()


def _page(
    folder: Path,
    study: optuna.Study,
    space: Space,
    best: Sequence[FrozenTrial],
    figures: Mapping[str, str],
    test: Mapping[str, float],
    labels: Sequence[str],
    chart: str | None,
) -> str:
    trials = studies.finished(study)
    title = f"Search of {space.title}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{escape(folder.resolve().name)}, {escape(space.paper)}</p>',
        _tiles(trials, best, test, labels[0]),
    ]
    if best:
        cells = "".join(_drawn(rank, trial, space) for rank, trial in enumerate(best, start=1))
        heading = "Best cells" if len(labels) == 1 else f"The Pareto set: the cells with the best {escape(labels[0])}"
        sections.append(f'<h2>{heading}</h2><div class="cells">{cells}</div>')
    captions = {
        "incumbent": (
            "Progress",
            "Best value so far against the trial. Every dot is a trained cell, coloured by what proposed it; a hollow "
            "one is beyond a bound.",
        ),
        "pareto": (
            "Objectives",
            "Every dot is a trained cell, coloured by what proposed it. Ringed ones form the Pareto set: no other that "
            "keeps all bounds is better in one objective and at least equal in all.",
        ),
    }
    for name, (heading, caption) in captions.items():
        if name not in figures:
            continue
        svg = figures[name]
        sections.append(
            f'<h2>{heading}</h2><div class="card"><div class="figure">{follow_text_colour(svg)}</div>'
            f'<p class="note">{caption}</p></div>'
        )
    if chart is not None:
        sections.append(
            '<h2>Latent map</h2><iframe class="map" title="Latent map" sandbox="allow-scripts" '
            f'srcdoc="{escape(chart)}"></iframe><p class="note">Two leading principal components of the encoder\'s '
            "latent space: trials among random cells, the path of the best cell so far, and of several objectives the "
            "Pareto set. Point at a cell to see it drawn; colours are those of any metric.</p>"
        )
    sections.append(_table(trials, best[0].number if best else -1, labels))
    config, environment = folder / studies.CONFIG, folder / studies.ENVIRONMENT
    for heading, file in (("Configuration", config), ("Environment", environment)):
        if file.exists():
            text = escape(file.read_text(encoding="utf-8"))
            sections.append(f'<h2>{heading}</h2><div class="card"><pre>{text}</pre></div>')
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(sections)
        + f"\n</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _tiles(trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial], test: Mapping[str, float], label: str) -> str:
    failed = sum(trial.state == TrialState.FAIL for trial in trials)
    seconds = sum(float(trial.user_attrs.get("graphnas:seconds") or 0) for trial in trials)
    tiles = [(f"best {label}", f"{best[0].values[0]:.4f}")] if best else [("best value", "none yet")]
    tiles += [
        (f"test {name.removeprefix('test_')} of the best cell", f"{value:.4f}")
        for name, value in test.items()
        if name != "test_loss"
    ]
    if best and (count := parameters(best[0])) is not None:
        tiles.append(("parameters of the best cell", f"{count:,}"))
    tiles += [("trials", str(len(trials))), ("failed", str(failed)), ("evaluation time", duration(seconds))]
    return (
        '<div class="tiles">'
        + "".join(f'<div class="card"><b>{value}</b><span>{escape(name)}</span></div>' for name, value in tiles)
        + "</div>"
    )


def _drawn(rank: int, trial: FrozenTrial, space: Space) -> str:
    svg = architecture_svg(
        studies.architecture(trial), space.cell_names, title=f"Cell of trial {trial.number}, rank {rank}"
    )
    return (
        f'<figure class="card"><figcaption><b>{rank}. {" / ".join(map(figure_text, trial.values))}</b>'
        f"<span>trial {trial.number}, {escape(source_kind(trial.user_attrs.get('graphnas:source', '')))}</span>"
        f"</figcaption>{svg}{_settings(trial)}</figure>"
    )


def _settings(trial: FrozenTrial) -> str:
    text = settings_text(studies.hyperparameters(trial))
    return f'<p class="note">{escape(text)}</p>' if text else ""


def _table(trials: Sequence[FrozenTrial], best: int, labels: Sequence[str]) -> str:
    joint = any(map(studies.hyperparameters, trials))
    head = "".join(
        f'<th{" class=text" if text else ""}>{escape(name)}</th>'
        for name, text in (
            ("trial", False), ("source", True), *((label, False) for label in labels), ("parameters", False),
            ("seconds", False), ("cell", True), *((("hyperparameters", True),) if joint else ()),
        )
    )  # fmt: skip
    return (
        '<h2>All trials</h2><input class="filter" type="search" placeholder="filter: words of a row" hidden>'
        f'<div class="card scroll"><table class="trials"><thead><tr>{head}</tr></thead><tbody>'
        + "".join(_row(trial, best, len(labels), joint) for trial in trials)
        + "</tbody></table></div>"
    )


def _row(trial: FrozenTrial, best: int, objectives: int, joint: bool) -> str:
    source = trial.user_attrs.get("graphnas:source", "")
    count, seconds = parameters(trial), trial.user_attrs.get("graphnas:seconds")
    cell = escape(compact(studies.architecture(trial))) if "graphnas:architecture" in trial.user_attrs else ""
    out = trial.state == TrialState.FAIL or not studies.keeps_bounds(trial)
    kind = "best" if trial.number == best else "failed" if out else ""
    over = "" if studies.keeps_bounds(trial) else '<span title="beyond a bound"> ✗</span>'
    state = "failed" if trial.state == TrialState.FAIL else "pruned"
    values = list(map(figure_text, trial.values)) if trial.values else [state, *[""] * (objectives - 1)]
    reason = trial.user_attrs.get("graphnas:reason")
    return (
        f"<tr{f' class={kind}' if kind else ''}><td>{trial.number}{over}</td>"
        f'<td class="text"><span class="dot" style="background:{source_colour(source)}"></span>{escape(source)}</td>'
        f"{''.join(f'<td>{value}</td>' for value in values)}<td>{'' if count is None else f'{count:,}'}</td>"
        f"<td>{'' if seconds is None else f'{seconds:.1f}'}</td>"
        + (f'<td class="text reason">{escape(reason)}</td>' if reason else f'<td class="text code">{cell}</td>')
        + (f'<td class="text code">{escape(settings_text(studies.hyperparameters(trial)))}</td>' if joint else "")
        + "</tr>"
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them: `"42 s"`, `"3 min 20 s"`, `"2 h 5 min"`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def sources(trials: Iterable[FrozenTrial]) -> dict[str, int]:
    """How many trials each kind of source has proposed."""
    counts: dict[str, int] = {}
    for trial in trials:
        kind = source_kind(trial.user_attrs.get("graphnas:source", ""))
        counts[kind] = counts.get(kind, 0) + 1
    return counts
