"""Taught elsewhere: a grid, and beside it what other data sets tell of its models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from router.errors import InvalidQuery
from training.evaluation.elsewhere import Elsewhere, same_questions
from training.evaluation.grid import Grid, check_score, key_of, logged


@dataclass(frozen=True, slots=True)
class Source:
    """A data set of a file; ``None`` where the file holds no other."""

    path: Path
    dataset: str | None

    @classmethod
    def parse(cls, text: str, path: Path) -> Source:
        """From ``FILE.parquet``, ``FILE.parquet:DATASET``, or ``DATASET``, which is of the file at ``path``.

        >>> Source.parse("b", Path("mine.parquet")).path.name
        'mine.parquet'
        """
        file, colon, dataset = text.rpartition(".parquet:")
        if colon:
            return cls(Path(f"{file}.parquet"), dataset)
        return cls(Path(text), None) if text.endswith(".parquet") else cls(path, text)


def taught_elsewhere(
    grid: Grid, sources: Sequence[Source], correct_at: float, *, ignore_split: bool = False
) -> Grid:
    """The grid, to be learnt from together with what the models of its pool answered in other data sets: on
    questions of their split=train (ignore_split: on all), their draws averaged.

    A model is the same where its name is, but for case and for what stands before the last slash.
    ``StoreError`` where a file cannot be read, ``InvalidQuery`` where a source is the grid's own data set, or
    has no answer by a model of the pool.
    """
    if not sources:
        return grid
    families = {_name(model): arm for model, arm in reversed(list(zip(grid.models, grid.arms, strict=True)))}
    asked: dict[tuple[str, str], Mapping[str, Any]] = {}
    cells: dict[tuple[tuple[str, str], str], list[float]] = defaultdict(list)
    family_of: dict[str, str] = {}
    for source in sources:
        for row in _rows(source, grid, families, ignore_split):
            question, arm = (row["dataset"], str(row["query_id"])), "/".join(row[name] for name in _ARM)
            check_score(row)
            asked.setdefault(question, row)
            family_of[arm] = families[_name(row["model"])]
            cells[question, arm].append(row["score"] >= correct_at)
    return replace(grid, elsewhere=_elsewhere(grid, asked, cells, family_of))


_ARM = ("dataset", "model", "strategy")


def _rows(
    source: Source, grid: Grid, families: Mapping[str, str], ignore_split: bool
) -> list[Mapping[str, Any]]:
    """Those that may teach."""
    table = logged(source.path, source.dataset)
    rows = [row for row in table.to_pylist() if row["score"] is not None and row["query"] is not None]
    if rows and rows[0]["dataset"] == grid.dataset:
        raise InvalidQuery(f"{grid.dataset} is what is evaluated: --also-learn-from takes other data sets.")
    own = [row for row in rows if _name(row["model"]) in families]
    if not own:
        known = sorted({str(row["model"]) for row in rows})
        raise InvalidQuery(
            f"No model of the pool ({', '.join(dict.fromkeys(grid.models))}) answered in "
            f"{source.dataset or source.path}: it can teach nothing of them. Its models: {', '.join(known)}."
        )
    return own if ignore_split else [row for row in own if row.get("split") != "test"]


def _elsewhere(
    grid: Grid,
    asked: Mapping[tuple[str, str], Mapping[str, Any]],
    cells: Mapping[tuple[tuple[str, str], str], Sequence[float]],
    family_of: Mapping[str, str],
) -> Elsewhere:
    number = {question: i for i, question in enumerate(asked)}
    place = {arm: i for i, arm in enumerate(family_of)}
    texts, keys = tuple(str(row["query"]) for row in asked.values()), tuple(map(key_of, asked.values()))
    return Elsewhere(
        tuple(data_set for data_set, _ in asked),
        texts,
        keys,
        same_questions(list(zip(texts, keys, strict=True)), list(zip(grid.texts, grid.keys, strict=True))),
        tuple(family_of),
        tuple(family_of.values()),
        np.array([number[question] for question, _ in cells], np.int64),
        np.array([place[arm] for _, arm in cells], np.int64),
        np.array([np.mean(right) for right in cells.values()], np.float64),
    )


def _name(model: str) -> str:
    return model.rpartition("/")[2].casefold()
