"""Actions: what a model's reply in ReAct's text protocol asks for, read leniently (Yao et al. 2023)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from router.code_answers import fenced_blocks
from router.thinking import aloud

MOST_ACTIONS = 4
"""Of one step; further ones are not run."""

_OBSERVATION = re.compile(r"^[ \t*]*Observation\b.*", re.MULTILINE | re.DOTALL)
_LABEL = re.compile(r"^[ \t*]*(Thought|Action|(?:Final )?Answer)\b[ \t*]*\d*[ \t*]*:[ \t*]*", re.MULTILINE)
_ACTION = re.compile(r"`?([\w.-]+)`?\s*([\[(:]?)\s*(.*)", re.DOTALL)
_INPUT = re.compile(r"\A[\s*]*(?:Action[ \t]+)?Input[ \t*]*:[ \t*]*", re.IGNORECASE)
_CLOSING = {"[": "]", "(": ")"}


@dataclass(frozen=True, slots=True)
class Action:
    """One use of a tool."""

    tool: str
    argument: str


def spoken(reply: str) -> str:
    """The reply without its thinking, and without the observations that the model made up itself."""
    return _OBSERVATION.sub("", aloud(reply), count=1).strip()


def final_of(reply: str) -> str:
    """The final answer, empty where there is none: all that follows its label."""
    for label in _LABEL.finditer(reply):
        if label[1].endswith("Answer"):
            return reply[label.end() :].strip()
    return ""


def actions_of(reply: str) -> list[Action]:
    """The actions before any final answer, at most ``MOST_ACTIONS``.

    >>> actions_of("Thought: a sum\\nAction: calculator[(2 + 3) * 4]")
    [Action(tool='calculator', argument='(2 + 3) * 4')]
    """
    labels = list(_LABEL.finditer(reply))
    ends = [*(label.start() for label in labels[1:]), len(reply)]
    found: list[Action] = []
    for label, end in zip(labels, ends, strict=False):
        if label[1].endswith("Answer"):
            break
        if label[1] == "Action" and (action := _action(reply[label.end() : end].strip())):
            found.append(action)
    return found[:MOST_ACTIONS]


def _action(text: str) -> Action | None:
    """``tool[input]``, ``tool(input)``, ``tool: input``, or an input on a line ``Action Input: ...``."""
    match = _ACTION.match(text)
    if match is None:
        return None
    tool, opening, rest = match.groups()
    inside, closed, _ = rest.rpartition(_CLOSING[opening]) if opening in _CLOSING else ("", "", "")
    argument = _INPUT.sub("", inside if closed else rest).strip()
    blocks = fenced_blocks(argument)
    return Action(tool, blocks[0][1].removesuffix("\n") if blocks else argument)
