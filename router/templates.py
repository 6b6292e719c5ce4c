"""Prompt templates: what a strategy makes of the caller's messages before it asks a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from router.errors import ConfigurationError
from router.query import Message

Template: TypeAlias = Callable[[Sequence[Message]], Sequence[Message]]

STEP_BY_STEP = "Let's think step by step. End with 'Answer:' and the final answer."
PLAN_THEN_SOLVE = (
    "Let's first understand the problem and devise a plan to solve it. Then let's carry out the plan and "
    "solve the problem step by step. End with 'Answer:' and the final answer."
)
"""Plan-and-Solve prompting [Wang et al. 2023, arXiv 2305.04091, its PS prompt], with our last sentence."""


def _direct(messages: Sequence[Message]) -> Sequence[Message]:
    return messages


def instructed(messages: Sequence[Message], instruction: str) -> Sequence[Message]:
    """The messages with an instruction at the end of the last user message; as one of its own where the
    user has said nothing."""
    for position in range(len(messages) - 1, -1, -1):
        if messages[position].get("role") == "user":
            asked = _with_text(messages[position], instruction)
            return [*messages[:position], asked, *messages[position + 1 :]]
    return [*messages, {"role": "user", "content": instruction}]


def _with_text(message: Message, addition: str) -> Message:
    content: Any = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": addition}]}
    return {**message, "content": f"{content}\n{addition}" if content else addition}


TEMPLATES: Mapping[str, Template] = {
    "direct": _direct,
    "chain_of_thought": partial(instructed, instruction=STEP_BY_STEP),
    "plan_then_solve": partial(instructed, instruction=PLAN_THEN_SOLVE),
}
"""``direct``: the caller's messages, unchanged. ``chain_of_thought``: the last user message asks for
reasoning before the answer. ``plan_then_solve``: for a plan, then for its steps. Each adds at most
``router.arm.TEMPLATE_TOKENS``."""


def render(template: str, messages: Sequence[Message]) -> Sequence[Message]:
    """The messages that a template makes of the caller's, which stay as they are.

    ``ConfigurationError`` where there is no such template.
    """
    if template not in TEMPLATES:
        raise ConfigurationError(f"Unknown template {template!r}. Known: {', '.join(TEMPLATES)}.")
    return TEMPLATES[template](messages)
