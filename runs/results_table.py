"""Write runs/RESULTS.md from runs/results/*.json: what was measured, beside what was known before.

python runs/results_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def main() -> None:
    parts = ["# Results\n\nMade by `python runs/results_table.py` from `runs/results/`; not edited by hand."]
    for path in sorted((FOLDER / "results").glob("*.json")):
        result = json.loads(path.read_text())
        table = search(result) if "methods" in result else measures(result)
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        parts.append(f"## {result['name']}\n\n{result['figure']}.\n\n`{result['command']}`\n\n" + "\n".join(table))
        parts.append(f"Versions: {versions}.")
    (FOLDER / "RESULTS.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
