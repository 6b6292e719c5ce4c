"""Budget forcing: thinking is cut at its budget or drawn out, and the answer forced where none stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from fakes import SMALL, ask, run_of, virtually

from router.backend import DEAF, Listener
from router.budget import Budget
from router.call import Call, Completion
from router.candidate import Answer
from router.errors import BackendRefused, ConfigurationError
from router.model_card import ModelCard
from router.run import Run
from router.strategies.budget_forcing import CONTINUING, BudgetForcing
from serving.backends.llama_cpp import LlamaCpp

GOING_ON = replace(SMALL, continues=True, max_completion_tokens=200)


class Thinker:
    """A backend that says the words that it was given, one after another, at a token a word; what a call's
    cap does not hold is cut off."""

    name = "thinker"

    def __init__(self, *said: str | Exception) -> None:
        self.said = list(said)
        self.seen: list[Call] = []

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        self.seen.append(call)
        await asyncio.sleep(1)
        text = self.said.pop(0)
        if isinstance(text, Exception):
            raise text
        words = text.split(" ")
        kept = words[: call.max_completion_tokens]
        finish = "stop" if len(kept) == len(words) else "length"
        return Completion({"role": "assistant", "content": " ".join(kept)}, finish, 10, len(kept))

    async def aclose(self) -> None:
        """Nothing is held."""


def forced(
    strategy: BudgetForcing, thinker: Thinker, card: ModelCard = GOING_ON, **more: Any
) -> tuple[Answer, Run]:
    """The answer and its run."""

    async def work() -> tuple[Answer, Run]:
        run = run_of(thinker, ask(), cards={"small": card}, **more)  # type: ignore[arg-type]  # another fake
        return await strategy.answer(run), run

    return virtually(work)[0]


def last_messages(call: Call) -> Sequence[tuple[str, str]]:
    """Role and text of what stands behind the caller's question."""
    return [(message["role"], message["content"]) for message in call.messages[1:]]


def test_thinking_is_cut_and_the_answer_forced() -> None:
    """At the end of the tokens the model is made to say its final answer, in the same reply."""
    thinker = Thinker("2 and 3 make 4 no they make", " 5")
    answer, run = forced(BudgetForcing("small", 2, think_tokens=5), thinker)
    assert answer.candidate.text == "2 and 3 make 4\nFinal Answer: 5"
    assert (answer.candidate.extracted, answer.complete) == ("5", True)
    first, final = thinker.seen
    assert first.max_completion_tokens == 5
    assert last_messages(final) == [("assistant", "2 and 3 make 4\nFinal Answer:")]
    assert {**final.parameters} == CONTINUING
    assert run.steps[-1].reason == "thinking cut at its budget"


def test_thinking_that_ends_early_is_drawn_out() -> None:
    """A nudge stands where the model had ended, as often as is allowed; its last answer is the answer."""
    thinker = Thinker("Answer: 4", ", let me see.\nAnswer: 6", ", once more.\nAnswer: 5")
    answer, run = forced(BudgetForcing("small", 2), thinker)
    assert answer.candidate.extracted == "5"
    assert last_messages(thinker.seen[2]) == [("assistant", "Answer: 4\nWait, let me see.\nAnswer: 6\nWait")]
    assert answer.candidate.completion.completion_tokens == run.meter.usage.completion_tokens
    assert run.steps[-1].numbers["nudges"] == 2


def test_the_tokens_are_those_of_the_whole_line_of_thinking() -> None:
    """What is left shrinks from nudge to nudge, and the thinking never exceeds it."""
    thinker = Thinker("a b c", "d e f g", "h i j k l", " 5")
    forced(BudgetForcing("small", 3, think_tokens=10), thinker)
    assert [call.max_completion_tokens for call in thinker.seen[:3]] == [10, 7, 3]


def test_a_forced_answer_stands_above_what_the_thinking_held() -> None:
    """A boxed guess on the way is not the answer."""
    thinker = Thinker(r"perhaps \boxed{4} but then again", " 5")
    answer, _ = forced(BudgetForcing("small", 1, think_tokens=3), thinker)
    assert r"\boxed{4}" in answer.candidate.text
    assert answer.candidate.extracted == "5"


def test_a_model_that_cannot_go_on_is_asked_anew() -> None:
    """The thinking is quoted, and the user says the nudge."""
    thinker = Thinker("Answer: 4", "Answer: 5")
    answer, _ = forced(BudgetForcing("small", 1), thinker, replace(GOING_ON, continues=False))
    assert last_messages(thinker.seen[1]) == [("assistant", "Answer: 4"), ("user", "Wait")]
    assert thinker.seen[1].parameters == {}
    assert answer.candidate.extracted == "5"


@pytest.mark.parametrize("end", [BackendRefused("busy", 503), None])
def test_the_thinking_so_far_stands_where_the_rest_fails(end: Exception | None) -> None:
    """An upstream that fails, and a budget of one call, leave what was thought, marked as not complete."""
    thinker = Thinker("Answer: 4", *([end] if end else []))
    budget = Budget() if end else Budget(calls=1)
    answer, run = forced(BudgetForcing("small", 1), thinker, budget=budget)
    assert (answer.candidate.text, answer.complete) == ("Answer: 4", False)
    assert run.incumbent == answer


def test_options_are_checked() -> None:
    """Without a nudge or a token there is nothing to force."""
    for options in ({"n": 0}, {"think_tokens": 0}):
        with pytest.raises(ConfigurationError, match="budget_forcing needs"):
            BudgetForcing("small", **options)
    assert BudgetForcing("small", 2, 64).family == "small/budget_forcing:64"


@asynccontextmanager
async def embedded() -> AsyncIterator[LlamaCpp]:
    backend = LlamaCpp(slots=8, context_tokens=512)
    try:
        yield backend
    finally:
        await backend.aclose()


@pytest.mark.embedded
async def test_the_embedded_model_goes_on_with_a_partial_reply() -> None:
    """Its words continue the trailing assistant message instead of answering it, and the forced answer is
    what stands behind the marker."""
    said = "France is a country in Europe. Its capital is Paris.\nFinal Answer:"
    messages = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": said},
    ]
    async with embedded() as backend:
        call = Call("small", messages, 12, {"temperature": 0, "seed": 1, **CONTINUING})
        reply = await backend.complete(call)
        assert "Paris" in reply.text
        assert said not in reply.text
        assert reply.prompt_tokens <= call.prompt_token_bound

        card = replace(GOING_ON, max_completion_tokens=96)
        query = ask("What is the capital of France?", parameters={"temperature": 0, "seed": 1})
        run = run_of(backend, query, cards={"small": card})  # type: ignore[arg-type]  # a real backend
        answer = await BudgetForcing("small", 1, think_tokens=4).answer(run)
    assert "\nFinal Answer:" in answer.candidate.text
    assert run.meter.usage.calls == 2
    assert "Paris" in answer.candidate.text
