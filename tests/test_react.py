"""ReAct: how replies are read, what tools are asked, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fakes import Said, Upstream, arm_of, ask, estimate_of, menu_of, run_of, virtually
from service_process import tables

from router.budget import UNLIMITED, Budget
from router.call import Call
from router.candidate import Answer
from router.configuration import parse_configuration
from router.configured import configured_menu
from router.errors import BackendRefused, ConfigurationError, InfeasibleQuery
from router.feasibility import Feasibility, lack
from router.query import text_of
from router.run import Run
from router.strategies._actions import MOST_ACTIONS, Action, actions_of, final_of, spoken
from router.strategies.react import React
from router.tools import Tool
from router.tools.calculator import Calculator


@dataclass
class Slow:
    """A tool that takes its time, and may fail. used: its arguments."""

    name: ClassVar[str] = "slow"
    summary: ClassVar[str] = "for tests"
    description: str = "waits"
    schema: ClassVar[dict[str, Any]] = {"type": "string"}
    seconds: float = 2.0
    error: Exception | None = None
    used: list[str] = field(default_factory=list)
    cancelled: int = 0

    async def use(self, argument: str) -> str:
        """Wait, then say the argument again."""
        self.used.append(argument)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return f"heard {argument}"


def steps(*texts: str) -> Callable[[Call, int], Said]:
    """7 to the plain question; to the steps the texts in turn, the last one over and over."""
    taken = iter(range(99))
    return lambda call, number: Said(
        "7" if call.template == "direct" else texts[min(next(taken), len(texts) - 1)]
    )


def reacted(
    behaviour: Callable[[Call, int], Said],
    strategy: React | None = None,
    tools: Mapping[str, Tool] | None = None,
    budget: Budget = UNLIMITED,
) -> tuple[Answer, Run, list[Call], float]:
    """The answer, the run, the calls that were made, and the seconds it took."""
    upstream = Upstream(behaviour)

    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream, tools=tools or {}, budget=budget)
        return await (strategy or React("small", 4)).answer(run), run

    (answer, run), seconds = virtually(work)
    return answer, run, upstream.seen, seconds


def last_prompt(calls: list[Call]) -> str:
    return "\n".join(map(text_of, calls[-1].messages))


def test_a_tools_result_is_observed_and_answered_from() -> None:
    """The calculator's result stands in the next prompt, behind the thought that asked for it."""
    behaviour = steps("Thought: a sum\nAction: calculator[2 + 3]", "Answer: 5")
    answer, run, calls, _ = reacted(behaviour, tools={"calculator": Calculator()})
    assert (answer.candidate.text, answer.candidate.extracted) == ("Answer: 5", "5")
    assert calls[-1].messages[-2]["content"] == ("Thought: a sum\nAction: calculator[2 + 3]\nObservation: 5")
    calculator = Calculator()
    assert f"calculator[{calculator.schema['description']}]: {calculator.description}" in last_prompt(calls)
    assert [candidate.text for candidate in answer.weighed] == ["Answer: 5", "7"]
    assert [step.reason for step in run.steps] == ["uses calculator", "it answered"]
    assert answer.complete


def test_the_trace_names_the_tools_and_nothing_that_the_model_made_up() -> None:
    """Whatever text a store may keep, a step's reason holds none of the model's."""
    tools: dict[str, Tool] = {"calculator": Calculator(), "slow": Slow()}
    acts = "Action: slow[x]\nAction: my secret[x]\nAction: calculator[1]\nAction: slow[y]"
    _, run, _, _ = reacted(steps(acts, "Answer: 5"), tools=tools)
    assert run.steps[0].reason == "uses slow, a tool that there is not, calculator"


def test_actions_of_one_step_run_side_by_side() -> None:
    """Three tools of 2 s each take 2 s; the results stand in the order of the actions."""
    behaviour = steps("\n".join(f"Action: slow[{word}]" for word in "abc"), "Answer: 5")
    _, _, calls, seconds = reacted(behaviour, tools={"slow": Slow()})
    assert seconds == 1 + 2 + 1
    assert "Observation: heard a\nheard b\nheard c" in last_prompt(calls)


