"""Trainings that a surrogate is fitted to: architectures, what they reached, and what proposed them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from graphnas.cell import Architecture, CellArrays, stack_arrays
from graphnas.evaluate import Table
from graphnas.predictors.protocol import FloatArray
from graphnas.spaces import Space

IntArray = NDArray[np.int64]

_COLUMNS = ("architecture", "value")
_FEW = 10  # classes of a sampler below which it is no part of a split by itself


@dataclass(frozen=True)
class Archive:
    """`n` trainings of architectures of one space."""

    space: Space
    cells: CellArrays
    """Cells of the architectures, those of one architecture in consecutive rows."""
    values: FloatArray
    """`n` values, larger is better, accuracies as fractions."""
    samplers: tuple[str, ...]
    """What proposed each architecture."""
    seconds: FloatArray
    """`n` seconds of training; NaN where they are not known."""

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(
        cls,
        space: Space,
        architectures: Sequence[Architecture] | CellArrays,
        values: FloatArray,
        *,
        samplers: Sequence[str] | None = None,
        seconds: FloatArray | None = None,
    ) -> Self:
        """An archive of what is at hand.

        Raises:
            ValueError: if there are no trainings, their values are not finite numbers, or numbers of rows differ.
        """
        cells = architectures if isinstance(architectures, CellArrays) else space.to_arrays(architectures)
        values = np.asarray(values, dtype=np.float64)
        n = cells.n // len(space.cell_names)
        if not n or values.shape != (n,):
            raise ValueError(f"Expected {n or 'some'} values, one for each training, but got shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"Expected finite values, but {int((~np.isfinite(values)).sum())} of {n} are not")
        samplers = tuple(samplers if samplers is not None else ["unknown"] * n)
        seconds = np.full(n, np.nan) if seconds is None else np.asarray(seconds, dtype=np.float64)
        if len(samplers) != n or seconds.shape != (n,):
            raise ValueError(f"Expected {n} samplers and seconds, but got {len(samplers)} and {seconds.shape}")
        return cls(space, cells, values, samplers, seconds)

    @classmethod
    def of_table(cls, space: Space, table: Table, query: str | None = None, *, rows: IntArray | None = None) -> Self:
        """Rows of a benchmark table that have a value; a metric that is minimised is negated.

        Args:
            space: Space of the architectures.
            table: The table.
            query: Its metric; the table's own choice if None.
            rows: Of the table; all if None.
        """
        query = query or table.query
        if query not in table.metrics:
            raise ValueError(f"{query!r} is no metric of {table.path.name}; it has {', '.join(table.metrics)}")
        rows = np.arange(len(table)) if rows is None else rows
        values = (-1.0 if table.is_minimized(query) else 1.0) * table.column(query)[rows].astype(np.float64)
        known = np.isfinite(values)
        rows, values = rows[known], values[known]
        epochs = next((epochs for epochs, name in table.budgets(query).items() if name == query), None)
        seconds = None
        if epochs is not None:
            seconds = np.array([table.cost(int(row), epochs) or np.nan for row in rows])
        return cls.of(
            space,
            space.to_arrays(table.architectures(rows.tolist())),
            values,
            samplers=[f"table:{table.path.stem}"] * len(rows),
            seconds=seconds,
        )

    @classmethod
    def read(cls, path: str | Path, space: Space) -> Self:
        """The archive of a Parquet file that `write` made, or of any with its columns.

        `architecture` holds JSON and `value` numbers; `sampler` (null where it is not known) and `seconds` may be
        missing.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: naming the file and what is wrong with it.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: there is no such file")
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path}: expected a Parquet file of trainings, but {error}") from None
        missing = [name for name in _COLUMNS if name not in table.column_names]
        if missing:
            raise ValueError(f"{path}: expected the columns {', '.join(_COLUMNS)}, but {missing[0]} is missing")
        texts = table["architecture"].to_pylist()
        if None in texts:
            raise ValueError(f"{path}, row {texts.index(None)}: expected an architecture as JSON, but got null")
        known = table["sampler"].to_pylist() if "sampler" in table.column_names else None
        try:
            architectures = [Architecture.from_json(text) for text in texts]
            for architecture in architectures:
                space.validate(architecture)
            return cls.of(
                space,
                architectures,
                table["value"].to_numpy().astype(np.float64),
                samplers=None if known is None else ["unknown" if one is None else str(one) for one in known],
                seconds=table["seconds"].to_numpy() if "seconds" in table.column_names else None,
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None

    def write(self, path: str | Path) -> None:
        """Write a Parquet file, one row a training."""
        columns = {
            "architecture": [one.to_json() for one in self.space.from_arrays(self.cells)],
            "value": self.values,
            "sampler": list(self.samplers),
            "seconds": self.seconds,
        }
        pq.write_table(pa.table(columns), path, compression="zstd")

    def take(self, rows: IntArray) -> Archive:
        """Some of the trainings."""
        return Archive(
            self.space,
            self.space.take(self.cells, rows),
            self.values[rows],
            tuple(self.samplers[row] for row in rows.tolist()),
            self.seconds[rows],
        )

    def joined(self, other: Archive) -> Archive:
        """These trainings and others of the same space."""
        return Archive(
            self.space,
            stack_arrays([self.cells, other.cells]),
            np.concatenate([self.values, other.values]),
            (*self.samplers, *other.samplers),
            np.concatenate([self.seconds, other.seconds]),
        )

    def groups(self) -> IntArray:
        """`n` numbers; trainings of architectures that the space counts as the same share one."""
        _, numbers = np.unique(np.array(self.space.hashes(self.cells)), return_inverse=True)
        return numbers.astype(np.int64)

    def digest(self) -> str:
        """16 hex digits that tell this archive from others."""
        text = hashlib.sha256(json.dumps([self.space.name, list(self.samplers)]).encode())
        for values in (self.cells.ops, self.cells.adjacency, self.cells.size, self.values):
            text.update(np.ascontiguousarray(values).tobytes())
        return text.hexdigest()[:16]


def split(archive: Archive, *, seed: int = 0, test: float = 0.1) -> tuple[Archive, Archive]:
    """Trainings to fit to and to test on, the same share of every sampler's on either side; no class is on both.

    Samplers of fewer than ten classes are drawn from together.

    Args:
        archive: All of them.
        seed: Of the draw.
        test: Share of each sampler's classes that is tested on.

    Raises:
        ValueError: if nothing is left to fit to.
    """
    rng, groups = np.random.default_rng(seed), archive.groups()
    samplers = np.array(archive.samplers)
    by_sampler = {name: np.unique(groups[samplers == name]) for name in sorted(set(archive.samplers))}
    pools = [own for own in by_sampler.values() if len(own) >= _FEW]
    few = [own for own in by_sampler.values() if len(own) < _FEW]
    if few:
        pools.append(np.unique(np.concatenate(few)))
    apart = np.zeros(len(archive), dtype=bool)
    for own in pools:
        apart |= np.isin(groups, rng.permutation(own)[: max(1, round(test * len(own)))])
    if apart.all():
        raise ValueError("Expected two or more different architectures, of which some can be tested on")
    return archive.take(np.flatnonzero(~apart)), archive.take(np.flatnonzero(apart))
