"""`graphnas doctor`: what is installed, found and usable here."""

from __future__ import annotations

import os
import platform
from typing import Any

import typer

from graphnas.cli.console import Failed, JsonOption, print_json, print_table


def doctor(as_json: JsonOption = False) -> None:
    """Show versions, devices and the data found, and say what is wrong.

    [bold]Example[/bold]

      graphnas doctor --json
    """
    from graphnas.content import content_folder
    from graphnas.spaces import Space
    from graphnas.studies import environment

    facts = environment()
    problems: list[str] = []
    try:
        import torch

        devices = ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))]
        threads = torch.get_num_threads()
    except ImportError as error:
        devices, threads = [], 0
        problems.append(f"torch cannot be imported: {error}")
    spaces = []
    for name in Space.names():
        try:
            Space.load(name)
            spaces.append(name)
        except ValueError as error:
            problems.append(str(error))
    encoders = sorted(path.parent.name for path in content_folder("encoders").glob("*/config.toml"))
    if not encoders:
        problems.append(f"no trained encoder was found in {content_folder('encoders')}")
    record: dict[str, Any] = {
        "python": facts["python"],
        "versions": facts["versions"],
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "devices": devices,
        "threads": threads,
        "spaces": spaces,
        "encoders": encoders,
        "data": _data() if not problems or devices else [],
        "problems": problems,
    }
    if as_json:
        print_json(record)
    else:
        rows = [("python", record["python"]), ("system", record["system"]), ("cores", record["cores"])]
        rows += [(name, version) for name, version in record["versions"].items()]
        rows += [
            ("devices", ", ".join(devices)),
            ("torch threads", threads),
            ("spaces", ", ".join(spaces)),
            ("encoders", ", ".join(encoders) or "none"),
        ]
        rows += [(one["name"], one["path"] or "built in") for one in record["data"] if one["found"]]
        rows += [(one["name"], f"missing: {one['path']}") for one in record["data"] if not one["found"]]
        print_table("", ("", ""), rows)
        typer.echo("Everything is in order." if not problems else "")
    if problems:
        raise Failed("; ".join(problems))


def _data() -> list[dict[str, Any]]:
    from graphnas.cli.data import _KNOWN, _record

    return [_record(name) for name in _KNOWN]
