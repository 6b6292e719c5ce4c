"""Progress events on the stream, and how a partial answer is marked."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes import Upstream, in_turn, run_of, virtually
from service_process import Live, ask, serving, tables

from router.candidate import Answer
from router.run import Run
from router.strategies.cascade import Cascade, Stage
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency
from router.trace import Step

RULES = [
    {"match": "first is quick", "reply": "42", "times": 1},
    {"match": "first is quick", "reply": "42", "latency_s": 30.0},
]
VOTE = "small/self_consistency:direct@4"
CASCADE = "cascade(small/direct>large/direct)"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serving(tables(tmp_path, RULES)) as live:
        yield live


async def streamed(live: Live, words: str, model: str, stream: bool = True, **more: Any) -> list[Any]:
    """The chunks that the official client gives."""
    wishes = more.pop("wishes", {"progress": True})
    arguments = ask(words, model=model, extra_body={"effortwise": wishes}, stream=stream, **more)
    return [chunk async for chunk in await live.client().chat.completions.create(**arguments)]


def events(chunks: list[Any]) -> list[dict[str, Any]]:
    """The progress events among them."""
    told = [(chunk.model_extra or {}).get("effortwise", {}) for chunk in chunks if not chunk.choices]
    return [each["progress"] for each in told if "progress" in each]


def text(chunks: list[Any]) -> str:
    """The answer, put together as the official client's users do."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def test_who_asks_is_told_plan_steps_and_incumbents(live: Live) -> None:
    """The plan comes first, then what happens, with the usage so far; the answer is the same as without."""
    chunks = await streamed(live, "hello", CASCADE)
    told = events(chunks)
    assert told[0]["event"] == "plan"
    assert (told[0]["decision"], told[0]["calls"], told[0]["cost_usd"]) == (CASCADE, 0, 0)
    assert {each["event"] for each in told} == {"plan", "incumbent", "step"}
    assert set(told[0]) == {"event", "choice", "decision", "reason", "calls", "cost_usd", "elapsed_s"}
    for name in ("calls", "cost_usd", "elapsed_s"):
        assert [each[name] for each in told] == sorted(each[name] for each in told)
    assert {each["decision"] for each in told if each["event"] == "step"} <= {"stop", "escalate"}
    assert text(chunks) == "hello"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.model for chunk in chunks} == {CASCADE}


async def test_tokens_and_events_share_a_stream(live: Live) -> None:
    """A one-call arm streams its tokens, with the usage at the end where that was asked for."""
    chunks = await streamed(live, "one two three", "small", stream_options={"include_usage": True})
    assert text(chunks) == "one two three"
    assert [each["event"] for each in events(chunks)] == ["plan", "incumbent"]
    assert chunks[-1].usage.total_tokens > 0
    assert chunks[-1].model_extra["effortwise"]["status"] == "complete"
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_each_choice_tells_its_own_events(live: Live) -> None:
    """Events say which of several choices they belong to."""
    chunks = await streamed(live, "hello", VOTE, n=2)
    assert {each["choice"] for each in events(chunks) if each["event"] == "incumbent"} == {0, 1}


async def test_nobody_else_is_told(live: Live) -> None:
    """Without the wish every chunk has choices; without a stream the wish changes nothing."""
    for wishes in ({}, {"progress": False}):
        assert all(chunk.choices for chunk in await streamed(live, "hello", CASCADE, wishes=wishes))
    arguments = ask("hello", model="small", extra_body={"effortwise": {"progress": True}})
    whole = await live.client().chat.completions.create(**arguments)
    assert whole.choices[0].message.content == "hello"
    with pytest.raises(openai.BadRequestError, match=r"effortwise\.progress"):
        await streamed(live, "hello", "small", wishes={"progress": "yes"})


async def test_a_partial_answer_is_marked_on_every_way(live: Live) -> None:
    """Whole, with usage and without: the caller sees that it is the best so far."""
    wishes = {"deadline_s": 0.4}
    whole = await live.client().chat.completions.create(
        **ask("first is quick", model=VOTE, extra_body={"effortwise": wishes})
    )
    assert whole.model_extra["effortwise"]["status"] == "partial"


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_partial_stream_is_marked_at_its_end(live: Live, include_usage: bool) -> None:
    """On the chunk with the finish reason, and in the last one where usage is asked for."""
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = await streamed(live, "first is quick", VOTE, wishes={"deadline_s": 0.4}, **options)
    assert text(chunks) == "42"
    [end] = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert end.model_extra["effortwise"] == {"status": "partial"}
    if include_usage:
        assert chunks[-1].model_extra["effortwise"]["status"] == "partial"


async def test_a_complete_stream_has_no_mark(live: Live) -> None:
    """Chunks of an answer that came to its end are OpenAI's alone."""
    chunks = await streamed(live, "hello", VOTE, wishes={})
    assert not any((chunk.model_extra or {}).get("effortwise") for chunk in chunks)


def observed(run: Run) -> list[Step | Answer]:
    """What the run's observer is told from now on."""
    told: list[Step | Answer] = []
    run.observer = told.append
    return told


def test_an_observer_is_told_of_the_callers_answers_only() -> None:
    """What a stage offers is an incumbent where it is the whole run's, and is told once; decisions are
    told from all depths."""
    stages = Stage("small/vote", SelfConsistency("small", 4)), Stage("large/direct", Direct("large"))

    async def work() -> tuple[list[Step | Answer], Run]:
        run = run_of(Upstream(in_turn("5", "5", "6")))
        told = observed(run)
        await Cascade(stages).answer(run)
        return told, run

    told, run = virtually(work)[0]
    assert [each for each in told if isinstance(each, Step)] == run.steps
    answers = [each for each in told if isinstance(each, Answer)]
    assert answers[-1] == run.incumbent
    assert all(one is not other for one, other in itertools.pairwise(answers))
