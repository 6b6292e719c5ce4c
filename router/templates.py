"""Prompt templates: what a strategy makes of the caller's messages before it asks a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from router.errors import ConfigurationError
from router.query import Message

Template: TypeAlias = Callable[[Sequence[Message]], Sequence[Message]]

STEP_BY_STEP = "Let's think step by step. End with 'Answer:' and the final answer."


def _direct(messages: Sequence[Message]) -> Sequence[Message]:
    return messages


def _chain_of_thought(messages: Sequence[Message]) -> Sequence[Message]:
    for position in range(len(messages) - 1, -1, -1):
        if messages[position].get("role") == "user":
            asked = _with_text(messages[position], STEP_BY_STEP)
            return [*messages[:position], asked, *messages[position + 1 :]]
    return [*messages, {"role": "user", "content": STEP_BY_STEP}]


def _with_text(message: Message, addition: str) -> Message:
    content: Any = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": addition}]}
    return {**message, "content": f"{content}\n{addition}" if content else addition}


TEMPLATES: Mapping[str, Template] = {"direct": _direct, "chain_of_thought": _chain_of_thought}
"""``direct``: the caller's messages, unchanged. ``chain_of_thought``: the last user message asks for
reasoning before the answer. Each adds at most ``router.arm.TEMPLATE_TOKENS``."""


def render(template: str, messages: Sequence[Message]) -> Sequence[Message]:
    """The messages that a template makes of the caller's, which stay as they are.

    ``ConfigurationError`` where there is no such template.
    """
    if template not in TEMPLATES:
        raise ConfigurationError(f"Unknown template {template!r}. Known: {', '.join(TEMPLATES)}.")
    return TEMPLATES[template](messages)
