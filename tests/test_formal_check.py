"""Formal check: which answer a claim lifts above the plain draw, and what a refuted one leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fakes import Said, Upstream, run_of, virtually

from router.call import Call
from router.candidate import Answer
from router.errors import ConfigurationError
from router.query import text_of
from router.run import Run
from router.sandbox import Ran, Scripted
from router.strategies.formal_check import FormalCheck

CLAIMED = "2 and 3 are 5.\n```equations\n2 + 3 == 5\n```\nAnswer: 5"
REFUTED = Ran("fails: 2 + 3 == 6 (the left side is 5, the right side 6)\n")


def checked(
    rulings: Sequence[Ran] | None, reply: str = CLAIMED, strategy: FormalCheck | None = None
) -> tuple[Answer, Run, list[Call], Scripted]:
    """The answer, the run, the calls that were made, and the sandbox."""
    upstream = Upstream(lambda call, number: Said("7" if call.template == "direct" else reply))
    sandbox = Scripted(rulings or ())

    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream, sandbox=None if rulings is None else sandbox)
        return await (strategy or FormalCheck("small")).answer(run), run

    (answer, run), _ = virtually(work)
    return answer, run, upstream.seen, sandbox


def test_a_claim_that_holds_lifts_its_answer() -> None:
    """It stands before the plain draw, without its claim, and the verdict is never sound."""
    answer, run, calls, sandbox = checked([Ran("holds\n")])
    assert answer.candidate.text == "2 and 3 are 5.\nAnswer: 5"
    assert answer.candidate.extracted == "5"
    assert sandbox.seen[0].stdin == "2 + 3 == 5\n"
    assert [verdict and (verdict.ruling, verdict.sound) for verdict in answer.verdicts] == [
        ("pass", False),
        None,
    ]
    assert len(calls) == 2
    assert run.steps[-1].reason == "the claim holds"


def test_a_counter_example_is_fed_back() -> None:
    """The next round's prompt holds the reply and what refuted it."""
    answer, _, calls, _ = checked([REFUTED, Ran("holds\n")])
    assert answer.candidate.extracted == "5"
    assert text_of(calls[-1].messages[-2]) == CLAIMED
    assert "the right side 6" in text_of(calls[-1].messages[-1])


@pytest.mark.parametrize("ruling", [REFUTED, Ran("unknown: undecided"), Ran(exit_code=1), Ran("nonsense")])
def test_an_answer_whose_claim_does_not_hold_stands_below_the_plain_draw(ruling: Ran) -> None:
    """Refuted or unchecked, after all rounds the plain draw is the answer."""
    answer, _, calls, _ = checked([ruling], strategy=FormalCheck("small", 3))
    assert (answer.candidate.text, len(calls)) == ("7", 4)


def test_a_reply_without_a_claim_is_unknown_and_asked_again() -> None:
    """Nothing is run for it."""
    answer, _, calls, sandbox = checked([Ran("holds\n")], reply="Answer: 5")
    assert (answer.candidate.text, sandbox.seen) == ("7", [])
    assert "there is no ```equations block" in text_of(calls[-1].messages[-1])


@pytest.mark.parametrize("around", ["", "Answer:\n", "**Answer:**\n"])
def test_a_claim_without_an_answer_lifts_nothing(around: str) -> None:
    """It is not even checked: the plain draw stands, and the model is told what is missing."""
    reply = f"{around}```equations\n1 == 1\n```"
    answer, _, calls, sandbox = checked([Ran("holds\n")], reply=reply)
    assert (answer.candidate.text, sandbox.seen) == ("7", [])
    assert "no answer beside the claim" in text_of(calls[-1].messages[-1])


def test_without_a_sandbox_the_plain_draw_is_the_answer() -> None:
    """No claim is asked for that nothing could check."""
    answer, _, calls, _ = checked(None)
    assert (answer.candidate.text, len(calls)) == ("7", 1)


def test_a_proof_is_asked_for_in_its_own_language() -> None:
    """The prompt, the block and the arm's name follow the language."""
    strategy = FormalCheck("small", language="smt")
    answer, _, calls, sandbox = checked([Ran("holds")], "```smt\n(assert false)\n```\nAnswer: 5", strategy)
    assert (answer.candidate.text, sandbox.seen[0].stdin) == ("Answer: 5", "(assert false)\n")
    assert "```smt" in text_of(calls[-1].messages[-1])
    assert strategy.family == "small/formal_check:smt"


@pytest.mark.parametrize("options", [{"n": 0}, {"language": "latin"}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """At the start, not when the first query comes."""
    with pytest.raises(ConfigurationError):
        FormalCheck("small", **options)
