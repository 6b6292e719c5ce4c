"""Fakes for the tests of the evaluation: logged traces with a pattern to find, as rows, file and grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from training.evaluation.grid import Grid, read_grid

COSTS = {"cheap": 1e-5, "middle": 1e-4, "dear": 1e-3}
RIGHT = {
    "sum": {"cheap": 0.9, "middle": 0.9, "dear": 0.95},
    "poem": {"cheap": 0.1, "middle": 0.3, "dear": 0.9},
    "code": {"cheap": 0.1, "middle": 0.85, "dear": 0.8},
}
"""P(right) by kind of question and model: sums need no dear model, code is best on the middle one."""
TEXTS: Mapping[str, Callable[[int, int], str]] = {
    "sum": lambda a, b: f"What is the sum of {a} and {b}?",
    "poem": lambda a, b: f"Write a poem in which the numbers {a} and {b} fall in love",
    "code": lambda a, b: f"def solve(a={a}, b={b}): # return the right answer in Python",
}


def logged_rows(
    count: int = 240, models: Sequence[str] = tuple(COSTS), seed: int = 0
) -> list[dict[str, Any]]:
    """Rows in the interchange form, one a call; three in ten queries stand in split=test."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        kind = list(RIGHT)[i % len(RIGHT)]
        asked = {
            "domain": kind,
            "query_id": f"planted-{kind}-{i}",
            "query": TEXTS[kind](int(rng.integers(10_000)), i),
            "split": "test" if rng.random() < 0.3 else "train",
            "question_key": f"key-{i}",
        }
        rows += [{**asked, **_answered(kind, model, rng)} for model in models]
    return rows


def _answered(kind: str, model: str, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "dataset": "planted",
        "model": model,
        "strategy": "direct",
        "sample_index": 0,
        "score": float(rng.random() < RIGHT[kind][model]),
        "cost_usd": COSTS[model] * float(rng.lognormal(0, 0.1)),
    }


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The rows as a Parquet file."""
    parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def planted_grid(folder: Path, count: int = 240, models: Sequence[str] = tuple(COSTS), seed: int = 0) -> Grid:
    """The grid of such rows."""
    return read_grid(write_rows(folder / "planted.parquet", logged_rows(count, models, seed)))
