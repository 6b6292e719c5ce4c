"""Call and Completion: one upstream call and its reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from router.query import Message, text_of

Purpose: TypeAlias = Literal["candidate", "step", "critique", "judge", "reward"]
"""What a call's tokens are spent on: an answer, a part of one, what is wrong with one, how good one is by a
judge's or by a reward model's word."""

PROMPT_TOKENS_PER_MESSAGE = 16
"""Bound on what a chat template adds around one message."""
PROMPT_TOKENS_PER_TEMPLATE = 64
"""Bound on what a chat template adds once (default system prompts, start tokens)."""
PROMPT_TOKENS_PER_ATTACHMENT = 50_000
"""Bound on a content part that is no text: the most that a known tariff bills for one image."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one model.

    model: the configured name. parameters: further fields of OpenAI's body. template: the prompt
    template that made the messages (``"direct"`` is the caller's own); with the query it names what
    a replay looks up. purpose: what the tokens are spent on.
    """

    model: str
    messages: Sequence[Message]
    max_completion_tokens: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    template: str = "direct"
    purpose: Purpose = "candidate"

    @property
    def prompt_token_bound(self) -> int:
        """Upper bound on the prompt's tokens: a token of a byte-level vocabulary is at least a byte."""
        return prompt_token_bound(self.messages, self.parameters)


def prompt_token_bound(messages: Sequence[Message], parameters: Mapping[str, Any]) -> int:
    """See ``Call.prompt_token_bound``."""
    text = sum(map(_bytes_of, messages)) + PROMPT_TOKENS_PER_MESSAGE * len(messages)
    extra = sum(_json_bytes(value) for key, value in parameters.items() if _may_prompt(key, value))
    return text + extra + PROMPT_TOKENS_PER_TEMPLATE


_SILENT = frozenset({"logit_bias", "stop", "user", "metadata", "tool_choice", "reasoning_effort"})
"""Parameters of more than a number that no provider renders into the prompt."""


def _may_prompt(key: str, value: Any) -> bool:
    """What a provider renders into the prompt (tools, functions, a response format), and whatever is passed
    through unknown and might be (documents, a prediction, a template)."""
    return key not in _SILENT and isinstance(value, str | list | dict)


def _bytes_of(message: Message) -> int:
    content = message.get("content")
    if isinstance(content, str):
        size = len(content) if content.isascii() else len(content.encode())
        return size if len(message) == 2 else size + _rest_of(message)
    return _rest_of(message) + sum(_bytes_of_part(part) for part in content or ())


def _bytes_of_part(part: Any) -> int:
    if isinstance(part, dict) and part.get("type", "text") not in ("text", "refusal"):
        return PROMPT_TOKENS_PER_ATTACHMENT + sum(
            _json_bytes(value) for key, value in part.items() if key not in ("type", part.get("type"))
        )
    return _json_bytes(part)


def _rest_of(message: Message) -> int:
    return sum(_json_bytes(value) for key, value in message.items() if key not in ("role", "content"))


def _json_bytes(value: Any) -> int:
    return len(orjson.dumps(value, default=repr))


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply.

    message: OpenAI's assistant message, whole (content, tool calls, refusal, ...). logprobs:
    OpenAI's ``choices[].logprobs`` object. usage_details: fields of the upstream's usage besides the two
    counts (cached, reasoning tokens).
    """

    message: Message
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    logprobs: Mapping[str, Any] | None = None
    usage_details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The reply's text, empty for a pure tool call."""
        return text_of(self.message)


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed reply: OpenAI's ``choices[].delta`` and, with the last one, why it ended.

    prompt_tokens, completion_tokens: running totals, where the upstream tells them on the way; they
    bill a call that is cancelled.
    """

    delta: Mapping[str, Any]
    finish_reason: str | None = None
    logprobs: Mapping[str, Any] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
