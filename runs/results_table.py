"""Write runs/RESULTS.md from runs/results/*.json: what was measured, beside what was known before.

A file is what a recipe in this folder wrote, or `graphnas encoders evaluate NAME --out runs/results/encoder_NAME.json`.

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


def search(result: dict[str, Any]) -> list[str]:
    places = next(iter(result["methods"].values()))["queries"]
    lines = [
        f"| method | seeds | {' | '.join(f'{place} queries' for place in places)} | CPU-s a run |",
        f"| --- | --- |{' --- |' * len(places)} --- |",
    ]
    for name, one in result["methods"].items():
        pairs = zip(one["mean"], one["standard_error"], strict=True)
        cells = " | ".join(f"{mean:.3f} ± {error:.3f}" for mean, error in pairs)
        lines.append(f"| {name} | {one['seeds']} | {cells} | {one['cpu_seconds_per_run']:.1f} |")
        known = " | ".join(f"{value:.3f}" for value in one["prototype"].values())
        lines.append(f"| {name}, best figure known before | | {known} | |")
    for name, gaps in result["margins_in_standard_errors"].items():
        lines.append(f"| latent-bo over {name}, standard errors | | {' | '.join(f'{g:+.1f}' for g in gaps)} | |")
    return lines


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
    if "environment" in result:
        split, environment = result["split"], result["environment"]
        title = f"the encoder {result['encoder']} on {split['held_out']:,} architectures that it was not fitted to"
        command, versions = shlex.join(environment["command"]), environment["versions"]
        table, known = encoder(result), beside(name, measures_of_encoder(result))
    else:
        title, command, versions = result["figure"], result["command"], result["versions"]
        if "rows" in result:
            table, known = rows(result), beside(name, measures_of_rows(result))
        else:
            table = search(result) if "methods" in result else measures(result)
    numbers = ", ".join(f"{package} {number}" for package, number in versions.items())
    text = "\n".join([*table, *known])
    return f"## {name}\n\n{title}.\n\n`{command}`\n\n{text}\n\nVersions: {numbers}."


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
    parts += [section(path) for path in sorted(args.results.glob("*.json"))]
    args.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
