"""Samples: a file of logged traces with several answers of one model to one query, as series of draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from router.answers import normalise
from router.errors import InvalidQuery, StoreError
from training.evaluation.grid import CORRECT_AT, BoolArray, IntArray, arm_of, check_correct_at
from training.interchange import read_traces
from training.rounds import question_key
from training.split import near_duplicates

REQUIRED = ("query_id", "query", "model", "strategy", "score")
OPTIONAL = (
    "dataset",
    "domain",
    "answer",
    "sample_index",
    "cost_usd",
    "completion_tokens",
    "question_key",
    "split",
)
LEAST_DRAWS = 2
NO_ANSWER = "(no answer)"
"""What an invalid answer votes for where votes are not filtered."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The draws of one arm for one query, exchangeable. correct, shape (draws,). answers: extracted, in
    the form in which votes compare them, ``None`` where there is none. cost_usd, completion_tokens: means
    per draw, ``None`` where unknown.
    test: the logged split."""

    dataset: str
    domain: str
    query_id: str
    text: str
    arm: str
    key: str
    test: bool
    correct: BoolArray
    answers: tuple[str | None, ...]
    cost_usd: float | None
    completion_tokens: float | None

    def __len__(self) -> int:
        return len(self.correct)

    def unfiltered(self) -> Series:
        """The same with invalid answers voting as one answer of their own."""
        return replace(self, answers=tuple(NO_ANSWER if each is None else each for each in self.answers))


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Series of one or several data sets. group, shape (series,): near-duplicate questions have the same
    number. dropped: reason -> how many series were left out."""

    dataset: str
    series: tuple[Series, ...]
    group: IntArray
    dropped: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.series)

    @property
    def typical(self) -> int:
        """The draws that at least half of the series have."""
        return int(np.sort([len(each) for each in self.series])[len(self.series) // 2])

    def of_length(self, draws: int) -> Samples:
        """The series of at least so many draws."""
        kept = [i for i, each in enumerate(self.series) if len(each) >= draws]
        return self._take(kept, f"fewer than {draws} draws")

    def with_answers(self) -> Samples:
        """The series of which more than half of the draws have an answer to vote with."""
        kept = [i for i, each in enumerate(self.series) if 2 * each.answers.count(None) < len(each)]
        return self._take(kept, "too few extracted answers")

    def _take(self, kept: Sequence[int], reason: str) -> Samples:
        dropped = {**self.dropped, reason: len(self) - len(kept)} if len(kept) < len(self) else self.dropped
        return replace(
            self, series=tuple(self.series[i] for i in kept), group=self.group[list(kept)], dropped=dropped
        )


def read_samples(
    path: Path,
    datasets: Sequence[str] = (),
    models: Sequence[str] | None = None,
    correct_at: float = CORRECT_AT,
) -> Samples:
    """The series of a file's data sets (all of them must be named where it has several), over models
    whose names contain one of ``models``.

    A correct draw is one whose score is at least ``correct_at``. Rows without a score tell nothing;
    series of a single draw are left out. ``StoreError`` where the file cannot be read or lacks a
    column, ``InvalidQuery`` where names fit nothing, or no series of several draws remains.
    """
    check_correct_at(correct_at)
    rows = _of_models(_of_datasets(_rows(path), datasets, path), models)
    cells: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["score"] is not None and row["query"] is not None:
            if not 0 <= row["score"] <= 1:
                raise InvalidQuery(f"A score of {row['query_id']!r} is {row['score']}: scores lie in [0, 1].")
            cells.setdefault((row["dataset"], *arm_of(row), str(row["query_id"])), []).append(row)
    found = [_series(cell, correct_at) for cell in cells.values() if len(cell) >= LEAST_DRAWS]
    if not found:
        raise InvalidQuery(
            "No arm has several samples of one query: there is nothing to allocate. `effortwise evaluate` "
            "compares arms of one sample each."
        )
    group = near_duplicates([each.text for each in found], [each.key for each in found])
    names = ",".join(sorted({str(row["dataset"]) for row in rows}))
    single = {"a single draw": len(cells) - len(found)} if len(cells) > len(found) else {}
    return Samples(names, tuple(found), group, single)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_traces(path, REQUIRED, OPTIONAL).to_pylist()
    if not rows:
        raise StoreError(f"{path} holds no rows.")
    return [{**row, "dataset": row.get("dataset") or path.stem} for row in rows]


def _of_datasets(rows: list[dict[str, Any]], datasets: Sequence[str], path: Path) -> list[dict[str, Any]]:
    known = sorted({row["dataset"] for row in rows})
    unknown = [name for name in datasets if name not in known]
    if unknown:
        raise InvalidQuery(f"{path} holds no data set {unknown[0]!r}. It holds: {', '.join(known)}.")
    if not datasets and len(known) > 1:
        raise InvalidQuery(
            f"{path} holds several data sets: give --dataset, one or more of {', '.join(known)}."
        )
    return [row for row in rows if not datasets or row["dataset"] in datasets]


def _of_models(rows: list[dict[str, Any]], models: Sequence[str] | None) -> list[dict[str, Any]]:
    if models is None:
        return rows
    known = sorted({"/".join(arm_of(row)) for row in rows})
    unknown = [name for name in models if not any(name.casefold() in each.casefold() for each in known)]
    if unknown:
        raise InvalidQuery(f"{unknown[0]!r} names no model of the data set. Known: {', '.join(known)}.")
    wanted = [name.casefold() for name in models]
    return [row for row in rows if any(name in "/".join(arm_of(row)).casefold() for name in wanted)]


def _series(cell: Sequence[Mapping[str, Any]], correct_at: float) -> Series:
    first = cell[0]
    text = str(first["query"])
    ordered = sorted(cell, key=lambda row: int(row.get("sample_index") or 0))
    return Series(
        str(first["dataset"]),
        str(first.get("domain") or ""),
        str(first["query_id"]),
        text,
        "/".join(arm_of(first)),
        str(first.get("question_key") or question_key(text)),
        first.get("split") == "test",
        np.array([row["score"] >= correct_at for row in ordered]),
        tuple(normalise(row["answer"]) if row.get("answer") else None for row in ordered),
        _mean(row.get("cost_usd") for row in ordered),
        _mean(row.get("completion_tokens") for row in ordered),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    numbers = [float(value) for value in known if value is not None]
    return sum(numbers) / len(numbers) if numbers and len(numbers) == len(known) else None
