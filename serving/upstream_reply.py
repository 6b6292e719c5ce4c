"""What an OpenAI-compatible upstream says, read with care: completions, errors, when to come back."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from router.call import Call, Completion
from router.errors import BackendError, BackendRefused, BackendUnreachable, MalformedReply

BYTES_PER_TOKEN = 3
"""For an upstream that reports no usage: fewer bytes than a token has in any language's usual text, so
that the estimate does not fall short."""
MOST_TOKENS = 10**12
"""A count beyond is none: what it would cost could not be written."""
MESSAGE_CHARACTERS = 500
"""Of an upstream's error message at most so much is passed on."""
EXCERPT_CHARACTERS = 80
"""Of a reply that is no completion so much is quoted."""
ERROR_BYTES = 8192
"""Of an upstream's error reply at most so much is read."""

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_SHAPE_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call, the size of the request that it became, and the key that was sent with it, which is
    struck out of whatever the upstream says."""

    call: Call
    request_bytes: int
    key: str | None = field(default=None, repr=False)

    def completion(self, body: bytes) -> Completion:
        """The completion in a reply that came whole; ``MalformedReply`` where there is none."""
        reply = self.json(body)
        try:
            choice = reply["choices"][0]
            message = choice["message"]
            return self.completed(
                message, choice.get("finish_reason"), choice.get("logprobs"), reply.get("usage")
            )
        except _SHAPE_ERRORS as error:
            raise self.malformed("a reply without a completion", body) from error

    def completed(self, message: Any, finish_reason: Any, logprobs: Any, usage: Any) -> Completion:
        """The completion of its parts; counts that the upstream does not report are estimated, and
        ``usage_details["estimated"]`` says so. ``TypeError`` where the message is none."""
        if not isinstance(message, dict):
            raise TypeError("the message is no object")
        prompt_tokens, completion_tokens, details = self._usage(usage, message)
        return Completion(
            message if message.get("role") else {"role": "assistant", **message},
            finish_reason if isinstance(finish_reason, str) else "stop",
            prompt_tokens,
            completion_tokens,
            logprobs if isinstance(logprobs, dict) else None,
            details,
        )

    def _usage(self, usage: Any, message: Mapping[str, Any]) -> tuple[int, int, Mapping[str, Any]]:
        if (
            isinstance(usage, dict)
            and _is_count(usage.get("prompt_tokens"))
            and _is_count(usage.get("completion_tokens"))
        ):
            details = {key: value for key, value in usage.items() if key not in _COUNTS and value is not None}
            return usage["prompt_tokens"], usage["completion_tokens"], details
        completion = _tokens_of(len(orjson.dumps(message)))
        return (
            _tokens_of(self.request_bytes),
            min(completion, self.call.max_completion_tokens),
            {"estimated": True},
        )

    def json(self, body: bytes) -> Any:
        """A body's or an event's JSON; ``MalformedReply`` where it is broken."""
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise self.malformed("broken JSON", body) from error

    def malformed(self, what: str, body: bytes) -> MalformedReply:
        """The error for a reply or an event that is no completion."""
        words = body[:ERROR_BYTES].decode(errors="replace")
        return MalformedReply(self._told(f"sent {what}", words, EXCERPT_CHARACTERS))

    def broken_off(self, *, billed: bool, words: str = "") -> BackendUnreachable:
        """The error for a connection that could not be made or, billed, did not last."""
        when = "broke off before its reply was whole" if billed else "cannot be reached"
        return BackendUnreachable(self._told(when, words), billed=billed)

    def refused(self, status: int, body: bytes, retry_after: str | None = None) -> BackendRefused:
        """The error for an error status. What the upstream says of the key is not passed on at all."""
        words = "" if status in (401, 403) else _words_of(body)
        return BackendRefused(self._told(f"answered {status}", words), status, retry_after_s(retry_after))

    def failed_in_stream(self, event: Mapping[str, Any], *, heard: bool) -> BackendError:
        """The error for one that came as an event: a refusal, unless part of the answer had come."""
        body, error = orjson.dumps(event), event["error"]
        if heard:
            return self.broken_off(billed=True, words=_words_of(body))
        status = error.get("code", error.get("status")) if isinstance(error, dict) else None
        return self.refused(status if type(status) is int and 400 <= status <= 599 else 502, body)

    def _told(self, what: str, words: str, characters: int = MESSAGE_CHARACTERS) -> str:
        if self.key:
            words = words.replace(self.key, "[key]")
        end = f": {words[:characters]}" if words else "."
        return f"The upstream of {self.call.model!r} {what}{end}"


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, which holds seconds or a date; ``None`` where it says nothing.

    >>> retry_after_s("1.5"), retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT"), retry_after_s("soon")
    (1.5, 0.0, None)
    """
    if not header:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        return _seconds_until(header)
    return max(0.0, wait_s) if math.isfinite(wait_s) else None


def _seconds_until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def _words_of(body: bytes) -> str:
    """The message in an error reply, in any of the shapes in use: OpenAI's, vLLM's, FastAPI's."""
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    for path in (("error", "message"), ("error",), ("message",), ("detail",)):
        words = reply
        for key in path:
            words = words.get(key) if isinstance(words, dict) else None
        if isinstance(words, str):
            return words
    return ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_TOKENS


def _tokens_of(size_bytes: int) -> int:
    return -(-size_bytes // BYTES_PER_TOKEN)
