"""Interchange: rounds from the flat Parquet form, one row a call, of logs recorded anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from router.arm import Arm
from router.candidate import Candidate
from router.errors import StoreError
from router.menu import Menu
from router.query import Query
from training.rounds import UNJUDGED, Round, Rounds, question_key, recorded_candidate

INTERCHANGE = (
    ("dataset", pa.string()),
    ("domain", pa.string()),
    ("query_id", pa.string()),
    ("query", pa.string()),
    ("reference", pa.string()),
    ("model", pa.string()),
    ("strategy", pa.string()),
    ("sample_index", pa.int32()),
    ("answer", pa.string()),
    ("response", pa.string()),
    ("prompt_tokens", pa.int64()),
    ("completion_tokens", pa.int64()),
    ("token_source", pa.string()),
    ("cost_usd", pa.float64()),
    ("latency_s", pa.float64()),
    ("score", pa.float64()),
    ("confidence", pa.float64()),
    ("split", pa.string()),
    ("question_key", pa.string()),
)
"""The columns that every table of traces has, as name and type."""

REQUIRED = ("query_id", "query", "model", "strategy", "score")
OPTIONAL = (
    "dataset",
    "domain",
    "sample_index",
    "prompt_tokens",
    "cost_usd",
    "latency_s",
    "question_key",
    "answer",
    "response",
    "completion_tokens",
    "propensity",
    "created_at",
)


TYPES = {**dict(INTERCHANGE), "propensity": pa.float64(), "created_at": pa.float64()}
_AMOUNTS = ("cost_usd", "latency_s")


def read_traces(path: Path, required: Sequence[str], optional: Sequence[str]) -> pa.Table:
    """The known columns of a table of traces, in the interchange form's types. What is no number is null, as
    is a cost or a latency that is negative or infinite; times become Unix seconds. ``StoreError`` where the
    file cannot be read, lacks a required column, or has one of another kind."""
    try:
        names = parquet.read_schema(path).names
        missing = [name for name in required if name not in names]
        if missing:
            raise StoreError(
                f"{path} is no table of traces: it lacks {', '.join(missing)}. `effortwise traces export` "
                "writes all columns."
            )
        table = parquet.read_table(path, columns=[n for n in (*required, *optional) if n in names])
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as Parquet: {error}.") from error
    return pa.table({name: _conformed(path, name, table[name]) for name in table.column_names})


def _conformed(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = TYPES[name]
    try:
        if pa.types.is_timestamp(column.type):
            column = compute.divide(column.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64()), 1e6)
        if pa.types.is_floating(column.type):
            column = _without(column, compute.is_nan(column))
        column = column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(f"{path}: the column {name!r} must hold values of type {kind}: {error}.") from error
    if name in _AMOUNTS:
        finite = compute.and_(compute.is_finite(column), compute.greater_equal(column, 0.0))
        column = _without(column, compute.invert(finite))
    return column


def _without(column: pa.ChunkedArray, bad: pa.ChunkedArray) -> pa.ChunkedArray:
    return compute.if_else(bad, pa.scalar(None, column.type), column)


def rounds_from_parquet(paths: Iterable[Path], menu: Menu) -> Rounds:
    """Each row a round of the arm ``<model>/<strategy>``, on the menu or not. A column that is missing is
    unknown, and nothing that needs it is computed from it. ``StoreError`` where a file is no such table."""
    asked: dict[str, Query] = {}
    rounds, dropped, unjudged = [], Counter[str](), Counter[str]()
    for row in read_rows(paths):
        reason = _unusable(row)
        if reason is None:
            rounds.append(_round(row, asked, menu))
        else:
            dropped[reason] += 1
            unjudged[_arm(row)] += reason == UNJUDGED
    return Rounds(tuple(rounds), dropped, +unjudged)


def read_rows(paths: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    """The rows of interchange files as plain mappings, of the known columns those that a file has; see
    ``read_traces``."""
    for path in paths:
        for batch in read_traces(path, REQUIRED, OPTIONAL).to_batches():
            yield from batch.to_pylist()


def _unusable(row: Mapping[str, Any]) -> str | None:
    if row["score"] is None:
        return UNJUDGED
    if not 0 <= row["score"] <= 1:
        return "its score is outside [0, 1]"
    if row["query"] is None:
        return "its prompt was not kept whole (store.prompts must be 'whole' to learn from it)"
    return None


def _arm(row: Mapping[str, Any]) -> str:
    return f"{row['model']}/{row['strategy']}"


def _round(row: Mapping[str, Any], asked: dict[str, Query], menu: Menu) -> Round:
    """Rows of one question share one query object."""
    text = row["query"]
    query = asked.get(text)
    if query is None:
        query = asked[text] = Query([{"role": "user", "content": text}], id=str(row["query_id"]))
    return Round(
        query,
        _arm(row),
        float(row["score"]),
        row.get("question_key") or question_key(text),
        propensity=row.get("propensity"),
        cost_usd=row.get("cost_usd"),
        latency_s=row.get("latency_s"),
        created_at=row.get("created_at"),
        candidates=_candidates(row, menu[_arm(row)]) if _arm(row) in menu else (),
    )


def _candidates(row: Mapping[str, Any], arm: Arm) -> tuple[Candidate, ...]:
    """A row's tokens are those of all calls: only of a single one are they the reply's."""
    answer: str | None = row.get("answer")
    response: str | None = row.get("response")
    text = answer if response is None else response
    if text is None:
        return ()
    single = sum(arm.strategy.demand().values()) == 1
    tokens = row.get("completion_tokens") if single else None
    return (recorded_candidate(text, answer, completion_tokens=tokens or 0),)
