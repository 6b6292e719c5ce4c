"""The reply's wire format: OpenAI's chat completion, its stream of chunks, and the list of models.

What the project adds: ``usage.cost`` in US dollars, and an ``effortwise`` object whose content the
caller of these functions gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from router.call import Completion, Delta
from router.query import Query
from router.usage import Usage
from serving.problems import Problem
from serving.sse import DONE, frame

OWNER = "effortwise"
PIECE_CHARACTERS = 400
"""A finished answer is streamed in pieces of about this length, cut between words."""

_PIECE = re.compile(rf"[\s\S]{{1,{PIECE_CHARACTERS}}}(?:(?<=\s)|\Z)|[\s\S]{{1,{PIECE_CHARACTERS}}}")


def reply_id(query: Query) -> str:
    """The reply's id: the trace's, in OpenAI's form."""
    return f"chatcmpl-{query.id}"


def chat_completion(
    query: Query,
    model_name: str,
    choices: Sequence[Completion],
    usage: Usage,
    created: int,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole reply. usage: of every call made for it; created: Unix seconds; extra: the
    ``effortwise`` object."""
    body: dict[str, Any] = {
        "id": reply_id(query),
        "object": "chat.completion",
        "created": created,
        "model": model_name,
        "choices": [_choice(index, as_asked(query, each)) for index, each in enumerate(choices)],
        "usage": usage_object(usage, choices),
    }
    if extra is not None:
        body["effortwise"] = extra
    return body


def as_asked(query: Query, completion: Completion) -> Completion:
    """Without the log-probabilities that a strategy asked for and the caller did not."""
    if completion.logprobs is None or query.parameters.get("logprobs"):
        return completion
    return replace(completion, logprobs=None)


def _choice(index: int, completion: Completion) -> dict[str, Any]:
    return {
        "index": index,
        "message": completion.message,
        "logprobs": completion.logprobs,
        "finish_reason": completion.finish_reason,
    }


def usage_object(usage: Usage, choices: Sequence[Completion] = ()) -> dict[str, Any]:
    """OpenAI's usage with ``cost`` in US dollars. Its details (cached, reasoning tokens) are the sums
    over the choices: of the calls whose replies the caller does not see, no details are kept."""
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cost": usage.cost_usd,
    }
    details: dict[str, Any] = {}
    for completion in choices:
        if completion.usage_details:
            _add_details(details, completion.usage_details)
    return {**details, **counts} if details else counts


def _add_details(total: dict[str, Any], details: Mapping[str, Any]) -> None:
    for key, value in details.items():
        if isinstance(value, Mapping) and isinstance(total.setdefault(key, {}), dict):
            _add_details(total[key], value)
        elif type(value) in (int, float) and type(total.get(key)) in (int, float):
            total[key] += value
        else:
            total.setdefault(key, value)


def model_object(name: str, created: int) -> dict[str, Any]:
    """One entry of the list of models: a model, a policy or an arm. created: Unix seconds."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def model_list(names: Sequence[str], created: int) -> dict[str, Any]:
    """The reply of ``GET /v1/models``."""
    return {"object": "list", "data": [model_object(name, created) for name in names]}


@dataclass(slots=True)
class ChunkStream:
    """Makes the frames of one streamed reply, in order.

    The first frame of each choice carries the role and the last one its finish reason, once,
    whatever the deltas bring. The envelope is serialised once, so a token costs one small encoding. mark:
    an ``effortwise`` object for the last frame of each choice.
    """

    query: Query
    model_name: str
    created: int
    include_usage: bool = False
    mark: Mapping[str, Any] | None = None
    _head: bytes = field(init=False)
    _null_usage: bytes = field(init=False)
    _begun: set[int] = field(default_factory=set)
    _finished: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        envelope = {
            "id": reply_id(self.query),
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model_name,
        }
        self._head = b"data: " + orjson.dumps(envelope)[:-1] + b',"choices":['
        self._null_usage = b',"usage":null}\n\n' if self.include_usage else b"}\n\n"

    def delta(self, delta: Delta, index: int = 0) -> bytes:
        """The frame of one piece of a choice; empty after its finish reason."""
        if index in self._finished:
            return b""
        piece = delta.delta
        if index not in self._begun:
            self._begun.add(index)
            piece = {"role": "assistant", **piece}
        if delta.finish_reason is not None:
            self._finished.add(index)
        choice = {
            "index": index,
            "delta": piece,
            "logprobs": delta.logprobs,
            "finish_reason": delta.finish_reason,
        }
        marked = self.mark is not None and delta.finish_reason is not None
        mark = b',"effortwise":' + orjson.dumps(self.mark) if marked else b""
        return self._head + orjson.dumps(choice) + b"]" + mark + self._null_usage

    def progress(self, event: Mapping[str, Any]) -> bytes:
        """A frame without choices that tells what happens on the way."""
        told = orjson.dumps({"progress": event})
        return self._head + b'],"effortwise":' + told + self._null_usage

    def finish(self, finish_reason: str, index: int = 0) -> bytes:
        """The frame that ends a choice; empty where a delta has ended it."""
        return self.delta(Delta({}, finish_reason), index)

    def whole(self, completion: Completion, index: int = 0) -> Iterator[bytes]:
        """The frames of a finished completion: its text in a few pieces, the rest with the first."""
        for delta in deltas_of(as_asked(self.query, completion)):
            yield self.delta(delta, index)

    def end(
        self, usage: Usage, choices: Sequence[Completion] = (), extra: Mapping[str, Any] | None = None
    ) -> bytes:
        """The last frames: usage and the ``effortwise`` object where the caller asked for usage, and
        ``[DONE]``."""
        if not self.include_usage:
            return DONE
        tail: dict[str, Any] = {"usage": usage_object(usage, choices)}
        if extra is not None:
            tail["effortwise"] = extra
        return self._head + b"]," + orjson.dumps(tail)[1:] + b"\n\n" + DONE


def deltas_of(completion: Completion) -> Iterator[Delta]:
    """A finished completion as the pieces of a stream; log-probabilities keep the text in one piece."""
    message = dict(completion.message)
    content = message.pop("content", None)
    if message.get("tool_calls"):
        message["tool_calls"] = [{"index": i, **call} for i, call in enumerate(message["tool_calls"])]
    pieces = _pieces(content, completion.logprobs is not None)
    yield Delta({**message, "content": pieces[0]}, None, completion.logprobs)
    for piece in pieces[1:]:
        yield Delta({"content": piece})
    yield Delta({}, completion.finish_reason)


def _pieces(content: Any, together: bool) -> list[Any]:
    if not isinstance(content, str) or not content or together:
        return [content]
    return _PIECE.findall(content)


def error_frame(problem: Problem) -> bytes:
    """The frame that ends a stream in which an error came up; no ``[DONE]`` follows it."""
    return frame(problem.content)
