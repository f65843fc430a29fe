"""What the pages of the site are made of beside the Markdown in docs: README, results, tutorials, and the interface."""

from __future__ import annotations

import ast
import re
import urllib.error
import urllib.request
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "cell": "graphnas.cell",
    "spaces": "graphnas.spaces",
    "networks": "graphnas.networks",
    "formats": "graphnas.formats",
    "tasks": "graphnas.tasks",
    "training": "graphnas.training",
    "evaluate": "graphnas.evaluate",
    "encoders": "graphnas.encoders",
    "predictors": "graphnas.predictors",
    "proxies": "graphnas.proxies",
    "surrogates": "graphnas.surrogates",
    "search": "graphnas.search",
    "studies": "graphnas.studies",
    "engines": "graphnas.engines",
    "analysis": "graphnas.analysis",
    "importing": "graphnas.importing",
    "report": "graphnas.report",
    "bench": "graphnas.bench",
}
INVENTORIES = (
    "https://docs.python.org/3/objects.inv",
    "https://docs.pytorch.org/docs/stable/objects.inv",
    "https://numpy.org/doc/stable/objects.inv",
    "https://optuna.readthedocs.io/en/stable/objects.inv",
    "https://networkx.org/documentation/stable/objects.inv",
)
_WAIT = 5.0  # seconds for an inventory of another project's names


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Link to other projects, as far as they can be reached from here."""
    handlers = config.plugins["mkdocstrings"].config["handlers"]
    handlers["python"]["inventories"] = [url for url in INVENTORIES if _is_there(url)]
    return config


def _is_there(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_WAIT):
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {
        "index.md": readme.replace("](docs/", "](").replace("](runs/RESULTS.md)", "](results.md)"),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "results.md": (ROOT / "runs" / "RESULTS.md").read_text(encoding="utf-8"),
        **{f"tutorials/{path.stem}.md": tutorial(path) for path in sorted((ROOT / "docs/tutorials").glob("*.py"))},
        **{f"api/{name}.md": f"# {module}\n\n::: {module}\n" for name, module in PACKAGES.items()},
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **about: object) -> str:
    """Links that leave the folder of documents."""
    return markdown.replace("](../runs/RESULTS.md)", "](results.md)").replace(
        "](CONTRIBUTING.md)", "](contributing.md)"
    )


def tutorial(path: Path) -> str:
    """A script as a page: its docstring, then the comments after `# %%` as text and the rest as code."""
    source = path.read_text(encoding="utf-8")
    first = ast.parse(source).body[0]
    intro, rest = ast.get_docstring(ast.parse(source)), source.split("\n")[first.end_lineno :]
    parts = [f"{intro}\n\nThe whole program is `docs/tutorials/{path.name}`."]
    for block in re.split(r"^# %%$", "\n".join(rest), flags=re.MULTILINE):
        lines = block.strip("\n").split("\n")
        text = _leading(lines)
        code = "\n".join(lines[len(text) :]).strip("\n")
        parts.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in text))
        if code:
            parts.append(f"```python\n{code}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def _leading(lines: list[str]) -> list[str]:
    """The lines of comments that a block begins with."""
    number = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:number]
