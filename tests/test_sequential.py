"""What all strategies that go step by step keep to with a sandbox and tools at hand, which the conformance
suite has none of: prompts within what was reserved, losses and limits survived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from fakes import CARDS, RIGHT, Said, Upstream, always, arm_of, ask, run_of, virtually

from router.arm import quote_bytes, worst_call
from router.budget import UNLIMITED, Budget
from router.candidate import Answer
from router.errors import BackendError, BackendRefused, OutOfCompute
from router.query import Query, Wishes
from router.run import Run
from router.sandbox import Ran, Scripted
from router.strategies import Strategy
from router.strategies.formal_check import FormalCheck
from router.strategies.program_of_thought import ProgramOfThought
from router.strategies.react import React
from router.strategies.verify_and_refine import VerifyAndRefine
from router.usage import NOTHING

LONG = 'ä"\n' * 400
QUESTION = "What is 2 + 3? " * 10
CONTENTS = {"text": QUESTION, "parts": [{"type": "text", "text": QUESTION}]}
WRONG: dict[str, Any] = {"type": "exact", "reference": LONG[:300]}
CODE = f"{LONG}\n```python\nprint({LONG!r}\n```"
ACTIONS = "\n".join([LONG, *["Action: talkative[x]"] * 4])


@dataclass(frozen=True)
class Talkative:
    """A tool whose description and results are too long."""

    name: ClassVar[str] = "talkative"
    summary: ClassVar[str] = "for tests"
    description: str = LONG
    schema: ClassVar[dict[str, Any]] = {"type": "string"}

    async def use(self, argument: str) -> str:
        """Say too much."""
        return LONG


CASES: dict[str, tuple[Strategy, str, dict[str, Any] | None]] = {
    "refined by a check": (VerifyAndRefine("small", 6), f"{LONG} Answer: 6", WRONG),
    "refined by itself": (VerifyAndRefine("small", 6), f"{LONG} Rating: 3", None),
    "refined by a critic": (VerifyAndRefine("small", 6, critic="large"), f"{LONG} Rating: 3", None),
    "programs": (ProgramOfThought("small", 2, repairs=3), CODE, None),
    "equations": (FormalCheck("small", 4), f"```equations\n{LONG}\n```\n{LONG}", None),
    "proofs": (FormalCheck("small", 4, language="smt"), f"```smt\n{LONG}\n```\n{LONG}", None),
    "tools": (React("small", 6), ACTIONS, None),
    "no tools": (React("small", 6, tools="none"), f"Thought: {LONG}", None),
}
SANDBOX: Callable[[], Scripted] = lambda: Scripted([Ran(LONG, LONG.replace("\n", " "), 1)])


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
@pytest.mark.parametrize("cap", [1, 16, 64, None])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_no_call_exceeds_its_share_of_the_worst_case(
    case: tuple[Strategy, str, dict[str, Any] | None], cap: int | None, content: object
) -> None:
    """However long replies, errors, verdicts and observations are, each prompt and each cap stay within
    what the arm reserves per call, and all calls that it may make are made."""
    strategy, says, verifier = case
    query = Query(
        [{"role": "user", "content": content}], max_completion_tokens=cap, wishes=Wishes(verifier=verifier)
    )
    arm = arm_of(strategy)
    upstream = Upstream(always(Said(says)))

    async def work() -> Answer:
        cards = {card.name: card for card in arm.models}
        run = run_of(upstream, query, cards=cards, sandbox=SANDBOX(), tools={"talkative": Talkative()})
        return await strategy.answer(run)

    virtually(work)
    assert len(upstream.seen) >= strategy.compute
    quoted = strategy.traits.quotes * quote_bytes(query, arm.models)
    for call in upstream.seen:
        most = worst_call(query, CARDS[call.model], quoted)
        assert min(call.prompt_token_bound, CARDS[call.model].context_tokens) <= most.prompt_tokens
        assert call.max_completion_tokens <= most.completion_tokens


USUAL: dict[str, tuple[Strategy, str]] = {
    "refined": (VerifyAndRefine("small", 4), "Wrong. Rating: 3"),
    "programs": (ProgramOfThought("small", 2), CODE),
    "equations": (FormalCheck("small", 3), "```equations\n2 < 1\n```\nAnswer: 6"),
    "tools": (React("small", 4), "Action: talkative[x]"),
}
usual = pytest.mark.parametrize(("strategy", "says"), USUAL.values(), ids=list(USUAL))


def worked(
    strategy: Strategy, upstream: Upstream, budget: Budget = UNLIMITED, within_s: float = 1e6
) -> tuple[Answer | Exception | None, Run]:
    """What became of one query, and its run; nothing where the time was up."""

    async def work() -> tuple[Answer | Exception | None, Run]:
        query, sandbox = ask(verifier=RIGHT), Scripted([Ran("fails: no\n", "Error: no", 1)], waits_s=0.25)
        run = run_of(upstream, query, budget=budget, sandbox=sandbox, tools={"talkative": Talkative()})
        try:
            async with asyncio.timeout(within_s):
                return await strategy.answer(run), run
        except (OutOfCompute, BackendError) as error:
            return error, run
        except TimeoutError:
            return None, run

    (result, run), _ = virtually(work)
    return result, run


@usual
@pytest.mark.parametrize("failing", range(6))
def test_a_lost_call_costs_no_answer_that_stood(strategy: Strategy, says: str, failing: int) -> None:
    """Whichever call fails, what was delivered is answered from."""
    error = BackendRefused("busy", 503)
    upstream = Upstream(lambda call, number: Said(says, error=error if number == failing else None))
    result, run = worked(strategy, upstream)
    assert isinstance(result, Answer) or upstream.delivered == 0
    assert run.meter._held == NOTHING


@usual
@pytest.mark.parametrize("calls", range(6))
def test_a_cap_on_calls_ends_it_with_what_stands(strategy: Strategy, says: str, calls: int) -> None:
    """So many calls and no more; one is enough for an answer."""
    result, run = worked(strategy, Upstream(always(Said(says))), Budget(calls))
    assert isinstance(result, Answer if calls else OutOfCompute)
    assert run.meter.usage.calls <= calls


@usual
@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.1, 1.5, 2.3])
def test_a_caller_who_leaves_cancels_all(strategy: Strategy, says: str, after_s: float) -> None:
    """No call stays in flight, all are on record, and after the first an answer stands."""
    upstream = Upstream(always(Said(says)))
    result, run = worked(strategy, upstream, within_s=after_s)
    assert result is None
    assert upstream.in_flight == 0
    assert len(run.meter.records) == len(upstream.seen)
    assert (run.incumbent is not None) == (after_s > 1)
