"""Exchange: traces out to the interchange form and in again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from fakes import trace_of

from router.errors import StoreError
from router.outcome import Outcome
from router.stores import Judge, Settle
from router.stores.sqlite import Sqlite
from router.usage import Usage
from training.exchange import IMPORTED, SCHEMA, export_traces, import_traces
from training.rounds import question_key

SUM = [{"role": "user", "content": "What is 2 + 3?"}]
CONVERSATIONS: list[list[dict[str, Any]]] = [
    SUM,
    [{"role": "system", "content": "Be brief."}, *SUM],
    [{"role": "system", "content": "Alone."}],
    [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}],
    [{"role": "user", "content": '[{"a": 1}]'}],
    [{"role": "user", "content": '[{"role": "user", "content": "nested"}]'}],
    [{"role": "user", "content": '[{"not JSON'}],
    [{"role": "user", "content": ""}],
]
ROW: dict[str, Any] = {
    "dataset": "logs",
    "query_id": "q1",
    "query": "What is 2 + 3?",
    "model": "gpt",
    "strategy": "direct",
    "sample_index": 0,
    "response": "5",
    "prompt_tokens": 9,
    "completion_tokens": 2,
    "cost_usd": 0.000123456,
    "latency_s": 0.5,
    "score": 1.0,
    "created_at": 1e9,
}


@pytest.fixture
def store() -> Iterator[Sqlite]:
    """An empty store in memory."""
    memory = Sqlite(":memory:")
    yield memory
    memory.close()


@pytest.fixture
def other() -> Iterator[Sqlite]:
    """Another one, elsewhere."""
    memory = Sqlite(":memory:")
    yield memory
    memory.close()


def asked(messages: list[dict[str, Any]]) -> str:
    return json.dumps({"messages": messages, "max_completion_tokens": 5, "parameters": {"seed": 1}})


def written(path: Path, *rows: dict[str, Any]) -> Path:
    parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def test_a_round_trip_keeps_everything_but_the_ids(store: Sqlite, other: Sqlite, tmp_path: Path) -> None:
    """Exported, imported elsewhere and exported again, the rows are equal; a trace has an id of its own."""
    for i, messages in enumerate(CONVERSATIONS):
        trace = trace_of(
            f"t{i}", 100 + i, prompt=asked(messages), created_at=1e9 + i, arm="small/best_of_n@4"
        )
        store.apply([Settle(trace), Judge(Outcome(trace.id, i / 10, "user"))])
    store.apply([Settle(trace_of("unjudged", prompt=asked(SUM), created_at=2e9))])
    first, second = tmp_path / "first.parquet", tmp_path / "folder" / "second.parquet"
    assert export_traces(store, first).rows == import_traces(other, first).rows == len(CONVERSATIONS) + 1
    assert export_traces(other, second).rows == len(CONVERSATIONS) + 1
    without_ids = [[{**row, "query_id": None} for row in rows_of(path)] for path in (first, second)]
    assert without_ids[0] == without_ids[1]
    assert parquet.read_schema(first).equals(SCHEMA)


@pytest.mark.parametrize("messages", CONVERSATIONS, ids=str)
def test_a_conversation_comes_back_as_it_was_asked(
    store: Sqlite, other: Sqlite, tmp_path: Path, messages: list[dict[str, Any]]
) -> None:
    """A lone user's text travels as itself, whatever it looks like; all else as a conversation."""
    store.apply([Settle(trace_of("t1", prompt=asked(messages)))])
    export_traces(store, tmp_path / "t.parquet")
    import_traces(other, tmp_path / "t.parquet")
    [trace] = other.traces()
    assert json.loads(trace.prompt or "")["messages"] == messages


def test_a_row_says_what_was_spent_and_what_came_of_it(store: Sqlite, tmp_path: Path) -> None:
    """Summed tokens and cost, the arm split at its model, the odds, and the outcome that counts."""
    trace = trace_of("t1", 123, prompt=asked(SUM), arm="small/self_consistency@4")
    said = [Outcome("t1", 0.0, "verifier:exact", "0", 1.0), Outcome("t1", 0.75, "user", "", 0.5)]
    store.apply([Settle(trace), *map(Judge, said)])
    export_traces(store, tmp_path / "t.parquet")
    [row] = rows_of(tmp_path / "t.parquet")
    assert (row["model"], row["strategy"], row["query"]) == ("small", "self_consistency@4", "What is 2 + 3?")
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]) == (30, 7, 123e-9)
    assert (row["score"], row["propensity"], row["created_at"]) == (0.75, 0.25, trace.created_at)
    assert row["question_key"] == question_key("What is 2 + 3?")


