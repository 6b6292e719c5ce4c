"""Verify and refine: which state is revised, when it goes back or starts anew, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import RIGHT, Said, Upstream, ask, in_turn, run_of, virtually
from hypothesis import given, settings
from hypothesis import strategies as st
from strategy_examples import examples

from router.call import Call
from router.candidate import Answer, Candidate, Verdict
from router.errors import BackendRefused, ConfigurationError
from router.price import Price
from router.query import Query, text_of
from router.run import Run
from router.strategies.verify_and_refine import VerifyAndRefine


def told(answers: Sequence[str], critiques: Sequence[str] = ()) -> Callable[[Call, int], Said]:
    """The answers in turn, and the critiques in turn, the last of each over and over."""
    counts = {"answer": 0, "critique": 0}

    def says(call: Call, number: int) -> Said:
        kind, texts = ("critique", critiques) if call.purpose == "critique" else ("answer", answers)
        counts[kind] += 1
        return Said(texts[min(counts[kind], len(texts)) - 1])

    return says


def refined(
    behaviour: Callable[[Call, int], Said], strategy: VerifyAndRefine, query: Query | None = None, **more: Any
) -> tuple[Answer, Run, list[Call]]:
    """The answer, the run, and the calls that were made."""
    upstream = Upstream(behaviour)
    judge = more.pop("judge", None)

    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream, query, **more)
        run.verifier = judge or run.verifier
        return await strategy.answer(run), run

    (answer, run), _ = virtually(work)
    return answer, run, upstream.seen


def moves(run: Run) -> list[str]:
    return [step.reason for step in run.steps if step.decision == "continue"]


def prompt(call: Call) -> str:
    return "\n".join(map(text_of, call.messages))


class Ranking:
    """A verifier that gives each text a reward of its own; a pass is not sound."""

    name = "ranking"
    summary = "for tests"

    def __init__(self, rewards: dict[str, float]) -> None:
        self.rewards = rewards

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """A fail of that reward."""
        return Verdict("fail", self.rewards[candidate.text], self.name, reason=f"bad {candidate.text}")


def test_a_sound_pass_ends_it_without_a_critique() -> None:
    """A right first draw costs one call."""
    answer, run, calls = refined(told(["5"]), VerifyAndRefine("small", 4), ask(verifier=RIGHT))
    assert (answer.candidate.text, len(calls), answer.complete) == ("5", 1, True)
    assert run.steps[-1].reason == "nothing wrong was found"


def test_external_evidence_stands_in_the_revisions_prompt() -> None:
    """What the verifier objects to is told, with the answer it objects to, and no critic is asked."""
    answer, _, calls = refined(told(["6", "5"]), VerifyAndRefine("small", 4), ask(verifier=RIGHT))
    assert answer.candidate.text == "5"
    assert [call.purpose for call in calls] == ["candidate", "candidate"]
    assert "answered '6'" in prompt(calls[1])
    assert calls[1].messages[-2] == {"role": "assistant", "content": "6"}


def test_without_evidence_the_critic_is_asked_and_its_words_are_passed_on() -> None:
    """The critic named is the model asked, and what it finds wrong stands in the next prompt."""
    strategy = VerifyAndRefine("small", 4, critic="large")
    critiques = ["You added one too many. Rating: 2", "CORRECT"]
    answer, _, calls = refined(told(["6", "5"], critiques), strategy)
    assert answer.candidate.text == "5"
    assert [(call.model, call.purpose) for call in calls] == [
        ("small", "candidate"), ("large", "critique"), ("small", "candidate"), ("large", "critique"),
    ]  # fmt: skip
    assert "one too many" in prompt(calls[2])


@pytest.mark.parametrize(
    "word",
    [
        *("CORRECT", "CORRECT.", "**CORRECT**", "<think>Is it?\nYes.</think>\nCORRECT"),
        *("CORRECT\nRating: 10", "CORRECT. **Rating:** 9/10"),
    ],
)
def test_the_fixed_word_stops_it(word: str) -> None:
    """The critic's one word, however marked, and a rating that some put beside it."""
    _, run, calls = refined(told(["6"], [word]), VerifyAndRefine("small", 4))
    assert len(calls) == 2
    assert run.steps[-1].decision == "stop"


