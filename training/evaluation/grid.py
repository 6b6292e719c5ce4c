"""Grid: a file of logged traces as queries x arms, every query answered by every arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from router.errors import InvalidQuery, StoreError
from router.estimate import FloatArray
from training.evaluation.elsewhere import NOWHERE, Elsewhere
from training.evaluation.others import NO_OTHERS, Others
from training.interchange import read_traces
from training.rounds import question_key

REQUIRED = ("query_id", "query", "model", "strategy", "score", "cost_usd")
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
    "split",
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
    many queries were left out. models, shape (m,): each arm's model. others: of arms outside the pool.
    elsewhere: of the pool's models in other data sets.
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
    models: tuple[str, ...] = ()
    others: Others = NO_OTHERS
    elsewhere: Elsewhere = NOWHERE

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
            others=self.others.take(rows),
            elsewhere=self.elsewhere.take(rows),
        )


def read_grid(
    path: Path,
    dataset: str | None = None,
    models: Sequence[str] | None = None,
    correct_at: float = CORRECT_AT,
    *,
    ignore_split: bool = False,
    also: Sequence[str] = (),
) -> Grid:
    """The grid of one data set of a file, over the pool ``models`` (names, parts of names, or their
    dash-separated parts in order, that only one model has; default: all models whose costs are known).

    Queries that lack an arm of the pool are left out, and test queries whose question_key stands in
    train; ``dropped`` counts both. ignore_split: keep the latter, for folds that keep equal questions
    together. also: further models, named likewise, whose outcomes are learnt from but which are not chosen;
    ``all``: all that are not in the pool. ``StoreError`` where the file cannot be read or lacks a column,
    ``InvalidQuery`` where dataset, models or also do not name what the file holds, where fewer than two arms
    remain, or costs of the pool are null.
    """
    check_correct_at(correct_at)
    table = logged(path, dataset)
    name = dataset or str(table["dataset"][0].as_py())
    known = compute.unique(table["model"]).to_pylist()
    pool = _pool(table, models, known)
    rest = _rest(also, pool, known)
    others = table.filter(compute.is_in(table["model"], pa.array(rest, pa.string())))
    table = table.filter(compute.is_in(table["model"], pa.array(pool, pa.string())))
    place = {model: i for i, model in enumerate(pool)}
    rows = sorted(table.to_pylist(), key=lambda row: place[row["model"]])
    arms = _arms(rows)
    _check_costs(rows, arms)
    grid = _grid(name, arms, rows, correct_at, ignore_split)
    return replace(grid, others=Others.of(others.to_pylist(), grid.query_ids, correct_at))


def check_correct_at(score: float) -> None:
    """``InvalidQuery`` where no score, or every one, would count as right."""
    if not 0 < score <= 1:
        raise InvalidQuery(f"--correct-at is a score above 0 and no more than 1, not {score}.")


def check_score(row: Mapping[str, Any]) -> None:
    """``InvalidQuery`` where a known score is none."""
    if not 0 <= row["score"] <= 1:
        raise InvalidQuery(
            f"The query {row['query_id']!r} has the score {row['score']}: scores lie in [0, 1]."
        )


def arm_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Model and strategy of a row."""
    return str(row["model"]), str(row["strategy"])


def logged(path: Path, dataset: str | None) -> pa.Table:
    """The rows of one data set of a file. ``StoreError`` where it cannot be read or lacks a column,
    ``InvalidQuery`` where it does not hold the data set, or where none is named of several."""
    return _of_dataset(_table(path), dataset, path)


def _table(path: Path) -> pa.Table:
    """The known columns, with a column ``dataset`` in any case."""
    table = read_traces(path, REQUIRED, OPTIONAL)
    if not len(table):
        raise StoreError(f"{path} holds no rows.")
    if "dataset" not in table.column_names:
        return table.append_column("dataset", pa.array([path.stem] * len(table)))
    filled = compute.fill_null(table["dataset"], path.stem)
    return table.set_column(table.column_names.index("dataset"), "dataset", filled)


def _of_dataset(table: pa.Table, dataset: str | None, path: Path) -> pa.Table:
    known = sorted(compute.unique(table["dataset"]).to_pylist())
    if dataset is None and len(known) > 1:
        raise InvalidQuery(
            f"{path} holds several data sets: name one of {', '.join(known)} (--dataset NAME, or "
            "--also-learn-from FILE.parquet:NAME)."
        )
    if dataset is not None and dataset not in known:
        raise InvalidQuery(f"{path} holds no data set {dataset!r}. It holds: {', '.join(known)}.")
    return table.filter(compute.equal(table["dataset"], dataset or known[0]))