@pytest.mark.parametrize("prompt", [None, "0" * 64])
def test_a_trace_whose_prompt_was_not_kept_is_left_out(
    store: Sqlite, tmp_path: Path, prompt: str | None
) -> None:
    """Without its question a row teaches nothing; how many is told."""
    store.apply([Settle(trace_of("t1", prompt=prompt)), Settle(trace_of("t2", prompt=asked(SUM)))])
    exported = export_traces(store, tmp_path / "t.parquet")
    assert (exported.rows, exported.left_out) == (1, {"its prompt was not kept whole": 1})


def test_an_empty_store_exports_an_empty_table(store: Sqlite, tmp_path: Path) -> None:
    """It has the columns all the same."""
    assert export_traces(store, tmp_path / "t.parquet").rows == 0
    assert parquet.read_table(tmp_path / "t.parquet").schema.equals(SCHEMA)


def test_an_imported_row_is_a_trace_of_its_own_account(store: Sqlite, tmp_path: Path) -> None:
    """Under the account ``imported``, with its score as an outcome; no window of a caller is charged."""
    assert import_traces(store, written(tmp_path / "t.parquet", ROW)).rows == 1
    [trace] = store.traces()
    [outcome] = store.outcomes(trace.id)
    assert (trace.account, trace.window, trace.arm) == (IMPORTED, IMPORTED, "gpt/direct")
    assert trace.usage == Usage(1, 9, 2, 123_456)
    assert (trace.answer, trace.latency_s, trace.created_at) == ("5", 0.5, 1e9)
    assert (outcome.reward, outcome.source) == (1.0, IMPORTED)


def test_a_repeated_import_changes_nothing(store: Sqlite, tmp_path: Path) -> None:
    """Ids follow from the rows, so they are the same each time and on every machine."""
    path = written(tmp_path / "t.parquet", ROW, {**ROW, "sample_index": 1, "created_at": None})
    import_traces(store, path)
    before = list(store.traces()), list(store.outcomes()), store.balance(IMPORTED, IMPORTED)
    import_traces(store, path)
    assert (list(store.traces()), list(store.outcomes()), store.balance(IMPORTED, IMPORTED)) == before
    assert {trace.id for trace in before[0]} == {
        "725509c6-3988-5992-859d-2c05998ad5e5",
        "85a19ccb-78e9-57e4-9593-cc68bbbf7c77",
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query": None}, "it has no query"),
        ({"score": 1.5}, "its score is outside [0, 1]"),
        ({"dataset": "else"}, "it is of another dataset"),
        ({}, "it repeats an earlier row (of the same sample_index)"),
    ],
)
def test_a_row_that_cannot_be_taken_is_left_out_and_told(
    store: Sqlite, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """The others are taken; the reasons are counted."""
    path = written(tmp_path / "t.parquet", ROW, {**ROW, **change})
    imported = import_traces(store, path, dataset="logs")
    assert (imported.rows, imported.left_out) == (1, {reason: 1})
    assert len(list(store.traces())) == 1


def test_what_is_unknown_stays_unknown(store: Sqlite, tmp_path: Path) -> None:
    """A row of the required columns alone is taken; NaN is how some writers say null."""
    required = {key: ROW[key] for key in ("query_id", "query", "model", "strategy")}
    import_traces(store, written(tmp_path / "a.parquet", {**required, "score": 0.5}))
    nan = {key: float("nan") for key in ("score", "cost_usd", "latency_s", "created_at")}
    import_traces(store, written(tmp_path / "b.parquet", {**ROW, **nan}))
    traces = list(store.traces())
    assert [(trace.usage.cost_nano, trace.latency_s) for trace in traces] == [(0, 0.0)] * 2
    assert [outcome.reward for outcome in store.outcomes()] == [0.5]


@pytest.mark.parametrize("name", ["query_id", "query", "model", "strategy", "score"])
def test_a_missing_column_is_named(store: Sqlite, tmp_path: Path, name: str) -> None:
    """Nothing of such a table is taken."""
    path = written(tmp_path / "t.parquet", {key: value for key, value in ROW.items() if key != name})
    with pytest.raises(StoreError, match=f"lacks {name}"):
        import_traces(store, path)
    assert not list(store.traces())


def test_a_file_with_nothing_to_take_is_refused(store: Sqlite, tmp_path: Path) -> None:
    """A dataset that is not in it, or a file that is no table."""
    with pytest.raises(StoreError, match="no row to import of the dataset 'else'"):
        import_traces(store, written(tmp_path / "t.parquet", ROW), dataset="else")
    (tmp_path / "t.parquet").write_bytes(b"no Parquet")
    with pytest.raises(StoreError, match="cannot be read"):
        import_traces(store, tmp_path / "t.parquet")


def test_many_rows_are_taken_in_groups(store: Sqlite, tmp_path: Path) -> None:
    """More than one group's worth arrives whole."""
    rows = [{**ROW, "sample_index": i} for i in range(1203)]
    assert import_traces(store, written(tmp_path / "t.parquet", *rows)).rows == 1203
    assert len(list(store.traces())) == 1203
    assert store.balance(IMPORTED, IMPORTED).spent_nano == 1203 * 123_456
