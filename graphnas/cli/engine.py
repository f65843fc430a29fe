"""Where the candidates of `graphnas search` are evaluated."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from graphnas.cli.console import Device, choose_device


class EngineName(StrEnum):
    """Engines by name."""

    local = "local"
    ray = "ray"


WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Candidates at a time, each in a process of its own; 0 evaluates in this one. 2 by default; with Ray as "
        "many as the cluster has room for.",
    ),
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", min=1, help="Seconds after which a candidate is killed.")
]
EngineOption = Annotated[
    EngineName | None,
    typer.Option("--engine", help="Evaluate in processes of this machine, or as tasks of a Ray cluster."),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Ray cluster to use, auto for that of this machine; started anew if not given."),
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-trial", min=0, help="GPUs of each Ray task; of a fraction several share one."),
]


@dataclass(frozen=True)
class EngineChoice:
    """What is asked for; a search keeps it, and each time it goes on it can be changed."""

    kind: str = "local"
    """One of `EngineName`."""
    workers: int | None = None
    """Candidates at a time; None for the engine's default."""
    timeout: float | None = None
    """Seconds after which a candidate is killed."""
    address: str | None = None
    """Address of a Ray cluster; None starts one."""
    gpus: float = 0.0
    """GPUs of each Ray task."""

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any],
        *,
        kind: EngineName | None,
        workers: int | None,
        timeout: float | None,
        address: str | None,
        gpus: float | None,
    ) -> EngineChoice:
        """What the options say, and where they say nothing the table `search` of the settings."""
        chosen = cls(
            kind=str(kind.value) if kind is not None else settings.get("engine", "local"),
            workers=settings.get("workers") if workers is None else workers,
            timeout=settings.get("timeout") if timeout is None else timeout,
            address=settings.get("address") if address is None else address,
            gpus=settings.get("gpus_per_trial", 0.0) if gpus is None else gpus,
        )
        if chosen.kind != EngineName.ray and (address is not None or gpus is not None):
            raise typer.BadParameter("--address and --gpus-per-trial are of a cluster; they go with --engine ray")
        if chosen.kind == EngineName.ray and workers == 0:
            raise typer.BadParameter("--workers 0 evaluates in this process; --engine ray needs 1 or more")
        if chosen.workers == 0 and chosen.timeout is not None:
            raise typer.BadParameter(
                "--workers 0 evaluates in this process, which no --timeout can end; it goes with 1 worker or more"
            )
        return chosen

    @property
    def settings(self) -> dict[str, Any]:
        """What `config.toml` keeps."""
        return {
            "workers": 2 if self.workers is None and self.kind == EngineName.local else self.workers,
            "timeout": self.timeout,
            "engine": None if self.kind == EngineName.local else self.kind,
            "address": self.address,
            "gpus_per_trial": self.gpus or None,
        }

    def device(self, device: Device) -> str:
        """The torch device of evaluations; the machine that coordinates a cluster needs no GPU."""
        if self.kind == EngineName.ray:
            return "cuda" if device is Device.cuda or (self.gpus and device is Device.auto) else "cpu"
        return choose_device(device)

    def start(self, left: int, device: str) -> AbstractContextManager[Executor | None]:
        """The engine, for so many trials that are left; None evaluates in this process.

        Args:
            left: Number of trials.
            device: Of evaluations. Where it is a GPU, each process of this machine has one of those there are, in turn.

        Raises:
            EngineError: if there is no cluster, or no room in it.
            ImportError: if Ray is not installed.
        """
        from graphnas.engines import LocalProcesses, RayTasks

        # No more workers than there are trials to do; one that a killed search has begun is done in any case.
        most = max(1, left)
        if self.kind == EngineName.ray:
            workers = min(self.workers, most) if self.workers else None
            return RayTasks(self.address, workers=workers, gpus=self.gpus, timeout=self.timeout)
        if self.workers == 0:
            return contextlib.nullcontext()
        gpus = visible_gpus() if device == "cuda" else ()
        return LocalProcesses(min(2 if self.workers is None else self.workers, most), 1, self.timeout, gpus)


def visible_gpus() -> tuple[str, ...]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = [str(number) for number in range(count)] if given is None else given.split(",")
    return tuple(name.strip() for name in names[:count])