@pytest.mark.parametrize(
    "word",
    [
        *("Correct, but late", "NOT CORRECT", "INCORRECT", "correct", "", "CORRECT?!A"),
        *("CORRECT. Rating: 2", "CORRECT, or not. Rating: 10"),
    ],
)
def test_anything_but_the_fixed_word_is_an_objection(word: str) -> None:
    """Praise in other words does not stop it, nor what a rating contradicts."""
    _, _, calls = refined(told(["6"], [word]), VerifyAndRefine("small", 2))
    assert len(calls) == 4


def test_a_worse_revision_leads_back_to_the_best_state() -> None:
    """After a worse revision the best state is what is revised, and what is returned."""
    judge = Ranking({"a": 0.6, "b": 0.2, "c": 0.4, "d": 0.1})
    strategy = VerifyAndRefine("small", 4, patience=9)
    answer, run, calls = refined(told(["a", "b", "c", "d"]), strategy, judge=judge)
    assert answer.candidate.text == "a"
    assert moves(run) == ["revise", "backtrack", "backtrack"]
    assert [call.messages[-2]["content"] for call in calls[1:]] == ["a", "a", "a"]
    assert len(answer.weighed) == len(answer.verdicts) == 4


def test_a_better_revision_is_what_is_revised_next() -> None:
    """Progress is built upon."""
    judge = Ranking({"a": 0.1, "b": 0.2, "c": 0.3})
    answer, run, calls = refined(told(["a", "b", "c"]), VerifyAndRefine("small", 3), judge=judge)
    assert answer.candidate.text == "c"
    assert moves(run) == ["revise", "revise"]
    assert [call.messages[-2]["content"] for call in calls[1:]] == ["a", "b"]


def test_after_repeated_failure_it_draws_afresh_and_goes_on_from_there() -> None:
    """An alternative is a plain draw; its revision starts from it, though it is not the best."""
    judge = Ranking({"a": 0.5, "b": 0.1, "c": 0.1, "d": 0.3, "e": 0.9})
    answer, run, calls = refined(told(["a", "b", "c", "d", "e"]), VerifyAndRefine("small", 5), judge=judge)
    assert moves(run) == ["revise", "backtrack", "explore", "revise"]
    assert len(calls[3].messages) == 1
    assert calls[4].messages[-2]["content"] == "d"
    assert answer.candidate.text == "e"


def test_a_backtracked_revision_differs_where_the_caller_wants_temperature_0() -> None:
    """The same prompt at temperature 0 would say the same again."""
    query = replace(ask(), parameters={"temperature": 0})
    judge = Ranking({"a": 0.5, "b": 0.1})
    _, _, calls = refined(told(["a", "b"]), VerifyAndRefine("small", 3), query, judge=judge)
    assert [call.parameters["temperature"] for call in calls] == [0, 0, 0.7]


def test_a_revision_that_is_not_worth_its_price_is_not_made() -> None:
    """At a price above what one more answer may gain, the draw stands."""
    behaviour = told(["6"], ["Wrong. Rating: 1"])
    _, run, calls = refined(behaviour, VerifyAndRefine("small", 4), price=Price(1e9))
    assert [call.purpose for call in calls] == ["candidate", "critique"]
    assert run.steps[-1].reason == "one more is not worth its price"
    assert run.steps[-1].numbers["net_worth"] < 0


def test_a_lost_critique_leaves_the_best_answer() -> None:
    """Where the critic is away after a revision, what was judged stands before what was not."""

    def says(call: Call, number: int) -> Said:
        lost = BackendRefused("away", 503) if number == 3 else None
        return Said(["6", "Wrong. Rating: 1", "7", ""][number], error=lost)

    answer, _, _ = refined(says, VerifyAndRefine("small", 4))
    assert answer.candidate.text == "6"
    assert not answer.complete


class Telling:
    """A verifier that says of each text what it was told to say."""

    name = "telling"
    summary = "for tests"

    def __init__(self, verdicts: Mapping[str, Verdict]) -> None:
        self.verdicts = verdicts

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """As told."""
        return self.verdicts[candidate.text]


