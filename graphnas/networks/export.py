"""A trained network as plain PyTorch source that needs no graphnas.

A network is built from its `config` by a class that needs torch alone. The file holds that class, with all the
functions and classes of this package that it uses, and the config as a literal.
"""

from __future__ import annotations

import ast
import errno
import functools
import importlib
import inspect
import keyword
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import save_file

from graphnas.networks.build import Network

_PACKAGE = __name__.rpartition(".")[0] + "."
_WIDTH = 100  # characters of a literal that stays on one line

_SOURCE = '''\
"""{title}

{drawings}

Needs torch and safetensors. `load()` returns the network with its weights, in evaluation mode.
"""

{imports}


{definitions}


def build() -> {network}:
    """The network with random weights."""
    return {network}(
        {config}
    )


def load(weights: str | Path = Path(__file__).with_suffix(".safetensors")) -> {network}:
    """The trained network, in evaluation mode."""
    network = build()
    network.load_state_dict(load_file(weights))
    return network.eval()
'''


class _Import(NamedTuple):
    """What an import statement gives a name to."""

    module: str
    name: str
    """The name there; empty for the module itself."""
    alias: str | None = None

    @property
    def text(self) -> str:
        """What stands behind `import`."""
        return (self.name or self.module) + (f" as {self.alias}" if self.alias else "")


_NEEDED = (_Import("functools", "partial"), _Import("pathlib", "Path"), _Import("safetensors.torch", "load_file"))


def export_source(
    network: Network,
    folder: str | Path,
    *,
    name: str = "best_network",
    title: str = "An image classifier found by architecture search.",
) -> Path:
    """Write a network as a Python file and its weights beside it.

    Args:
        network: A network from `build_network`, usually trained.
        folder: Where `NAME.py` and `NAME.safetensors` are written; created if missing.
        name: Name of both files, by which Python imports them.
        title: First line of the file's docstring.

    Returns:
        The path of the Python file. It imports torch and safetensors only, and its `load()` gives equal logits.

    Raises:
        OSError: if a file cannot be written.
        ValueError: if `check_name` refuses the name, or the title or an operation's name is not one line of plain text.
    """
    check_name(name)
    _check_plain("title", title)
    for operation in network.config.operations:
        _check_plain("an operation's name", operation)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(_source(network, title), encoding="utf-8")
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    weights = folder / f"{name}.safetensors"
    try:
        save_file(tensors, weights)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(weights)) from None
    return path


