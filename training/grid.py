"""Grid: a file of logged traces as queries x arms, every query answered by every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from router.errors import InvalidQuery, StoreError
from router.estimate import FloatArray
from training.rounds import question_key

REQUIRED = ("query_id", "query", "model", "strategy", "score", "cost_usd", "split")
OPTIONAL = (
    "dataset",
    "domain",
    "sample_index",
    "answer",
    "response",
    "reference",
    "prompt_tokens",
    "completion_tokens",
    "question_key",
)
CORRECT_AT = 0.99

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Draw:
    """One recorded answer. score: 0 to 1 as logged. answer: extracted, response: whole; ``None`` where
    the file lacks it. Tokens 0 where unknown."""

    score: float
    cost_usd: float
    answer: str | None
    response: str | None
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Arrays over the queries (n) and arms (m).

    arms: ``<model>/<strategy>``, or the model alone where the pool has one strategy. draws: n lists of m
    sequences of draws. reward, shape (n, m): the share of draws whose score is at least ``correct_at``.
    cost_usd, shape (n, m): mean over draws. test, shape (n,): the logged split. dropped: reason -> how
    many queries were left out.
    """

    dataset: str
    arms: tuple[str, ...]
    query_ids: tuple[str, ...]
    texts: tuple[str, ...]
    keys: tuple[str, ...]
    domains: tuple[str, ...]
    references: tuple[str | None, ...]
    draws: Sequence[Sequence[Sequence[Draw]]]
    reward: FloatArray
    cost_usd: FloatArray
    test: BoolArray
    dropped: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: IntArray) -> Grid:
        """The grid of some of its queries."""
        picked = [int(i) for i in rows]
        return replace(
            self,
            query_ids=tuple(self.query_ids[i] for i in picked),
            texts=tuple(self.texts[i] for i in picked),
            keys=tuple(self.keys[i] for i in picked),
            domains=tuple(self.domains[i] for i in picked),
            references=tuple(self.references[i] for i in picked),
            draws=[self.draws[i] for i in picked],
            reward=self.reward[rows],
            cost_usd=self.cost_usd[rows],
            test=self.test[rows],
        )


def read_grid(
    path: Path,
    dataset: str | None = None,
    models: Sequence[str] | None = None,
    correct_at: float = CORRECT_AT,
) -> Grid:
    """The grid of one data set of a file, over the pool ``models`` (names or parts of names that only one
    model has; default: all models whose costs are known).

    Queries that lack an arm of the pool are left out, and test queries whose question_key stands in
    train; ``dropped`` counts both. ``StoreError`` where the file cannot be read or lacks a column,
    ``InvalidQuery`` where dataset or models do not name what the file holds, where fewer than two arms
    remain, or costs of the pool are null.
    """
    rows = _of_dataset(_rows(path), dataset, path)
    name = str(rows[0].get("dataset") or path.stem)
    rows = _of_models(rows, models)
    arms = _arms(rows)
    _check_costs(rows, arms)
    return _grid(name, arms, rows, correct_at)


