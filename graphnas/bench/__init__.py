"""Comparisons of search methods on benchmark tables: protocols, runs in parallel, statistics."""

from graphnas.bench.protocol import PROTOCOLS, Benchmark, Protocol, open_benchmark
from graphnas.bench.run import Run, run_search

__all__ = ["PROTOCOLS", "Benchmark", "Protocol", "Run", "open_benchmark", "run_search"]
