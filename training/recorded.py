"""Recorded: several draws per question in the interchange form, as something that can be replayed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from router.behaviour import Likeness
from router.bundle import Bundle
from router.call import Completion
from router.errors import StoreError
from router.feasibility import lack
from router.menu import Menu
from router.price import Price
from router.prospect import Prospects
from router.query import Query, Wishes
from router.replay import Recorded, Recording
from training.rounds import Round, Rounds
from training.simulate import Simulation

REQUIRED = (
    "query_id",
    "query",
    "model",
    "strategy",
    "response",
    "score",
    "prompt_tokens",
    "completion_tokens",
)


@dataclass(frozen=True, slots=True)
class RecordedTable:
    """The questions of a table and their recorded draws. keys: query id -> question key; families:
    query id -> the task family, where the table has it. replies: query id -> all texts. timed: whether
    every draw has its latency; else replays tell nothing of time."""

    queries: Sequence[Query]
    recording: Recording
    keys: Mapping[str, str]
    families: Mapping[str, str]
    replies: Mapping[str, Sequence[str]]
    timed: bool = True


def read_recorded(path: Path) -> RecordedTable:
    """Read a table whose ``strategy`` names the prompt template of one draw. A column ``verifier``
    (JSON text) is the live verifier of its question. Where only the final answer was kept, it stands for the
    reply. ``StoreError`` where columns are missing."""
    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as Parquet: {error}.") from error
    missing = [name for name in REQUIRED if rows and name not in rows[0]]
    if missing or not rows:
        raise StoreError(
            f"{path} holds no recorded draws to replay; it lacks {', '.join(missing) or 'rows'}."
        )
    queries = {row["query_id"]: _query(row) for row in rows}
    drawn = [
        (row, _draw(row))
        for row in rows
        if (row["response"], row.get("answer")) != (None, None) and row["score"] is not None
    ]
    draws = [(row["model"], row["strategy"], row["query"], draw) for row, draw in drawn]
    replies: dict[str, list[str]] = {query_id: [] for query_id in queries}
    for row, draw in drawn:
        replies[row["query_id"]].append(draw.completion.text)
    keys = {row["query_id"]: row.get("question_key") or row["query_id"] for row in rows}
    families = {row["query_id"]: row.get("family") or "" for row in rows}
    timed = all(row.get("latency_s") is not None for row in rows)
    return RecordedTable(list(queries.values()), Recording.of(draws), keys, families, replies, timed)


def replayed_rounds(
    table: RecordedTable,
    menu: Menu,
    bundle: Bundle,
    price: Price,
    shifts: int,
    likeness: Likeness | None = None,
) -> Rounds:
    """A round for every question, arm that can serve it, and shift of the recorded draws: what a log
    would hold had every arm answered every question while this bundle and price were in force. likeness: see
    ``Run``."""
    pairs = [(query, arm) for query in table.queries for arm in menu if lack(query, arm) is None]
    simulation = simulation_of(table, menu, bundle, price, likeness)
    by_id = {query.id: query for query in table.queries}
    rounds = [
        Round(
            by_id[replayed.query_id],
            replayed.arm,
            replayed.score,
            table.keys[replayed.query_id],
            cost_usd=replayed.usage.cost_usd,
            latency_s=replayed.latency_s if table.timed else None,
            candidates=replayed.candidates,
        )
        for shift in range(shifts)
        for replayed in simulation.replay(pairs, shift)
    ]
    return Rounds(tuple(rounds), {})


def simulation_of(
    table: RecordedTable, menu: Menu, bundle: Bundle, price: Price, likeness: Likeness | None = None
) -> Simulation:
    """Replays of a table with what a service would know and at its price: cascades decide by both."""
    return Simulation(
        table.recording,
        bundle.confidence,
        price,
        lambda query: Prospects.of(query, menu, bundle),
        likeness,
    )


def _query(row: Mapping[str, Any]) -> Query:
    verifier = json.loads(row["verifier"]) if row.get("verifier") else None
    return Query(
        ({"role": "user", "content": row["query"]},), wishes=Wishes(verifier=verifier), id=row["query_id"]
    )


def _draw(row: Mapping[str, Any]) -> Recorded:
    """A whole reply is read as the service reads it."""
    answer: str | None = row.get("answer")
    whole = row["response"] is not None
    completion = Completion(
        {"role": "assistant", "content": row["response"] if whole else answer},
        "stop",
        row["prompt_tokens"] or 0,
        row["completion_tokens"] or 0,
    )
    score, latency_s = float(row["score"]), row.get("latency_s") or 0.0
    return Recorded(completion, score, latency_s, extracted=not whole, answer=None if whole else answer)