PASSED_AFTER_A_FAIL = Telling(
    {"6": Verdict.of(False, "telling", sound=False), "5": Verdict.of(True, "telling", sound=False)}
)


def test_a_pass_stands_before_a_fail_though_its_critique_is_lost() -> None:
    """The verdict counts as soon as it is there, whatever becomes of the critic."""

    def says(call: Call, number: int) -> Said:
        return Said(["6", "5", ""][number], error=BackendRefused("away", 503) if number == 2 else None)

    answer, _, _ = refined(says, VerifyAndRefine("small", 4), judge=PASSED_AFTER_A_FAIL)
    assert answer.candidate.text == "5"
    assert answer.verdict is not None
    assert answer.verdict.ruling == "pass"


def test_a_pass_is_the_incumbent_while_its_critique_is_awaited() -> None:
    """A deadline that falls into the critique leaves the revision that passed."""
    upstream = Upstream(lambda call, number: Said(["6", "5", "CORRECT"][number]))

    async def work() -> Answer | None:
        run = run_of(upstream)
        run.verifier = PASSED_AFTER_A_FAIL
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.5):
                await VerifyAndRefine("small", 4).answer(run)
        return run.incumbent

    incumbent, _ = virtually(work)
    assert incumbent is not None
    assert incumbent.candidate.text == "5"


def test_a_critics_praise_does_not_outweigh_what_the_verifier_found() -> None:
    """What the verifier cannot judge stays below what passed most of its tests, and does not end it."""
    judge = Telling(
        {
            "mostly": Verdict("fail", 0.8, "telling", True, "one of five"),
            "prose": Verdict.unknown("telling", ""),
        }
    )
    answer, run, calls = refined(
        told(["mostly", "prose"], ["CORRECT"]), VerifyAndRefine("small", 3), judge=judge
    )
    assert answer.candidate.text == "mostly"
    assert moves(run) == ["revise", "backtrack"]
    assert [call.messages[-2]["content"] for call in calls if call.template == "revise"] == ["mostly"] * 2


def test_a_critic_decides_where_the_verifier_never_can() -> None:
    """Of states that the verifier cannot judge, the critic's choice is returned."""
    judge = Telling({text: Verdict.unknown("telling", "") for text in ("6", "5")})
    answer, _, _ = refined(
        told(["6", "5"], ["No. Rating: 2", "CORRECT"]), VerifyAndRefine("small", 3), judge=judge
    )
    assert (answer.candidate.text, answer.complete) == ("5", True)


@pytest.mark.parametrize("name", examples())
def test_no_prompt_holds_the_verifiers_reference(name: str) -> None:
    """Nothing of a request's specification reaches a model but what a verdict's reason says."""
    strategy = examples()[name]
    upstream = Upstream(in_turn("6", "It is 7. Rating: 3", "```equations\n1 == 1\n```\nAnswer: 8"))

    async def work() -> None:
        run = run_of(upstream, ask(verifier={"type": "exact", "reference": "9371"}))
        await strategy.answer(run)

    virtually(work)
    assert upstream.seen
    assert not any("9371" in prompt(call) for call in upstream.seen)


@given(rewards=st.lists(st.floats(0, 0.9), min_size=1, max_size=6), patience=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_it_never_returns_a_state_worse_than_another(rewards: list[float], patience: int) -> None:
    """By its own evidence no state is better than the one that it returns."""
    names = [chr(ord("a") + i) for i in range(len(rewards))]
    judge = Ranking(dict(zip(names, rewards, strict=True)))
    answer, _, _ = refined(told(names), VerifyAndRefine("small", 6, patience=patience), judge=judge)
    best = max(verdict.reward for verdict in answer.verdicts if verdict)
    assert answer.verdict is not None
    assert answer.verdict.reward == best


@pytest.mark.parametrize("options", [{"n": 1}, {"n": 4, "patience": 0}, {"n": 4, "template": "poem"}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """At the start, not when the first query comes."""
    with pytest.raises(ConfigurationError):
        VerifyAndRefine("small", **options)