def check_name(name: str) -> None:
    """Refuse a name by which an exported file could not be imported, or would hide a module that others import.

    Raises:
        ValueError: if it is no Python identifier, a keyword, or the name of a module of Python or of an installed
            package, such as torch.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name == "__main__":
        raise ValueError(f"Expected name to be a Python identifier that can be imported, but got {name!r}")
    if name in sys.stdlib_module_names or name in {__name__.partition(".")[0], *packages_distributions()}:
        raise ValueError(f"Expected name to be that of no other module, but got {name!r}")


def _check_plain(what: str, text: str) -> None:
    """Refuse what could end the docstring that it is written into."""
    if '"' in text or "\\" in text or not text.isprintable():
        raise ValueError(f"Expected {what} to be one line without quotes or backslashes, but got {text!r}")


def _source(network: Network, title: str) -> str:
    config = network.config
    closure = _Closure()
    closure.imports.update(_NEEDED)
    roots: list[Callable[..., Any]] = [*map(_function, config.operations.values()), type(config), type(network)]
    for root in roots:
        closure.add(root.__module__, root.__name__)
    return _SOURCE.format(
        title=title,
        drawings="\n\n".join(_drawing(name, cell) for name, cell in config.cells.items()),
        imports=closure.import_lines(),
        definitions="\n\n\n".join(closure.definitions.values()),
        network=type(network).__name__,
        config=textwrap.indent(_literal(config), " " * 8).lstrip(),
    )


def _function(operation: Callable[..., Any]) -> Callable[..., Any]:
    return operation.func if isinstance(operation, partial) else operation


def _drawing(name: str, cell: Sequence[tuple[str, Sequence[int]]]) -> str:
    """One line for each vertex with what feeds it."""
    output = len(cell) - 1
    names = [str(j) if sources and j < output else op for j, (op, sources) in enumerate(cell)]
    lines = [f"The {name if name == 'cell' else f'{name} cell'}, each vertex with what feeds it:\n"]
    for j, (op, sources) in enumerate(cell):
        if sources:
            label = op if j == output else f"{j} {op}"
            lines.append(f"    {label} <- {', '.join(names[i] for i in sources)}")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Module:
    """The source of one module, taken apart."""

    definitions: dict[str, tuple[ast.stmt, str]]
    """For each function and class its syntax tree and its text."""
    imports: dict[str, _Import]
    """What each imported name stands for."""


@functools.cache
def _module(name: str) -> _Module:
    text = inspect.getsource(importlib.import_module(name))
    module, lines = _Module({}, {}), text.splitlines()
    for statement in ast.parse(text).body:
        match statement:
            case ast.FunctionDef() | ast.ClassDef():
                # A decorated definition begins at its first decorator.
                start = min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)])
                module.definitions[statement.name] = statement, "\n".join(lines[start - 1 : statement.end_lineno])
            case ast.Import():
                for alias in statement.names:
                    module.imports[alias.asname or alias.name] = _Import(alias.name, "", alias.asname)
            case ast.ImportFrom(module=str(origin)):
                for alias in statement.names:
                    module.imports[alias.asname or alias.name] = _Import(origin, alias.name, alias.asname)
    return module


@dataclass(frozen=True)
class _Closure:
    """Functions and classes of this package with all that they use."""

    definitions: dict[tuple[str, str], str] = field(default_factory=dict)
    """Texts by module and name; a text stands behind all that it uses."""
    imports: set[_Import] = field(default_factory=set)
    """What they use from elsewhere."""
    seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, module_name: str, name: str) -> None:
        """Add what a name of a module stands for, unless it is there already or Python's own."""
        module = _module(module_name)
        if name in module.imports:
            found = module.imports[name]
            if found.module.startswith(_PACKAGE):
                self.add(found.module, found.name)
            else:
                self.imports.add(found)
        elif name in module.definitions and (module_name, name) not in self.seen:
            self.seen.add((module_name, name))
            tree, text = module.definitions[name]
            for used in dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)):
                self.add(module_name, used)
            self.definitions[module_name, name] = text

    def import_lines(self) -> str:
        """Import statements in the usual order: the standard library first, then the others."""
        names: dict[tuple[bool, bool, str], list[str]] = {}
        for found in self.imports:
            foreign = found.module.partition(".")[0] not in sys.stdlib_module_names
            names.setdefault((foreign, bool(found.name), found.module), []).append(found.text)
        blocks: dict[bool, list[str]] = {}
        for (foreign, named, module), texts in sorted(names.items()):
            texts.sort(key=lambda text: (text.islower(), text))
            statement = f"from {module} import {', '.join(texts)}" if named else f"import {texts[0]}"
            blocks.setdefault(foreign, []).append(statement)
        return "\n\n".join("\n".join(block) for block in blocks.values())


def _literal(value: Any) -> str:
    """Source of nested configs, tables, lists, pairs and operations; what is long or a table takes several lines."""
    match value:
        case partial():
            opening, closing, items = "partial(", ")", [_literal(value.func)]
            items += [f"{name}={_literal(option)}" for name, option in value.keywords.items()]
        case Mapping():
            opening, closing = "{", "}"
            items = [f"{_literal(key)}: {_literal(item)}" for key, item in value.items()]
        case list() | tuple():
            opening, closing = "[]" if isinstance(value, list) else "()"
            items = [_literal(item) for item in value]
        case str():
            return f'"{value}"'
        case int():
            return repr(value)
        case _ if is_dataclass(value):
            opening, closing = f"{type(value).__name__}(", ")"
            items = [f"{each.name}={_literal(getattr(value, each.name))}" for each in fields(value)]
        case _:
            return str(value.__name__)
    pairs = isinstance(value, list) and any(isinstance(item, tuple) for item in value)
    line = f"{opening}{', '.join(items)}{closing}"
    if len(line) <= _WIDTH and not (pairs or isinstance(value, Mapping) or is_dataclass(value)):
        return line
    lines = "".join(f"{item},\n" for item in items)
    return opening + "\n" + textwrap.indent(lines, "    ") + closing
