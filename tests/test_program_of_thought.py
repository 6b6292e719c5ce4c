"""Program of thought: what runs, what an error leads to, and which answer stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes import Said, Upstream, ask, run_of, virtually
from sandboxes import best_sandbox

from router.call import Call
from router.candidate import Answer
from router.errors import BackendRefused, ConfigurationError, SandboxError
from router.query import text_of
from router.run import Run
from router.sandbox import Program, Ran, Scripted
from router.strategies.program_of_thought import ProgramOfThought

CODE = "It is a sum.\n```python\nprint(2 + 3)\n```"
FAILED = Ran(stderr="Traceback ...\nZeroDivisionError: division by zero", exit_code=1)


def says(call: Call, number: int) -> Said:
    """7 to the plain question, a program to anything else."""
    return Said("7" if call.template == "direct" else CODE)


def worked(
    strategy: ProgramOfThought,
    sandbox: Scripted | None,
    behaviour: Callable[[Call, int], Said] = says,
    **asked: object,
) -> tuple[Answer, Run, list[Call], float]:
    """The answer, the run, the calls that were made, and the seconds it took."""
    upstream = Upstream(behaviour)

    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream, replace(ask(), **asked), sandbox=sandbox)
        return await strategy.answer(run), run

    (answer, run), seconds = virtually(work)
    return answer, run, upstream.seen, seconds


def test_what_the_program_prints_is_the_answer() -> None:
    """The code block is run, and its last line stated, instead of the plain draw beside it."""
    sandbox = Scripted([Ran(stdout="working\n5\n")])
    answer, _, calls, seconds = worked(ProgramOfThought("small"), sandbox)
    assert (answer.candidate.text, answer.candidate.extracted) == ("Answer: 5", "5")
    assert sandbox.seen == [Program("print(2 + 3)\n")]
    assert [candidate.text for candidate in answer.weighed] == ["Answer: 5", "7"]
    assert (len(calls), seconds, answer.complete) == (2, 1.0, True)


def test_an_error_is_fed_back_and_the_repaired_program_counts() -> None:
    """The repair's prompt holds the program and the error's last line."""
    sandbox = Scripted([FAILED, Ran(stdout="5\n")])
    answer, _, calls, _ = worked(ProgramOfThought("small"), sandbox)
    assert answer.candidate.text == "Answer: 5"
    assert "ZeroDivisionError" in text_of(calls[-1].messages[-1])
    assert text_of(calls[-1].messages[-2]) == CODE


@pytest.mark.parametrize(
    ("ran", "word"),
    [
        (Ran(stdout=" \n"), "printed nothing"),
        (Ran(exit_code=None, ended="timeout", seconds=10.0), "limit of time"),
        (Ran(exit_code=None, ended="memory"), "limit of memory"),
    ],
)
def test_silence_and_limits_are_told_too(ran: Ran, word: str) -> None:
    """A program that prints nothing, or ran into a limit, is told so, and is no answer."""
    answer, _, calls, _ = worked(ProgramOfThought("small"), Scripted([ran]))
    assert word in text_of(calls[-1].messages[-1])
    assert answer.candidate.text == "7"


@pytest.mark.parametrize("repairs", [0, 1, 3])
def test_it_repairs_so_often_and_no_more(repairs: int) -> None:
    """Each failure but the last leads to one repair; then the plain draw stands."""
    strategy = ProgramOfThought("small", repairs=repairs)
    answer, _, calls, _ = worked(strategy, Scripted([FAILED]))
    assert len(calls) == 2 + repairs == strategy.demand()["small"]
    assert answer.candidate.text == "7"


def test_programs_run_side_by_side_and_vote() -> None:
    """Two of three print 5; all calls take as long as one; equal prompts differ in temperature and seed."""
    sandbox = Scripted([Ran(stdout="6\n"), Ran(stdout="5\n"), Ran(stdout="5\n")])
    parameters = {"temperature": 0, "seed": 3}
    answer, _, calls, seconds = worked(ProgramOfThought("small", 3), sandbox, parameters=parameters)
    assert (answer.candidate.text, seconds) == ("Answer: 5", 1.0)
    assert [call.parameters["seed"] for call in calls[1:]] == [3, 4, 5]
    assert {call.parameters["temperature"] for call in calls[1:]} == {0.7}


def test_without_a_sandbox_the_plain_draw_is_the_answer() -> None:
    """No program is asked for that nothing could run."""
    answer, run, calls, _ = worked(ProgramOfThought("small"), None)
    assert (answer.candidate.text, len(calls)) == ("7", 1)
    assert run.steps[0].reason == "there is no sandbox"


def test_a_sandbox_that_cannot_run_costs_the_program_only() -> None:
    """Its error is told to the model like any other, and the plain draw stands."""
    sandbox = Scripted(error=SandboxError("no bwrap"))
    answer, _, calls, _ = worked(ProgramOfThought("small"), sandbox)
    assert answer.candidate.text == "7"
    assert "no bwrap" in text_of(calls[-1].messages[-1])


def test_the_program_stands_where_the_plain_draw_is_lost() -> None:
    """One lost call costs its own part."""

    def moody(call: Call, number: int) -> Said:
        return replace(says(call, number), error=BackendRefused("busy", 503) if number == 0 else None)

    answer, _, _, _ = worked(ProgramOfThought("small"), Scripted([Ran(stdout="5")]), moody)
    assert (answer.candidate.text, answer.complete) == ("Answer: 5", False)


def test_the_format_of_the_caller_is_not_forced_on_programs() -> None:
    """A program is no answer, so only how to draw is passed on."""
    parameters = {"response_format": {"type": "json_object"}, "top_p": 0.5}
    _, _, calls, _ = worked(ProgramOfThought("small"), Scripted([Ran(stdout="5")]), parameters=parameters)
    assert calls[1].parameters == {"top_p": 0.5}


@pytest.mark.parametrize("options", [{"n": 0}, {"repairs": -1}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    """At the start, not when the first query comes."""
    with pytest.raises(ConfigurationError):
        ProgramOfThought("small", **options)


def test_a_reply_without_a_program_is_told_so() -> None:
    """Prose is not run."""
    sandbox = Scripted([Ran(stdout="5")])
    answer, _, calls, _ = worked(ProgramOfThought("small"), sandbox, lambda call, number: Said("I think, 7"))
    assert (answer.candidate.text, sandbox.seen) == ("I think, 7", [])
    assert "no Python code block" in text_of(calls[-1].messages[-1])


async def test_it_runs_in_a_real_sandbox() -> None:
    """A broken program is repaired, and what the mended one prints is the answer."""
    replies = {"direct": "7", "program": "```python\nprint(2 + )\n```", "repair": CODE}
    upstream = Upstream(lambda call, number: Said(replies[call.template], latency_s=0.0))
    answer = await ProgramOfThought("small").answer(run_of(upstream, sandbox=best_sandbox()))
    assert answer.candidate.text == "Answer: 5"
    assert "SyntaxError" in text_of(upstream.seen[-1].messages[-1])