def test_a_tool_that_never_returns_is_cut_and_the_model_told() -> None:
    """By its own timeout; the run goes on."""
    slow = Slow(seconds=1e9)
    strategy = React("small", 4, tool_timeout_s=3.0)
    answer, _, calls, seconds = reacted(steps("Action: slow[x]", "Answer: 5"), strategy, {"slow": slow})
    assert (answer.candidate.text, slow.cancelled, seconds) == ("Answer: 5", 1, 1 + 3 + 1)
    assert "error: slow was stopped after 3 s" in last_prompt(calls)


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("Action: oracle[x]", "error: there is no tool 'oracle'; there are: calculator, slow"),
        ("Action: calculator[two and two]", "error: "),
        ("Action: slow[x]", "error: slow: ValueError: broken"),
        ("I wonder.", "error: there was neither an Action nor an Answer"),
    ],
)
def test_what_goes_wrong_is_an_observation(action: str, told: str) -> None:
    """An unknown tool, a wrong argument, a tool that breaks, a step without any: the model reads of it."""
    tools: dict[str, Tool] = {"calculator": Calculator(), "slow": Slow(error=ValueError("broken"))}
    answer, _, calls, _ = reacted(steps(action, "Answer: 5"), tools=tools)
    assert f"Observation: {told}" in last_prompt(calls)
    assert answer.candidate.text == "Answer: 5"


def test_the_last_step_is_told_to_answer_and_uses_no_tool() -> None:
    """A model that only acts ends after n steps with the plain draw."""
    slow = Slow()
    answer, run, calls, _ = reacted(steps("Action: slow[x]"), React("small", 3), {"slow": slow})
    assert len(slow.used) == 2
    assert "No more actions" in text_of(calls[-1].messages[-1])
    assert [call.template for call in calls] == ["direct", "react", "react", "react"]
    assert (answer.candidate.text, run.steps[-1].reason) == ("7", "says no answer")


def test_without_tools_it_reasons_alone() -> None:
    """No tool is spoken of, and the answer counts."""
    answer, _, calls, _ = reacted(steps("Thought: it is five.\nAnswer: 5"))
    assert answer.candidate.extracted == "5"
    assert all("Action" not in text_of(call.messages[-1]) for call in calls)


def test_only_the_tools_named_are_offered() -> None:
    """Others are unknown to the model, and cannot be used; the arm's name tells."""
    strategy = React("small", 4, tools="calculator")
    tools: dict[str, Tool] = {"calculator": Calculator(), "slow": Slow()}
    _, _, calls, _ = reacted(steps("Action: slow[x]", "Answer: 5"), strategy, tools)
    assert "there is no tool 'slow'; there are: calculator" in last_prompt(calls)
    assert strategy.family == "small/react:calculator"


def test_the_money_cap_ends_it_with_what_stands() -> None:
    """A budget of three calls: the plain draw, and two steps that came to no answer."""
    answer, run, _, _ = reacted(steps("Action: slow[x]"), React("small", 9), {"slow": Slow()}, Budget(3))
    assert (answer.candidate.text, answer.complete) == ("7", False)
    assert run.meter.usage.calls == 3


def test_the_steps_stand_where_the_plain_draw_is_lost() -> None:
    """A lost call costs its own part."""

    def moody(call: Call, number: int) -> Said:
        return Said("Answer: 5", error=BackendRefused("busy", 503) if call.template == "direct" else None)

    answer, _, _, _ = reacted(moody)
    assert (answer.candidate.text, answer.complete) == ("Answer: 5", False)


def test_a_callers_own_tools_are_another_thing() -> None:
    """A request with OpenAI tools is infeasible on this arm, whatever tools the server has."""
    query = replace(ask(), parameters={"tools": [{"type": "function", "function": {"name": "f"}}]})
    assert lack(query, arm_of(React("small", 4))) == "it cannot serve tools"
    menu = menu_of(React("small", 4))
    with pytest.raises(InfeasibleQuery, match="cannot serve tools"):
        Feasibility(menu).check(query, estimate_of([0.5]), has_verifier=False, spendable_nano=None)