def arm_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Model and strategy of a row."""
    return str(row["model"]), str(row["strategy"])


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        names = parquet.read_schema(path).names
        missing = [name for name in REQUIRED if name not in names]
        if missing:
            raise StoreError(
                f"{path} lacks the columns {', '.join(missing)}. `effortwise traces export` writes them all."
            )
        columns = [name for name in (*REQUIRED, *OPTIONAL) if name in names]
        rows: list[dict[str, Any]] = parquet.read_table(path, columns=columns).to_pylist()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as Parquet: {error}.") from error
    if not rows:
        raise StoreError(f"{path} holds no rows.")
    return rows


def _of_dataset(rows: list[dict[str, Any]], dataset: str | None, path: Path) -> list[dict[str, Any]]:
    known = sorted({str(row.get("dataset") or path.stem) for row in rows})
    if dataset is None and len(known) > 1:
        raise InvalidQuery(f"{path} holds several data sets: give --dataset, one of {', '.join(known)}.")
    if dataset is not None and dataset not in known:
        raise InvalidQuery(f"{path} holds no data set {dataset!r}. It holds: {', '.join(known)}.")
    wanted = dataset or known[0]
    return [row for row in rows if str(row.get("dataset") or path.stem) == wanted]


def _of_models(rows: list[dict[str, Any]], models: Sequence[str] | None) -> list[dict[str, Any]]:
    known = list(dict.fromkeys(str(row["model"]) for row in rows))
    if models is None:
        unpriced = {str(row["model"]) for row in rows if row["cost_usd"] is None}
        wanted = [model for model in known if model not in unpriced]
    else:
        wanted = [_resolve(name, known) for name in models]
    place = {model: i for i, model in enumerate(wanted)}
    kept = [row for row in rows if row["model"] in place]
    return sorted(kept, key=lambda row: place[row["model"]])


def _resolve(name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    matches = [model for model in known if name.casefold() in model.casefold()]
    if len(matches) != 1:
        what = f"fits several models: {', '.join(matches)}" if matches else "names no model of the data set"
        raise InvalidQuery(f"{name!r} {what}. Known: {', '.join(known)}.")
    return matches[0]


def _arms(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Model and strategy -> the arm's id, in order of appearance."""
    pairs = list(dict.fromkeys(arm_of(row) for row in rows))
    if len(pairs) < 2:
        raise InvalidQuery(
            f"There is nothing to choose from: {len(pairs)} arm with known costs. Give two or more --models."
        )
    one = len({strategy for _, strategy in pairs}) == 1
    return {pair: pair[0] if one else f"{pair[0]}/{pair[1]}" for pair in pairs}


def _check_costs(rows: Sequence[Mapping[str, Any]], arms: Mapping[tuple[str, str], str]) -> None:
    unpriced = sorted({arms[arm_of(row)] for row in rows if row["cost_usd"] is None})
    if unpriced:
        raise InvalidQuery(
            f"Costs are null for {', '.join(unpriced)}: an arm whose cost is unknown cannot be compared. "
            "Leave them out of --models, or log their cost_usd."
        )


def _grid(
    name: str, arms: Mapping[tuple[str, str], str], rows: Sequence[Mapping[str, Any]], correct_at: float
) -> Grid:
    position = {pair: i for i, pair in enumerate(arms)}
    found: dict[str, Mapping[str, Any]] = {}
    cells: dict[str, list[list[tuple[int, Draw]]]] = {}
    for row in rows:
        if row["score"] is None or row["query"] is None:
            continue
        query_id = str(row["query_id"])
        found.setdefault(query_id, row)
        cell = cells.setdefault(query_id, [[] for _ in arms])[position[arm_of(row)]]
        cell.append((int(row.get("sample_index") or 0), _draw(row)))
    whole = [query_id for query_id, drawn in cells.items() if all(drawn)]
    kept, dropped = _without_known_questions(whole, found)
    dropped = {"lack an arm of the pool": len(cells) - len(whole), **dropped}
    if not kept:
        raise InvalidQuery(f"No query of {name} was answered by every arm of the pool.")
    draws = [
        [tuple(draw for _, draw in sorted(cell, key=lambda d: d[0])) for cell in cells[query_id]]
        for query_id in kept
    ]
    some = [found[query_id] for query_id in kept]
    return Grid(
        name,
        tuple(arms.values()),
        tuple(kept),
        tuple(str(row["query"]) for row in some),
        tuple(_key(row) for row in some),
        tuple(str(row.get("domain") or "") for row in some),
        tuple(row.get("reference") for row in some),
        draws,
        np.array([[np.mean([d.score >= correct_at for d in cell]) for cell in line] for line in draws]),
        np.array([[np.mean([d.cost_usd for d in cell]) for cell in line] for line in draws]),
        np.array([row["split"] == "test" for row in some]),
        dropped,
    )


def _draw(row: Mapping[str, Any]) -> Draw:
    return Draw(
        float(row["score"]),
        float(row["cost_usd"]),
        row.get("answer"),
        row.get("response"),
        int(row.get("prompt_tokens") or 0),
        int(row.get("completion_tokens") or 0),
    )


def _key(row: Mapping[str, Any]) -> str:
    return str(row.get("question_key") or question_key(str(row["query"])))


def _without_known_questions(
    query_ids: Sequence[str], found: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], dict[str, int]]:
    train = {_key(found[i]) for i in query_ids if found[i]["split"] != "test"}
    kept = [i for i in query_ids if found[i]["split"] != "test" or _key(found[i]) not in train]
    return kept, {"test questions that stand in train": len(query_ids) - len(kept)}
