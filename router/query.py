"""Query: one request as it was asked. It carries no decision."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from router.budget import UNLIMITED, Budget
from router.ids import new_id
from router.tariff import to_nano

Message: TypeAlias = Mapping[str, Any]
"""One chat message in OpenAI's shape."""

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller asks of the decision; ``None`` means no wish.

    max_cost_usd: hard cap on this answer, USD. deadline_s: hard limit on its wall time, seconds.
    max_calls, max_total_tokens: hard caps on its upstream calls, and on their prompt and completion
    tokens together.
    min_quality: leave out arms whose P(success) is below. stakes: what a right answer is worth, in
    quality units (1 = an ordinary query). verifier: a verifier specification, e.g.
    ``{"type": "regex", "pattern": "..."}``. domain: the name of a domain (``router/domains/``); it is
    recognised without. tools: the caller's own by HTTP, for strategies that use tools: objects with
    ``name``, ``url``, ``describe`` and maybe ``argument``.
    """

    max_cost_usd: float | None = None
    deadline_s: float | None = None
    min_quality: float | None = None
    stakes: float = 1.0
    verifier: Mapping[str, Any] | None = None
    max_calls: int | None = None
    max_total_tokens: int | None = None
    domain: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None

    @property
    def budget(self) -> Budget:
        """The caps that these wishes put on any plan."""
        caps = self.max_calls, self.max_total_tokens, self.max_cost_usd, self.deadline_s
        if caps == (None, None, None, None):
            return UNLIMITED
        cost = None if self.max_cost_usd is None else to_nano(self.max_cost_usd)
        return Budget(self.max_calls, self.max_total_tokens, cost, self.deadline_s)


@dataclass(frozen=True, slots=True)
class Query:
    """One request; immutable.

    target: ``"auto"``, a policy's name, an arm's id or a model's name. parameters: the body's
    sampling fields, passed to every upstream call (``temperature``, ``stop``, ``tools``, unknown
    ones, ...); ``n`` and ``max_completion_tokens`` stand apart. account: who pays. conversation:
    groups the turns of one dialogue. unit: what an experiment randomises over. received_at: Unix
    seconds. ``id`` is also the id of its trace.
    """

    messages: Sequence[Message]
    target: str = "auto"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    n: int = 1
    max_completion_tokens: int | None = None
    wishes: Wishes = field(default_factory=Wishes)
    account: str = DEFAULT_ACCOUNT
    conversation: str | None = None
    unit: str | None = None
    id: str = field(default_factory=new_id)
    received_at: float = field(default_factory=time.time)

    @property
    def text(self) -> str:
        """The last user message's text: what is being asked."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message)
        return text_of(self.messages[-1]) if self.messages else ""


def text_of(message: Message) -> str:
    """A message's text; of a multi-part content, its text parts joined by newlines."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
