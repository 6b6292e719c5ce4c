"""Recorded tables: several draws per question, read for replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from fakes import usual_menu

from router.bundle import cold_bundle
from router.errors import StoreError
from router.price import Price
from training.recorded import REQUIRED, read_recorded, replayed_rounds

VERIFIER = {"type": "exact", "reference": "5"}
ROW: dict[str, Any] = {
    "query_id": "q1",
    "query": "What is 2 + 3?",
    "model": "small",
    "strategy": "direct",
    "response": "5",
    "score": 1.0,
    "prompt_tokens": 9,
    "completion_tokens": 2,
    "latency_s": 0.5,
    "verifier": json.dumps(VERIFIER),
    "family": "sums",
    "question_key": "k1",
}


def table(path: Path, *rows: dict[str, Any]) -> Path:
    parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pool.parquet"


def test_questions_and_draws_are_read(path: Path) -> None:
    """One query per id with its verifier, key and family; its draws in order by model and template."""
    rows = [ROW, {**ROW, "response": "6", "score": 0.0}, {**ROW, "model": "large"}]
    read = read_recorded(table(path, *rows, {**ROW, "query_id": "q2", "query": "Else?", "verifier": None}))
    assert [query.id for query in read.queries] == ["q1", "q2"]
    assert [query.wishes.verifier for query in read.queries] == [VERIFIER, None]
    assert (read.keys["q1"], read.families["q1"]) == ("k1", "sums")
    draws = read.recording.draws["small", "What is 2 + 3?"]
    assert [(draw.completion.text, draw.score, draw.latency_s) for draw in draws] == [
        ("5", 1.0, 0.5),
        ("6", 0.0, 0.5),
    ]
    assert (draws[0].completion.prompt_tokens, draws[0].completion.completion_tokens) == (9, 2)


def test_optional_columns_may_be_missing(path: Path) -> None:
    """Without them a question is its own key, has no family or verifier, and took no time."""
    read = read_recorded(table(path, {name: ROW[name] for name in REQUIRED}))
    assert (read.keys, read.families) == ({"q1": "q1"}, {"q1": ""})
    assert read.queries[0].wishes.verifier is None
    [draws] = read.recording.draws.values()
    assert draws[0].latency_s == 0.0


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_column_is_named(path: Path, name: str) -> None:
    """Nothing is replayed of a table that lacks what a replay needs."""
    with pytest.raises(StoreError, match=f"lacks {name}"):
        read_recorded(table(path, {key: value for key, value in ROW.items() if key != name}))


def test_a_table_without_rows_or_no_table_at_all_is_refused(path: Path) -> None:
    """The path stands in the message."""
    parquet.write_table(pa.Table.from_pylist([], pa.schema([("query_id", pa.string())])), path)
    with pytest.raises(StoreError, match="lacks rows"):
        read_recorded(path)
    path.write_bytes(b"no Parquet")
    with pytest.raises(StoreError, match="cannot be read as Parquet") as raised:
        read_recorded(path)
    assert str(path) in str(raised.value)
    with pytest.raises(StoreError):
        read_recorded(path.with_name("none.parquet"))


@pytest.mark.parametrize("unknown", ["response", "score"])
def test_a_draw_without_its_reply_or_score_is_left_out(path: Path, unknown: str) -> None:
    """It can be neither given nor scored; the others are kept."""
    read = read_recorded(table(path, {**ROW, unknown: None}, ROW))
    [draws] = read.recording.draws.values()
    assert len(draws) == 1


def test_an_answer_stands_for_a_reply_that_was_not_kept(path: Path) -> None:
    """It is taken as it is; a whole reply is read as the service reads it, whatever else is recorded."""
    kept = [
        {**ROW, "response": "It is 2 + 3 = 5.", "answer": "five"},
        {**ROW, "response": None, "answer": "6"},
    ]
    read = read_recorded(table(path, *kept, {**ROW, "response": None, "answer": None}))
    [draws] = read.recording.draws.values()
    assert [(draw.completion.text, draw.extracted, draw.answer) for draw in draws] == [
        ("It is 2 + 3 = 5.", False, None),
        ("6", True, "6"),
    ]


def test_unknown_token_counts_are_none(path: Path) -> None:
    """Some logs hold no counts: their draws replay at no cost."""
    read = read_recorded(table(path, {**ROW, "prompt_tokens": None}, {**ROW, "completion_tokens": None}))
    [draws] = read.recording.draws.values()
    assert [(draw.completion.prompt_tokens, draw.completion.completion_tokens) for draw in draws] == [
        (0, 2),
        (9, 0),
    ]


def test_a_round_for_every_question_arm_and_shift(path: Path) -> None:
    """Arms that cannot serve a question have none; the others are scored by what they answered."""
    rows = [
        {**ROW, "query_id": query_id, "model": model, "strategy": template, "verifier": verifier}
        for query_id, verifier in [("q1", ROW["verifier"]), ("q2", None)]
        for model in ("small", "large")
        for template in ("direct", "chain_of_thought")
    ]
    rows = [{**row, "query": f"{row['query_id']}: {row['query']}"} for row in rows]
    menu = usual_menu()
    rounds = replayed_rounds(read_recorded(table(path, *rows)), menu, cold_bundle(menu), Price(), shifts=2)
    arms = {query_id: [r.arm for r in rounds.rounds if r.query.id == query_id] for query_id in ("q1", "q2")}
    assert arms["q1"] == menu.ids * 2
    assert arms["q2"] == [arm_id for arm_id in menu.ids if "best_of_n" not in arm_id] * 2
    first = rounds.rounds[0]
    assert (first.arm, first.reward, first.question_key) == ("small/direct", 1.0, "k1")
    assert first.cost_usd == pytest.approx((9 * 0.1 + 2 * 0.4) / 1e6)
    assert first.latency_s == pytest.approx(0.5)
    assert first.propensity is None
