"""The checklist of best practices for research on architecture search (Lindauer & Hutter 2020, JMLR 21), filled in."""

from __future__ import annotations

from collections.abc import Sequence

from graphnas.bench.protocol import Protocol


def checklist(protocols: Sequence[Protocol], methods: Sequence[str], seeds: Sequence[int], command: str) -> str:
    """The checklist as Markdown.

    Args:
        protocols: What was compared on.
        methods: What was compared.
        seeds: Seeds of every method.
        command: What was typed.
    """
    same = ", ".join(f"{protocol.name}: {protocol.title}" for protocol in protocols)
    items = (
        ("Code of the search and of the evaluation is released", "yes, graphnas; values come from published tables"),
        ("Exactly the same benchmark, space and training pipeline for all methods", f"yes ({same})"),
        ("Same hyperparameters and seeds of the final trainings", "yes: every method reads the same table"),
        ("Comparison with random search", "yes" if "random" in methods else "no: add the method `random`"),
        ("Comparison with other methods under the same protocol", ", ".join(methods)),
        ("Same budget, and performance over time", "yes: unique architectures queried, at every number of them"),
        ("Multiple runs, with seeds", f"{len(seeds)} seeds, {min(seeds)} to {max(seeds)}, and their spread"),
        ("Hyperparameters tuned on other seeds than those reported", "to be said where the figures are reported"),
        ("Time of the whole search", "CPU seconds of each search in timings.json; trainings as the table records them"),
        ("Hardware and versions", "environment in timings.json"),
        (
            "Confounding factors",
            "methods share the batch size; they differ in encoding, model and, as their settings say, in the size of "
            "the initial design: 10 random architectures, or the population of evolution",
        ),
        ("Exact command", f"`{command}`"),
    )
    rows = "\n".join(f"| {question} | {answer} |" for question, answer in items)
    return (
        "# Best practices for research on architecture search\n\n"
        "Lindauer & Hutter 2020, JMLR 21(243), as far as a comparison on tables can answer.\n\n"
        f"| item | answer |\n| --- | --- |\n{rows}\n"
    )
