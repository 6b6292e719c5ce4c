"""Replay: recorded answers behind the backend contract."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fakes import SMALL, virtually

from router.arm import Arm
from router.call import Call, Completion, Delta
from router.confidence.agreement import Agreement
from router.errors import BackendRefused
from router.query import Query
from router.replay import Recorded, Recording, Replay
from router.strategies.self_consistency import SelfConsistency
from router.templates import render
from training.simulate import Simulation

QUESTION = "What is 2 + 3?"


def recorded(text: str, score: float = 0.0, latency_s: float = 0.0) -> Recorded:
    return Recorded(Completion({"role": "assistant", "content": text}, "stop", 9, 4), score, latency_s)


def recording(*texts: str) -> Recording:
    return Recording.of(
        [("small", "direct", QUESTION, recorded(text, float(i), i + 1.0)) for i, text in enumerate(texts)]
    )


def call(template: str = "direct", model: str = "small", question: str = QUESTION) -> Call:
    return Call(model, render(template, [{"role": "user", "content": question}]), 10, template=template)


def replayed(replay: Replay, calls: Sequence[Call]) -> list[str]:
    async def work() -> list[str]:
        return [(await replay.complete(each)).text for each in calls]

    return virtually(work)[0]


@pytest.mark.parametrize(("shift", "texts"), [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc")])
def test_draws_come_in_order_from_the_shift_on(shift: int, texts: str) -> None:
    """Each recorded draw once, round about, so that repeated replays see other draws first."""
    assert replayed(Replay(recording("a", "b", "c"), shift), [call()] * 3) == list(texts)


def test_no_draw_is_given_twice() -> None:
    """Where none is left, the call is refused like a missing page: free of charge and not retried."""
    replay = Replay(recording("a"))
    assert replayed(replay, [call()]) == ["a"]
    with pytest.raises(BackendRefused, match="holds 1 draws of 'small'") as raised:
        replayed(replay, [call()])
    assert raised.value.status == 404
    assert not raised.value.billed


@pytest.mark.parametrize(
    "unknown", [call(model="large"), call("chain_of_thought"), call(question="What is 2 + 4?")]
)
def test_what_was_not_asked_was_not_answered(unknown: Call) -> None:
    """Another model, template or question has no draws."""
    with pytest.raises(BackendRefused, match="holds 0 draws"):
        replayed(Replay(recording("a")), [unknown])


def test_templates_are_kept_apart() -> None:
    """A recording of two templates answers each with its own."""
    both = Recording.of(
        [
            ("small", "direct", QUESTION, recorded("plain")),
            ("small", "chain_of_thought", QUESTION, recorded("step by step")),
        ]
    )
    assert replayed(Replay(both), [call("chain_of_thought"), call()]) == ["step by step", "plain"]


def test_a_completion_knows_its_recorded_score() -> None:
    """Two equal replies with different outcomes are told apart."""
    replay = Replay(recording("same", "same"))

    async def work() -> list[float]:
        completions = [await replay.complete(call()) for _ in range(2)]
        return [replay.score(completion) for completion in completions]

    assert virtually(work)[0] == [0.0, 1.0]


@pytest.mark.parametrize(("timed", "seconds"), [(True, 3.0), (False, 0.0)])
def test_it_waits_as_long_as_the_model_took(timed: bool, seconds: float) -> None:
    """Only where it is told to: one draw of a second, then one of two."""
    replay = Replay(recording("a", "b"), timed=timed)

    async def work() -> None:
        for _ in range(2):
            await replay.complete(call())

    assert virtually(work)[1] == pytest.approx(seconds)


def test_a_listener_hears_the_reply_and_its_bill() -> None:
    """So a replay streams like any backend, in one piece."""
    heard: list[Delta] = []

    class Ear:
        wants_deltas = True

        def hear(self, delta: Delta) -> None:
            heard.append(delta)

    async def work() -> None:
        await Replay(recording("a")).complete(call(), Ear())

    virtually(work)
    [delta] = heard
    assert (delta.delta["content"], delta.finish_reason) == ("a", "stop")
    assert (delta.prompt_tokens, delta.completion_tokens) == (9, 4)


def test_recorded_answers_are_compared_in_their_normal_form() -> None:
    """Two notations of one number win a replayed vote against another number, as they do where it serves."""
    draws = [("3", 0.0), ("1/2", 1.0), ("0.5", 1.0)]
    rows = [
        (
            "small",
            "direct",
            QUESTION,
            Recorded(recorded(answer).completion, score, extracted=True, answer=answer),
        )
        for answer, score in draws
    ]
    vote = SelfConsistency("small", 3, "direct", stop_at=1.0)
    arm = Arm(vote.family, vote, (SMALL,), vote.family)
    query = Query([{"role": "user", "content": QUESTION}], id="q")
    [result] = Simulation(Recording.of(rows), Agreement()).replay([(query, arm)])
    assert result.score == 1.0