@pytest.mark.parametrize(
    ("reply", "actions"),
    [
        ("Action: calculator[(2 + 3) * [4][0]]", [Action("calculator", "(2 + 3) * [4][0]")]),
        ("Action: calculator(2 + (3))", [Action("calculator", "2 + (3)")]),
        ("Action: calculator: 2 + 3", [Action("calculator", "2 + 3")]),
        ("**Action:** `calculator`\n**Action Input:** 2 + 3", [Action("calculator", "2 + 3")]),
        ("Action: python\nInput: ```python\nprint(5)\n```", [Action("python", "print(5)")]),
        ("Action 1: a[x]\nThought: and\nAction 2: b[y]\nThen I wait.", [Action("a", "x"), Action("b", "y")]),
        ("Action: a[x]\nAnswer: 5\nAction: b[y]", [Action("a", "x")]),
        ("Answer: 5\nAction: b[y]", []),
        ("Action: now[]", [Action("now", "")]),
        ("\n".join(["Action: a[x]"] * 9), [Action("a", "x")] * MOST_ACTIONS),
        ("Action:", []),
        ("In action: nothing", []),
    ],
)
def test_actions_are_read_however_they_are_written(reply: str, actions: list[Action]) -> None:
    """Brackets, parentheses, colons, input lines, code fences and numbers; none after the answer."""
    assert actions_of(reply) == actions


def test_a_made_up_observation_is_cut_off() -> None:
    """What a model invents behind its action is neither read nor quoted."""
    reply = "Thought: a sum\nAction: calculator[2 + 3]\nObservation: 6\nAnswer: 6"
    assert spoken(f"<think>Answer: 6?</think>{reply}") == "Thought: a sum\nAction: calculator[2 + 3]"
    _, _, calls, _ = reacted(steps(reply, "Answer: 5"), tools={"calculator": Calculator()})
    assert "6" not in calls[-1].messages[-2]["content"]


@pytest.mark.parametrize(
    ("reply", "final"),
    [("Thought: x\nFinal Answer: 5", "5"), ("**Answer:** 5\nor five", "5\nor five"), ("The answer is 5", "")],
)
def test_the_final_answer_is_what_follows_its_label(reply: str, final: str) -> None:
    """All of it; without the label there is none."""
    assert final_of(reply) == final


@pytest.mark.parametrize("options", [{"n": 1}, {"n": 4, "tool_timeout_s": 0.0}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """At the start, not when the first query comes."""
    with pytest.raises(ConfigurationError):
        React("small", **options)


@pytest.mark.parametrize(
    ("tools", "sections", "known"),
    [
        ("calculater", {}, "calculator, python"),
        ("calculator, sums", {"sum": {"type": "calculator"}}, "sum"),
        ("python", {"sum": {"type": "calculator"}}, "sum"),
    ],
)
def test_a_tool_that_is_not_configured_is_a_mistake_at_the_start(
    tmp_path: Path, tools: str, sections: dict[str, Any], known: str
) -> None:
    """The message names it and those that there are; a right name, of whatever section, is taken."""
    entry = {"strategy": "react", "models": ["small"], "n": 3}

    def menu(names: str) -> list[str]:
        values = tables(tmp_path, tools=sections)
        values["menu"].append({**entry, "tools": names})
        return configured_menu(parse_configuration(values)).ids

    with pytest.raises(ConfigurationError, match=f"there is no tool .* Known: {known} "):
        menu(tools)
    assert "small/react:" in menu("sum" if sections else "calculator , python")[-1]


def test_a_tool_that_a_run_lacks_is_noted() -> None:
    """Python without a sandbox: the rest is offered, and the trace says what is missing."""
    strategy = React("small", 3, tools="calculator, python")
    _, run, calls, _ = reacted(steps("Answer: 5"), strategy, {"calculator": Calculator()})
    assert run.steps[0].reason == "there is no tool python"
    assert Calculator().description in last_prompt(calls)
