"""Write runs/RESULTS.md from runs/results/*.json: what was measured, beside what was known before.

A file is what a recipe in this folder wrote, or `graphnas encoders evaluate NAME --out runs/results/encoder_NAME.json`,
or results.json of a folder of `graphnas bench` under the name bench_PROTOCOL.json, with its timings.json as
bench_PROTOCOL.timings.json, or results.json of a folder of `graphnas predict bench` under the name predict_DATA.json. A
`note` in a file (in the timings of a comparison) is printed above its table.

python runs/results_table.py
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from known_figures import FIGURES
from records import Measure, spread, table_lines

FOLDER = Path(__file__).parent
TIMINGS = ".timings.json"
SPARSE = 0.4  # share of a table's fields below which it is written as lists
COMPARISON = "Searches of tables; every class of architectures counts once"
PREDICTED = {"spearman": "Spearman", "pearson": "Pearson", "sparse_kendall": "sparse Kendall", "precision_20": "P@20"}


def comparison(report: dict[str, Any], timings: dict[str, Any]) -> list[str]:
    """What `graphnas bench` wrote: a table for each protocol, and differences to its first method seed by seed."""
    lines: list[str] = []
    for name, one in report["protocols"].items():
        places = one["places"]
        lines += [
            f"**{name}**: {one['title']}; `{one['query']}`, %, mean ± standard error; init {one['initial']}, batch "
            f"{one['batch']}; best {100 * one['optimum']:.3f}.",
            "",
            f"| method | seeds | {' | '.join(f'{place} queries' for place in places)} | at the optimum | CPU-s a run |",
            f"| --- | --- |{' --- |' * len(places)} --- | --- |",
        ]
        seconds = timings["cpu_seconds"].get(name, {})
        for method, found in one["methods"].items():
            shares = " / ".join(f"{share:.2f}" for share in found["at_optimum"])
            mine = seconds.get(method)
            time = f"{sum(mine) / len(mine):.1f}" if mine else ""
            cells = " | ".join(map(_with_error, found["mean"], found["standard_error"]))
            lines.append(f"| {method} | {len(found['seeds'])} | {cells} | {shares} | {time} |")
            for title, column in found["further"].items():
                if None not in column["mean"]:
                    cells = " | ".join(map(_with_error, column["mean"], column["standard_error"]))
                    lines.append(f"| {method}, {title} | {len(found['seeds'])} | {cells} | | |")
        first = next(iter(one["methods"]))
        for method, gap in one["paired"].items():
            cells = " | ".join(map(_with_error, gap["difference"], gap["standard_error"]))
            lines.append(f"| {first} above {method} | {gap['seeds']} | {cells} | | |")
        lines.append("")
    ranks = report.get("ranks")
    if ranks is not None:
        mean = ", ".join(f"{method} {rank:.2f}" for method, rank in ranks["mean"].items())
        lines.append(
            f"Mean ranks over {ranks['blocks']} seeds of protocols: {mean}; critical difference "
            f"{ranks['critical_difference']:.2f}."
        )
    return lines


def _with_error(mean: float, error: float | None) -> str:
    return f"{100 * mean:.3f}" + ("" if error is None else f" ± {100 * error:.3f}")


def predictions(report: dict[str, Any]) -> list[str]:
    """What `graphnas predict bench` wrote: a line for each predictor and number of epochs seen."""
    groups: dict[tuple[str, int], dict[int, dict[str, Any]]] = {}
    for row in report["rows"]:
        groups.setdefault((row["predictor"], row["epochs"]), {})[row["train_size"]] = row
    sizes = sorted({row["train_size"] for row in report["rows"]})
    heads = [f"Kendall, {size:,} trained" if size else "Kendall, none trained" for size in sizes]
    head = ["predictor", "epochs seen", "seeds", *heads, *PREDICTED.values(), "initialisation", "query"]
    lines = [
        f"Mean ± standard error; {', '.join(PREDICTED.values())} and costs with the most trainings learned from. "
        "Initialisation is in seconds, or in trainings and seconds where those of a training are not known; a query in "
        "seconds.",
        "",
        f"| {' | '.join(head)} |",
        "| --- |" + " --- |" * (len(head) - 1),
    ]
    for (name, epochs), by_size in groups.items():
        last = by_size[max(by_size)]
        cells = [
            *(_rank(by_size[size]["measures"]["kendall"]) if size in by_size else "" for size in sizes),
            *(_rank(last["measures"][measure]) for measure in PREDICTED),
        ]
        seeds = "-".join(str(one) for one in sorted({row["seeds"] for row in by_size.values()}))
        costs = [f"{last['initialisation']:,.4g}", f"{last['query']:.2g}"]
        lines.append(f"| {' | '.join([name, str(epochs or ''), seeds, *cells, *costs])} |")
    return lines


def _rank(one: dict[str, float | None]) -> str:
    mean, error = one["mean"], one["standard_error"]
    return "" if mean is None else f"{mean:.3f}" + ("" if error is None else f" ± {error:.3f}")


def measures_of_comparison(report: dict[str, Any]) -> dict[str, Measure]:
    """Every mean in percent, with its standard error, and share of seeds at the optimum."""
    found = {}
    for name, one in report["protocols"].items():
        for method, by in one["methods"].items():
            errors = [error and 100 * error for error in by["standard_error"]]
            for place, mean, error, share in zip(one["places"], by["mean"], errors, by["at_optimum"], strict=True):
                found[f"{name}, {method}, {place} queries"] = {"mean": round(100 * mean, 4), "sd": error}
                found[f"{name}, {method}, {place} queries, share at the optimum"] = {"mean": share, "sd": None}
    return found


def measures(result: dict[str, Any]) -> list[str]:
    lines = ["| measure | value |", "| --- | --- |"]
    lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in result["quality"].items()]
    for name, by_labels in result.get("gp_spearman", {}).items():
        for labels, one in by_labels.items():
            lines.append(f"| GP Spearman, {labels} labels, {name} | {one['mean']:.3f} (sd {one['sd']:.3f}) |")
    for name, speed in result.get("cells_per_cpu_second", {}).items():
        lines.append(f"| {name}, cells per CPU second | {speed:,} |")
    return lines


def rows(result: dict[str, Any]) -> list[str]:
    """Rows of measures, what each row is, and which fits failed."""
    head, *lines = table_lines(result["rows"], result["columns"])
    if sum(len(one["results"]) for one in result["rows"].values()) < SPARSE * len(result["rows"]) * len(
        result["columns"]
    ):
        # Rows that have hardly a column in common are lists.
        head = ["", "", "CPU-s"]
        lines = [
            [
                name,
                "; ".join(
                    f"{title}: {spread(one['results'][measure])}"
                    for measure, title in result["columns"].items()
                    if measure in one["results"]
                ),
                f"{sum(one['cpu_seconds']) / len(one['cpu_seconds']):.0f}",
            ]
            for name, one in result["rows"].items()
        ]
    table = [head, ["---"] * len(head), *lines]
    text = [f"| {' | '.join(line)} |" for line in table]
    text += ["", *(f"- {name}: {one['about']}" for name, one in result["rows"].items())]
    text += [f"- {name} failed: {reason}" for name, one in result["rows"].items() for reason in one.get("failed", [])]
    further = [
        f"- {name}, {measure.replace('_', ' ')}: {spread(value)}"
        for name, one in result["rows"].items()
        for measure, value in one["results"].items()
        if measure not in result["columns"]
    ]
    seeds = sorted({len(one["cpu_seconds"]) for one in result["rows"].values()})
    return [*text, *further, "", f"Mean ± standard deviation; seeds a row: {', '.join(map(str, seeds))}."]


def measures_of_rows(result: dict[str, Any]) -> dict[str, Measure]:
    """Every measure by row and title."""
    return {
        f"{name}: {title}": one["results"][measure]
        for name, one in result["rows"].items()
        for measure, title in result["columns"].items()
        if measure in one["results"]
    }


def measures_of_encoder(report: dict[str, Any]) -> dict[str, Measure]:
    """What `graphnas encoders evaluate` wrote, flat."""
    found = {name.replace("_", " "): one for name, one in report["quality"].items()}
    for encoding, one in report["smoothness"].get("encodings", {}).items():
        found |= {f"smoothness, {name.replace('_', ' ')}: {encoding}": value for name, value in one.items()}
    for row in report["ranking"].get("table", []):
        for score, title in {"spearman": "Spearman", "pearson": "Pearson", "rmse": "RMSE"}.items():
            found[f"GP {title}, {row['labels']:,} labels: {row['encoding']}"] = row[score]
    for name in ("encode", "decode"):
        speed = report["architectures_per_second"][name]
        found[f"{name}, architectures per CPU-s"] = {"mean": float(speed), "sd": None}
    return found


def encoder(report: dict[str, Any]) -> list[str]:
    """The measures of one encoder, and why some are missing."""
    lines = ["| measure | mean ± sd |", "| --- | --- |"]
    lines += [f"| {name} | {spread(one)} |" for name, one in measures_of_encoder(report).items()]
    missing = [(part, report[part]["missing"]) for part in ("smoothness", "ranking") if "missing" in report[part]]
    return [*lines, *(f"\nNo {part}: {reason}." for part, reason in missing)]


def beside(name: str, found: dict[str, Measure]) -> list[str]:
    """Figures known before and how far ours are from them; nothing of a file without any."""
    lines = [
        f"| {measure} | {_plain(figure.value)} | {figure.source} | {spread(found[measure])} | "
        f"{_signed(found[measure]['mean'] - figure.value)} |"
        for measure, figures in FIGURES.get(name, {}).items()
        if measure in found
        for figure in figures
    ]
    if not lines:
        return []
    return ["", "| measure | published or target | source | ours | difference |", "| --- |" + " --- |" * 4, *lines]


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.4f}"


def section(path: Path) -> str:
    """One file's part of the page."""
    result = json.loads(path.read_text())
    name = result.get("name", path.stem)
    known: list[str] = []
    note = result.get("note")
    if "protocols" in result:
        timings = json.loads(path.with_suffix(TIMINGS).read_text())
        title, command, versions = COMPARISON, timings["command"], timings["environment"]["versions"]
        note = timings.get("note")
        table, known = comparison(result, timings), beside("bench", measures_of_comparison(result))
    elif "setting" in result:
        environment, title = result["environment"], f"{result['title']}: {result['test']} others predicted"
        if result["setting"] != "random":
            title += f", setting {result['setting']}"
        command, versions = shlex.join(environment["command"]), environment["versions"]
        table = predictions(result)
    elif "environment" in result:
        split, environment = result["split"], result["environment"]
        title = f"the encoder {result['encoder']} on {split['held_out']:,} architectures that it was not fitted to"
        command, versions = shlex.join(environment["command"]), environment["versions"]
        table, known = encoder(result), beside(name, measures_of_encoder(result))
    else:
        title, command, versions = result["figure"], result["command"], result["versions"]
        if "rows" in result:
            table, known = rows(result), beside(name, measures_of_rows(result))
        else:
            table = measures(result)
    numbers = ", ".join(f"{package} {number}" for package, number in versions.items())
    text = "\n".join([*table, *known])
    remark = "" if note is None else f"\n\n{note}"
    return f"## {name}\n\n{title}.\n\n`{command}`{remark}\n\n{text}\n\nVersions: {numbers}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=FOLDER / "results", help="folder of the result files")
    parser.add_argument("--out", type=Path, default=FOLDER / "RESULTS.md", help="page to write")
    args = parser.parse_args()
    parts = [
        "# Results",
        "Made by `python runs/results_table.py` from `runs/results/`; not edited by hand.",
        "Figures known before stand beside ours where there are any: see `runs/known_figures.py` for what each is.",
    ]
    files = sorted(path for path in args.results.glob("*.json") if not path.name.endswith(TIMINGS))
    parts += [section(path) for path in files]
    args.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
