"""A writer and a judge for searches over steps, who do as they are told by the path that they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fakes import RIGHT, Behaviour, Said, Upstream, ask, run_of, virtually

from router.budget import UNLIMITED, Budget
from router.call import Call
from router.candidate import Answer
from router.query import text_of
from router.run import Run
from router.strategies import Strategy


def path_in(call: Call) -> str:
    """The steps that a call for the next one quotes; empty at the beginning."""
    said = [text_of(message) for message in call.messages if message["role"] == "assistant"]
    return said[0] if said else ""


def writer(
    step: Callable[[str, int], str],
    rating: Callable[[str], str] = lambda prompt: "5",
    finish: str = "Answer: 7",
    plain: str = "Answer: 6",
) -> Behaviour:
    """step: from the path and the number of the call to the next step. rating: from the judge's prompt to
    its reply."""

    def behave(call: Call, number: int) -> Said:
        if call.template in ("judge", "reward"):
            return Said(rating(text_of(call.messages[-1]) + path_in(call)))
        said = {"step": lambda: step(path_in(call), number), "finish": lambda: finish}
        return Said(said.get(call.template, lambda: plain)())

    return behave


def unending(path: str, number: int) -> str:
    """A step unlike all others, and never an answer."""
    return f"step {number}"


def steps_of(upstream: Upstream, template: str = "step") -> list[Call]:
    """The calls for a step, in their order."""
    return [call for call in upstream.seen if call.template == template]


def searched(
    strategy: Strategy, upstream: Upstream, budget: Budget = UNLIMITED, verifier: Any = RIGHT, **more: Any
) -> tuple[Answer, Run, float]:
    """The answer to one query, the run, and the seconds it took. verifier: ``None`` for none."""
    known = {"id": "q1", **more}  # chance is drawn from it

    async def work() -> tuple[Answer, Run]:
        query = ask(verifier=verifier, **known) if verifier else ask(**known)
        run = run_of(upstream, query, budget=budget)
        return await strategy.answer(run), run

    (answer, run), seconds = virtually(work)
    return answer, run, seconds
