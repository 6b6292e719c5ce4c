"""ReAct: thoughts and actions in turn, with tools on the server (Yao et al. 2023)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from router.answers import extract_answer
from router.candidate import Answer, Candidate, composed
from router.errors import ConfigurationError
from router.query import Message
from router.run import Run
from router.strategies import Traits
from router.strategies._actions import Action, actions_of, final_of, spoken
from router.strategies._dialogue import STEP_TOKENS, replied
from router.strategies._standing import Standing, beside_a_plain_draw
from router.templates import instructed
from router.tools import Tool, failed

_PROTOCOL = (
    "Reply with 'Thought: ...', then either lines 'Action: tool[input]' and stop, to get observations, or, "
    "once you know, 'Answer: ...'. Tools:\n"
)
_WITHOUT_TOOLS = "Reply with 'Thought: ...' and, once you know, 'Answer: ...'."
_OBSERVED = "Observation: "
_LAST = "No more actions. Reply with 'Answer: ' and the final answer now."


@dataclass(frozen=True, slots=True)
class React:
    """At most ``n`` steps, each a thought with actions or the answer, which the last one is told to give.

    The actions of one step run in parallel, at most four. A text protocol, so it works with any model and
    is apart from the caller's own OpenAI ``tools``, which it cannot serve. tools: names of those to offer,
    with commas between; empty for all that the server has. Without any the model reasons alone.
    tool_timeout_s: what takes longer is cut, and the model told. A plain draw beside the first step is the
    answer where no step ends in one.
    """

    name: ClassVar[str] = "react"
    summary: ClassVar[str] = "thoughts, tool calls and observations in turn, until the answer"
    model: str
    n: int
    tools: str = ""
    tool_timeout_s: float = 20.0

    def __post_init__(self) -> None:
        if self.n < 2 or not 0 < self.tool_timeout_s < inf:
            raise ConfigurationError(
                f"react needs n >= 2 and tool_timeout_s > 0, not {self.n} and {self.tool_timeout_s}."
            )

    @property
    def traits(self) -> Traits:
        """The last prompt holds n - 1 replies, as many observations, and what the tools are. A configuration
        that names a tool which it has not is refused. An arm that names some takes none that a request
        brings."""
        return Traits(
            response_format=False,
            quotes=2 * self.n - 1,
            server_tools=frozenset(self._named),
            runs_tools=not self._named,
        )

    @property
    def family(self) -> str:
        """``<model>/react``, with the names of the tools where not all are offered."""
        return f"{self.model}/{self.name}{f':{self.tools}' if self.tools else ''}"

    @property
    def compute(self) -> float:
        """Steps at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """The plain draw, and n steps."""
        return {self.model: 1 + self.n}

    async def answer(self, run: Run) -> Answer:
        """What the last step answers."""
        return await beside_a_plain_draw(run, self.model, lambda standing: [self._steps(run, standing)])

    async def _steps(self, run: Run, standing: Standing) -> bool:
        tools = self._offered(run)
        protocol = _protocol(run, tools)
        seen: list[str] = []
        for left in range(self.n - 1, -1, -1):
            messages = _prompt(run.query.messages, seen, protocol if left else _LAST)
            reply = standing.step(
                await run.ask(self.model, messages, template=self.name, max_completion_tokens=STEP_TOKENS)
            )
            text = spoken(reply.text)
            asked = actions_of(text) if left else []
            final = "" if asked else final_of(text)
            if final:
                standing.find(_stated(run, final, standing.replies))
                run.note("stop", "it answered", steps_left=left)
                return True
            run.note("continue" if left else "stop", _acts(tools, asked), steps_left=left)
            seen += await self._observed(run, tools, reply, asked)
        return True

    @property
    def _named(self) -> list[str]:
        return [name for name in map(str.strip, self.tools.split(",")) if name]

    def _offered(self, run: Run) -> Mapping[str, Tool]:
        names = self._named or list(run.tools)
        if missing := [name for name in names if name not in run.tools]:
            run.note("continue", f"there is no tool {missing[0]}", missing=len(missing))
        return {name: run.tools[name] for name in names if name in run.tools}

    async def _observed(
        self, run: Run, tools: Mapping[str, Tool], reply: Candidate, actions: Sequence[Action]
    ) -> list[str]:
        """The reply and its observations, as they stand in the next prompt; each within its quote."""
        results = await asyncio.gather(*(self._used(tools, action) for action in actions))
        told = _joined(run, results) if results else failed("there was neither an Action nor an Answer")
        return [run.quote(spoken(reply.text)), run.quote(_OBSERVED + told)]

    async def _used(self, tools: Mapping[str, Tool], action: Action) -> str:
        """A tool's result, or what went wrong."""
        if action.tool not in tools:
            return failed(f"there is no tool {action.tool[:40]!r}; there are: {', '.join(tools) or 'none'}")
        try:
            async with asyncio.timeout(self.tool_timeout_s):
                return await tools[action.tool].use(action.argument)
        except TimeoutError:
            return failed(f"{action.tool} was stopped after {self.tool_timeout_s:g} s")
        except Exception as error:  # a tool that breaks its contract must not take the answer with it
            return failed(f"{action.tool}: {type(error).__name__}: {error}")


def _acts(tools: Mapping[str, Tool], asked: Sequence[Action]) -> str:
    """What the trace says of a step: the tools by name, but no word of the model's own."""
    used = dict.fromkeys(each.tool if each.tool in tools else "a tool that there is not" for each in asked)
    return f"uses {', '.join(used)}" if used else "says no answer"


def _protocol(run: Run, tools: Mapping[str, Tool]) -> str:
    """How to reply, and the tools: described where that fits into a quote, else their names."""
    if not tools:
        return _WITHOUT_TOOLS
    described = "\n".join(
        f"{name}[{tool.schema.get('description', 'input')}]: {tool.description}"
        for name, tool in tools.items()
    )
    return _PROTOCOL + (described if run.quote(described) == described else run.quote(", ".join(tools)))


def _prompt(messages: Sequence[Message], seen: Sequence[str], instruction: str) -> Sequence[Message]:
    if not seen:
        return instructed(messages, instruction)
    return replied(messages, "\n".join(seen), instruction)


def _joined(run: Run, results: Sequence[str]) -> str:
    """Several observations as one that fits into a quote; where they are too long, each keeps its end."""
    joined = "\n".join(results)
    fits = run.quote(joined)
    share = max(1, len(fits) // len(results) - 1)
    return joined if fits == joined else "\n".join(result[-share:] for result in results)


def _stated(run: Run, final: str, steps: Sequence[Candidate]) -> Candidate:
    text = f"Answer: {final}"
    return composed(text, extract_answer(run.query, text), [step.completion for step in steps], "react")
