"""Replay: recorded answers behind the backend contract, so that what is replayed is the served code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from router.answers import extract_answer
from router.backend import DEAF, Listener
from router.call import Call, Completion, Delta
from router.errors import BackendRefused
from router.query import Message, Query, text_of
from router.templates import render

Key: TypeAlias = tuple[str, str]
"""A model's name and the last message's text, as the model saw it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded draw. latency_s: how long the model took, seconds. score: its outcome in [0, 1].
    cost_usd: what it was billed, where the record has it. extracted: whether ``answer``, the final one
    (``None``: there is none), was recorded too and need not be read from the text."""

    completion: Completion
    score: float
    latency_s: float = 0.0
    cost_usd: float | None = None
    extracted: bool = False
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """Draws by what was asked of which model. Independent draws of one prompt are exchangeable."""

    draws: Mapping[Key, Sequence[Recorded]]

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, str, Recorded]]) -> Recording:
        """From rows of model, prompt template, question and draw."""
        draws: dict[Key, list[Recorded]] = {}
        for model, template, question, recorded in rows:
            messages = render(template, [{"role": "user", "content": question}])
            draws.setdefault((model, text_of(messages[-1])), []).append(recorded)
        return cls(draws)


@dataclass(slots=True)
class Replay:
    """Answers calls from a recording, one draw after another; ``BackendRefused`` (404) where there is
    none left. shift: where in the recorded order the first draw is taken, so that repeated replays
    see other draws. timed: wait as long as the model took (under a virtual clock, at no cost).

    ``given`` maps each completion that was handed out to its record, by identity.
    """

    name: ClassVar[str] = "replay"
    recording: Recording
    shift: int = 0
    timed: bool = False
    given: dict[int, Recorded] = field(default_factory=dict)
    _used: dict[Key, int] = field(default_factory=dict)

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """The next recorded draw of what is asked."""
        recorded = self._next((call.model, _last_text(call.messages)))
        if self.timed:
            await asyncio.sleep(recorded.latency_s)
        completion = recorded.completion
        listener.hear(
            Delta(completion.message, completion.finish_reason, completion.logprobs, completion.prompt_tokens,
                  completion.completion_tokens)
        )  # fmt: skip
        return completion

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def score(self, completion: Completion) -> float:
        """The recorded outcome of a completion that this replay handed out; 0 for one that a strategy
        put together itself, of which nothing is recorded."""
        recorded = self.given.get(id(completion))
        return 0.0 if recorded is None else recorded.score

    def extract(self, query: Query, completion: Completion) -> str | None:
        """The recorded final answer; where none was recorded, the one in the text."""
        recorded = self.given.get(id(completion))
        if recorded is not None and recorded.extracted:
            return recorded.answer
        return extract_answer(query, completion.text)

    def _next(self, key: Key) -> Recorded:
        draws = self.recording.draws.get(key, ())
        used = self._used.get(key, 0)
        if used >= len(draws):
            raise BackendRefused(
                f"The recording holds {len(draws)} draws of {key[0]!r} for this prompt.", 404
            )
        self._used[key] = used + 1
        recorded = draws[(used + self.shift) % len(draws)]
        self.given[id(recorded.completion)] = recorded
        return recorded


def _last_text(messages: Sequence[Message]) -> str:
    return text_of(messages[-1]) if messages else ""
