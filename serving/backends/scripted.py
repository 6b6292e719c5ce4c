"""A fake upstream that ships: it answers by rules, so tests and benchmarks need no model and no mocks."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

from router.backend import DEAF, Listener
from router.call import Call, Completion, Delta
from router.errors import (
    BackendError,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    MalformedReply,
)
from router.query import Message, text_of

LOGPROB = -0.1
"""Natural logarithm of the probability that every scripted token is given."""

_WORD = re.compile(r"^\s+|\S+\s*")

_ERRORS: Mapping[str, Callable[[Rule], BackendError]] = {
    "timeout": lambda rule: BackendTimeout("The scripted upstream did not answer in time."),
    "unreachable": lambda rule: BackendUnreachable("The scripted upstream cannot be reached."),
    "broken_off": lambda rule: BackendUnreachable("The scripted upstream broke off.", billed=True),
    "refused": lambda rule: BackendRefused(
        f"The scripted upstream answered {rule.status}.", rule.status, rule.retry_after_s
    ),
    "malformed": lambda rule: MalformedReply("The scripted upstream sent no completion."),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is answered where ``match``, a regular expression, is found in the last user message.

    reply, replies: a text, or a whole assistant message; of several, the call's ``seed`` picks one
    (modulo their number), calls without a seed take them in turn. Without any, the user is echoed.
    completion_tokens: as billed; ``None`` counts the words of the reply. latency_s: until the whole
    reply is there. error: ``timeout``, ``unreachable``, ``broken_off`` (after half of the reply),
    ``refused`` (with ``status`` and ``retry_after_s``) or ``malformed``. times: the rule holds for so
    many calls, then those after it do. Raises ``ConfigurationError`` where an option is wrong.
    """

    match: str = ""
    reply: str | Message | None = None
    replies: Sequence[str | Message] = ()
    completion_tokens: int | None = None
    latency_s: float = 0.0
    error: str | None = None
    status: int = 500
    retry_after_s: float | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        if self.error is not None and self.error not in _ERRORS:
            raise ConfigurationError(f"Unknown error {self.error!r} of a rule. Known: {', '.join(_ERRORS)}.")
        try:
            re.compile(self.match)
        except re.error as error:
            raise ConfigurationError(f"match = {self.match!r} is no regular expression: {error}.") from None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Rule:
        """The rule of a configuration's table."""
        try:
            return cls(**options)
        except TypeError as error:
            known = ", ".join(item.name for item in fields(cls))
            raise ConfigurationError(f"A rule does not take that: {error}. Known: {known}.") from None

    @property
    def choices(self) -> Sequence[str | Message]:
        """All replies."""
        return self.replies if self.reply is None else (self.reply, *self.replies)


class Bill(NamedTuple):
    """What the scripted upstream charges for one call."""

    call: Call
    prompt_tokens: int
    completion_tokens: int


@dataclass(slots=True)
class _State:
    """A rule with the number of calls that it answered."""

    rule: Rule
    calls: Iterator[int] = field(default_factory=itertools.count)
    left: float = float("inf")


