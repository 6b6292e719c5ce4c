"""Rounds from traces and from the interchange form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from fakes_learning import small_menu

from router.errors import StoreError
from router.outcome import Outcome
from router.trace import CallRecord, Trace
from router.usage import Usage
from training.interchange import rounds_from_parquet
from training.rounds import Rounds, best_outcomes, question_key, rounds_from_traces

MENU = small_menu()
MESSAGES = [{"role": "user", "content": "2 + 2?"}]
PROMPT = json.dumps({"messages": MESSAGES, "max_completion_tokens": 9, "parameters": {"seed": 1}})


def trace(trace_id: str = "t", **changes: Any) -> Trace:
    """A complete trace of ``small/direct`` under a uniform draw."""
    plan: Mapping[str, Any] = {
        "menu": MENU.hash,
        "propensity": 0.25,
        "propensities": [0.25, 0.25, 0.25, 0.25, 0, 0, 0],
        "override": None,
        "price_per_usd": 3.0,
        "price_per_s": 0.5,
        "stakes": 2.0,
    }
    values: dict[str, Any] = {
        "id": trace_id,
        "created_at": 100.0,
        "account": "a",
        "window": "w",
        "conversation": None,
        "unit": None,
        "arm": "small/direct",
        "status": "complete",
        "usage": Usage(1, 10, 5, 2_000),
        "latency_s": 0.5,
        "plan": plan,
        "prompt": PROMPT,
        "answer": "4",
        "calls": (
            CallRecord("small", "candidate", "direct", "ok", Usage(), 0.0, "It is 4.", "4"),
            CallRecord("small", "judge", "direct", "ok", Usage(), 0.0, "yes"),
            CallRecord("small", "candidate", "direct", "error", Usage(), 0.0, error="timeout"),
        ),
    }
    return Trace(**{**values, **changes})


def joined(made: Trace, *outcomes: Outcome) -> Rounds:
    return rounds_from_traces([made], outcomes or [Outcome("t", 1.0, "client")], MENU)


def test_round_holds_the_trace() -> None:
    """A round has what was asked, what answered, the odds, the spending and the candidates."""
    [r] = joined(trace()).rounds
    assert (r.query.text, r.query.max_completion_tokens, r.query.parameters) == ("2 + 2?", 9, {"seed": 1})
    assert (r.arm, r.reward, r.propensity, r.propensities[0]) == ("small/direct", 1.0, 0.25, 0.25)  # type: ignore[index]  # they are known here
    assert (r.cost_usd, r.latency_s, r.created_at) == (2e-6, 0.5, 100.0)
    assert (r.price.per_usd, r.price.per_s, r.stakes) == (3.0, 0.5, 2.0)
    assert [candidate.extracted for candidate in r.candidates] == ["4"]
    assert r.query.id == "t"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "unfinished"}, "unfinished"),
        ({"id": "other"}, "no outcome yet"),
        ({"prompt": None}, "not kept whole"),
        ({"prompt": "9f86d081884c7d65"}, "not kept whole"),
        ({"prompt": "{broken"}, "not kept whole"),
    ],
    ids=["cancelled", "unfinished", "unjudged", "no prompt", "hashed", "broken"],
)
def test_dropped_with_its_reason(changes: Mapping[str, Any], reason: str) -> None:
    """A trace that cannot be learnt from is counted under the reason."""
    made = joined(trace(**changes))
    assert not made.rounds
    assert any(reason in each for each in made.dropped)


def test_an_arm_that_left_the_menu_is_kept() -> None:
    """It teaches, too."""
    assert [r.arm for r in joined(trace(arm="small/gone")).rounds] == ["small/gone"]


def test_orphaned_outcomes_are_counted() -> None:
    """An outcome whose trace is not there is counted too."""
    made = rounds_from_traces([], [Outcome("gone", 1.0, "client")], MENU)
    assert made.dropped == {"outcome without its trace": 1}


def test_outcomes_that_are_missing_unevenly_are_told() -> None:
    """Where one arm's answers are judged more often than another's, its share says so; chance does not."""
    arms = ["small/direct"] * 40 + ["small/steps"] * 40
    traces = [trace(str(i), arm=arm) for i, arm in enumerate(arms)]

    def told(judged: Iterable[int]) -> Mapping[str, float] | None:
        outcomes = [Outcome(str(i), 1.0, "user") for i in judged]
        return rounds_from_traces(traces, outcomes, MENU).judged_shares()

    assert told((*range(30), *range(40, 50))) == {"small/direct": 0.75, "small/steps": 0.25}
    assert told((*range(30), *range(40, 68))) is None
    assert told(range(80)) is None


def test_a_named_source_goes_first() -> None:
    """A judge's later word does not replace a human's, nor a human's that of the caller's own measure."""
    judge, human = Outcome("t", 0.0, "judge", recorded_at=9), Outcome("t", 0.25, "human", recorded_at=1)
    own = Outcome("t", 1.0, "ticket_closed", recorded_at=0)
    assert best_outcomes([human, judge])["t"] is human
    assert best_outcomes([judge, own, human])["t"] is own


def test_the_latest_word_of_a_source_counts() -> None:
    """Of one source the latest outcome counts, whatever the order in which they are read; a verifier of
    any kind ranks as a verifier."""
    early, late = (Outcome("t", r, "verifier:numeric", str(r), recorded_at=r) for r in (0.0, 1.0))
    judge = Outcome("t", 0.5, "judge", recorded_at=9)
    assert best_outcomes([late, judge, early])["t"] is late


def test_choices_of_one_request_teach_as_one_answer() -> None:
    """Four choices are judged each: their mean reward counts, at what one of them cost."""
    verdicts = [Outcome("t", float(i == 0), "verifier:numeric", str(i), recorded_at=5) for i in range(4)]
    [r] = joined(trace(wishes={"n": 4}), *verdicts).rounds
    assert (r.reward, r.cost_usd) == (0.25, 5e-7)


@pytest.mark.parametrize("change", [{"override": "a fixed target"}, {"propensity": None}])
def test_no_odds_without_a_draw(change: Mapping[str, Any]) -> None:
    """A plan that no draw decided gives a round without odds, which can still be fitted."""
    [r] = joined(trace(plan={**trace().plan, **change})).rounds
    assert r.propensity is None
    assert r.propensities is None


def test_odds_of_another_menu_are_unknown() -> None:
    """A vector of odds over another menu is not read as if it were over this one."""
    [r] = joined(trace(plan={**trace().plan, "menu": "another"})).rounds
    assert r.propensity == 0.25
    assert r.propensities is None


def test_same_question_same_key() -> None:
    """Case and spacing do not make another question; another sign does."""
    assert question_key("What is\n2 + 2?") == question_key("  what IS 2 + 2?")
    assert question_key("2 + 2") != question_key("2 - 2")


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def interchange(**changes: Any) -> dict[str, Any]:
    row = {"query_id": "q", "query": "2+2?", "model": "small", "strategy": "direct", "score": 1.0}
    return {**row, "response": "It is 4.", "answer": "4", "cost_usd": 0.5, "latency_s": None, **changes}


def test_interchange(tmp_path: Path) -> None:
    """A row of the flat form is a round; what it lacks is unknown, not zero."""
    [r] = rounds_from_parquet([table(tmp_path / "a.parquet", [interchange()])], MENU).rounds
    assert (r.arm, r.reward, r.cost_usd, r.query.text) == ("small/direct", 1.0, 0.5, "2+2?")
    assert (r.propensity, r.latency_s, r.created_at) == (None, None, None)
    assert r.candidates[0].extracted == "4"


def test_a_rows_tokens_are_the_replys_only_of_a_single_call(tmp_path: Path) -> None:
    """An arm of several calls has all of them counted in its row."""
    several = next(arm for arm in MENU if sum(arm.strategy.demand().values()) > 1)
    model, _, strategy = several.id.partition("/")
    rows = [
        interchange(completion_tokens=40),
        interchange(completion_tokens=40, model=model, strategy=strategy),
        interchange(completion_tokens=None),
    ]
    made = rounds_from_parquet([table(tmp_path / "a.parquet", rows)], MENU).rounds
    assert [r.candidates[0].completion.completion_tokens for r in made] == [40, 0, 0]


def test_interchange_drops_with_reasons(tmp_path: Path) -> None:
    """Rows that cannot be used are counted by reason."""
    changes: list[dict[str, Any]] = [{"score": None}, {"score": 7.0}, {"query": None}, {"model": "gone"}]
    rows = [interchange(**change) for change in changes]
    made = rounds_from_parquet([table(tmp_path / "a.parquet", rows)], MENU)
    assert [(r.arm.startswith("gone/"), r.candidates) for r in made.rounds] == [(True, ())]
    assert sorted(made.dropped.values()) == [1, 1, 1]


def test_columns_of_other_kinds_are_read(tmp_path: Path) -> None:
    """Whole numbers where text is expected, times of any kind, gaps that are no numbers."""
    path = tmp_path / "a.parquet"
    columns = {
        "query_id": [1, 2, 3],
        "query": ["2+2?", "3+3?", "4+4?"],
        "model": pa.array(["small"] * 3).dictionary_encode(),
        "strategy": ["direct"] * 3,
        "score": pa.array([1, 0, 1], pa.int8()),
        "answer": [0, 6, 8],
        "cost_usd": [float("nan"), -1.0, float("inf")],
        "latency_s": [0.5, -0.5, 1.0],
        "created_at": pa.array([1_700_000_000_500, 1, 2], pa.timestamp("ms", tz="UTC")),
    }
    parquet.write_table(pa.table(columns), path)
    rounds = rounds_from_parquet([path], MENU).rounds
    assert [r.cost_usd for r in rounds] == [None] * 3
    assert [r.latency_s for r in rounds] == [0.5, None, 1.0]
    assert rounds[0].created_at == 1_700_000_000.5
    assert [r.candidates[0].extracted for r in rounds] == ["0", "6", "8"]


def test_a_column_of_a_wrong_kind_is_named(tmp_path: Path) -> None:
    """What cannot be read as a score is no score."""
    with pytest.raises(StoreError, match="column 'score' must hold values of type double"):
        rounds_from_parquet([table(tmp_path / "a.parquet", [interchange(score="good")])], MENU)


def test_a_score_that_is_no_number_is_no_outcome(tmp_path: Path) -> None:
    """As null is."""
    made = rounds_from_parquet([table(tmp_path / "a.parquet", [interchange(score=float("nan"))])], MENU)
    assert (len(made.rounds), dict(made.dropped)) == (0, {"no outcome yet": 1})
    assert list(made.unjudged.values()) == [1]


def test_interchange_that_is_none(tmp_path: Path) -> None:
    """A file without the columns, or that is no Parquet at all, is a clear error."""
    with pytest.raises(StoreError, match="score"):
        rounds_from_parquet([table(tmp_path / "a.parquet", [{"query": "2+2?"}])], MENU)
    (tmp_path / "b.parquet").write_text("no parquet")
    with pytest.raises(StoreError, match=r"b\.parquet"):
        rounds_from_parquet([tmp_path / "b.parquet"], MENU)