def _pool(table: pa.Table, models: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The pool's models in order."""
    if models is None:
        unpriced = set(table.filter(compute.is_null(table["cost_usd"]))["model"].to_pylist())
        return [model for model in known if model not in unpriced]
    return list(dict.fromkeys(resolve(name, known) for name in models))


def _rest(also: Sequence[str], pool: Sequence[str], known: Sequence[str]) -> list[str]:
    """The models outside the pool that teach."""
    if tuple(also) == ("all",):
        return [model for model in known if model not in pool]
    rest = list(dict.fromkeys(resolve(name, known) for name in also))
    if twice := [model for model in rest if model in pool]:
        raise InvalidQuery(f"{', '.join(twice)} of --also-learn stands in the pool, which teaches anyway.")
    return rest


def resolve(name: str, known: Sequence[str]) -> str:
    """The one model of that name; else the one whose name holds it; else the one whose name has its
    dash-separated parts in order. ``InvalidQuery`` where there is none or are several."""
    if name in known:
        return name
    matches = [model for model in known if name.casefold() in model.casefold()]
    matches = matches or [model for model in known if _in_order(_parts(name), _parts(model))]
    if len(matches) != 1:
        what = f"fits several models: {', '.join(matches)}" if matches else "names no model of the data set"
        raise InvalidQuery(f"{name!r} {what}. Known: {', '.join(known)}.")
    return matches[0]


def _parts(name: str) -> list[str]:
    return name.casefold().replace("/", "-").split("-")


def _in_order(parts: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether all parts stand in the whole, in their order.

    >>> _in_order(["code", "llama", "34b"], ["code", "llama", "instruct", "34b", "chat"])
    True
    """
    rest = iter(whole)
    return all(part in rest for part in parts)


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
    name: str,
    arms: Mapping[tuple[str, str], str],
    rows: Sequence[Mapping[str, Any]],
    correct_at: float,
    ignore_split: bool,
) -> Grid:
    asked, cells = _cells(rows, list(arms))
    whole = [query_id for query_id, drawn in cells.items() if all(drawn)]
    kept = whole if ignore_split else _without_known_questions(whole, asked)
    if not kept:
        raise InvalidQuery(
            f"No query of {name} was answered by every arm of the pool. Name arms that answered the same "
            "queries (--models); where each was answered once, as a service logs it, `effortwise train` "
            "tells what a policy would have earned (value)."
        )
    draws = [[_in_drawn_order(cell) for cell in cells[query_id]] for query_id in kept]
    some = [asked[query_id] for query_id in kept]
    return Grid(
        name,
        tuple(arms.values()),
        tuple(kept),
        tuple(str(row["query"]) for row in some),
        tuple(key_of(row) for row in some),
        tuple(str(row.get("domain") or "") for row in some),
        tuple(row.get("reference") for row in some),
        draws,
        _means(draws, lambda draw: draw.score >= correct_at),
        _means(draws, lambda draw: draw.cost_usd),
        np.array([row.get("split") == "test" for row in some]),
        {
            "lack an arm of the pool": len(cells) - len(whole),
            "test questions that stand in train": len(whole) - len(kept),
        },
        tuple(model for model, _ in arms),
    )


def _cells(
    rows: Sequence[Mapping[str, Any]], arms: Sequence[tuple[str, str]]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, list[list[tuple[int, Draw]]]]]:
    """By query id: its first row, and for each arm its numbered draws. Rows without a score or a text
    tell nothing."""
    position = {pair: i for i, pair in enumerate(arms)}
    asked: dict[str, Mapping[str, Any]] = {}
    cells: dict[str, list[list[tuple[int, Draw]]]] = {}
    for row in rows:
        if row["score"] is None or row["query"] is None:
            continue
        query_id = str(row["query_id"])
        if asked.setdefault(query_id, row)["query"] != row["query"]:
            raise InvalidQuery(f"The query_id {query_id!r} stands for several texts: give each its own.")
        check_score(row)
        cell = cells.setdefault(query_id, [[] for _ in arms])[position[arm_of(row)]]
        cell.append((int(row.get("sample_index") or 0), _draw(row)))
    return asked, cells


def _in_drawn_order(cell: Sequence[tuple[int, Draw]]) -> tuple[Draw, ...]:
    return tuple(draw for _, draw in sorted(cell, key=lambda numbered: numbered[0]))


def _means(draws: Sequence[Sequence[Sequence[Draw]]], value: Callable[[Draw], float]) -> FloatArray:
    """The mean of each cell, shape (n, m)."""
    return np.array([[sum(map(value, cell)) / len(cell) for cell in line] for line in draws], np.float64)


def _draw(row: Mapping[str, Any]) -> Draw:
    return Draw(
        float(row["score"]),
        float(row["cost_usd"]),
        row.get("answer"),
        row.get("response"),
        int(row.get("prompt_tokens") or 0),
        int(row.get("completion_tokens") or 0),
    )


def key_of(row: Mapping[str, Any]) -> str:
    """The question's key: as logged, or of its text."""
    return str(row.get("question_key") or question_key(str(row["query"])))


def _without_known_questions(query_ids: Sequence[str], asked: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Those of train, and those of test whose question does not stand in train."""
    tested = {i for i in query_ids if asked[i].get("split") == "test"}
    train = {key_of(asked[i]) for i in query_ids if i not in tested}
    return [i for i in query_ids if i not in tested or key_of(asked[i]) not in train]