class Scripted:
    """Answers by the first rule that matches; with no rule, echoes the last user message.

    rules: tables of ``Rule``'s fields. latency_s: of replies that no rule gives. A token is a word.
    It streams word by word. ``billed`` lists what it charged, cancelled and broken calls included.
    """

    name: ClassVar[str] = "scripted"

    def __init__(self, rules: Sequence[Mapping[str, Any]] = (), latency_s: float = 0.0) -> None:
        made = [Rule.of(options) for options in rules]
        self._states = [
            _State(rule, left=float("inf") if rule.times is None else rule.times) for rule in made
        ]
        self._echo = _State(Rule(latency_s=latency_s))
        self.billed: list[Bill] = []

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer one call as its rule says."""
        state = self._state_for(_last_user_text(call))
        state.left -= 1
        speech = _Speech(call, state.rule, _reply(state, call), listener)
        try:
            return await speech.say()
        finally:
            if speech.billed:
                self.billed.append(Bill(call, speech.prompt_tokens, speech.tokens))

    async def aclose(self) -> None:
        """Nothing is held."""

    def _state_for(self, asked: str) -> _State:
        for state in self._states:
            if state.left > 0 and re.search(state.rule.match, asked):
                return state
        return self._echo


def _reply(state: _State, call: Call) -> dict[str, Any]:
    choices = state.rule.choices or (_last_user_text(call),)
    turn, seed = next(state.calls), call.parameters.get("seed")
    chosen = choices[(turn if seed is None else seed) % len(choices)]
    return (
        {"role": "assistant", "content": chosen}
        if isinstance(chosen, str)
        else {"role": "assistant", **chosen}
    )


def _last_user_text(call: Call) -> str:
    return next((text_of(message) for message in reversed(call.messages) if message["role"] == "user"), "")


class _Speech:
    """One reply being said. ``tokens`` is what its words so far cost; ``billed`` whether they are charged."""

    def __init__(self, call: Call, rule: Rule, message: dict[str, Any], listener: Listener) -> None:
        words = _WORD.findall(text_of(message))
        self.call, self.rule, self.listener = call, rule, listener
        self.words = words[: call.max_completion_tokens]
        self.message = message | {"content": "".join(self.words)} if words else message
        self.cut = len(words) > len(self.words)
        self.prompt_tokens = sum(len(text_of(message).split()) for message in call.messages)
        self.tokens = 0
        self.billed = False

    async def say(self) -> Completion:
        """The whole reply, or the rule's error."""
        error = None if self.rule.error is None else _ERRORS[self.rule.error](self.rule)
        self.billed = error is None or error.billed
        if error is None or self.rule.error == "broken_off":
            await self._speak(self.words if error is None else self.words[: len(self.words) // 2])
        else:
            await asyncio.sleep(self.rule.latency_s)
        if error is not None:
            raise error
        return self._completion()

    async def _speak(self, words: Sequence[str]) -> None:
        if not self.listener.wants_deltas:
            await asyncio.sleep(self.rule.latency_s)
            self.tokens = len(words)
            return
        self._tell(_without_content(self.message))
        for word in words:
            await asyncio.sleep(self.rule.latency_s / len(self.words))
            self.tokens += 1
            self._tell({"content": word}, logprobs=self._logprobs([word]))
        if len(words) == len(self.words):
            self._tell({}, self._finish_reason)

    def _tell(
        self,
        piece: Mapping[str, Any],
        finish_reason: str | None = None,
        logprobs: Mapping[str, Any] | None = None,
    ) -> None:
        self.listener.hear(Delta(piece, finish_reason, logprobs, self.prompt_tokens, self.tokens))

    @property
    def _finish_reason(self) -> str:
        if self.message.get("tool_calls"):
            return "tool_calls"
        return "length" if self.cut else "stop"

    def _logprobs(self, words: Sequence[str]) -> Mapping[str, Any] | None:
        if not words or not self.call.parameters.get("logprobs"):
            return None
        return {"content": [_token(word) for word in words], "refusal": None}

    def _completion(self) -> Completion:
        if self.rule.completion_tokens is not None:
            self.tokens = self.rule.completion_tokens
        return Completion(
            self.message, self._finish_reason, self.prompt_tokens, self.tokens, self._logprobs(self.words)
        )


def _token(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": LOGPROB, "bytes": list(word.encode()), "top_logprobs": []}


def _without_content(message: Mapping[str, Any]) -> dict[str, Any]:
    """The first piece of a stream: all but the text, tool calls with their index."""
    piece = {key: value for key, value in message.items() if key != "content"}
    if "tool_calls" in piece:
        piece["tool_calls"] = [{"index": i, **call} for i, call in enumerate(piece["tool_calls"])]
    return piece
