"""A reward model behind HTTP: question and reply in, one number out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
import orjson

from router.backend import Listener
from router.call import Call, Completion, Delta
from router.errors import BackendRefused, ConfigurationError
from router.query import Message, text_of
from serving.http_upstream import HttpUpstream
from serving.upstream_reply import Exchange


class RewardHttp(HttpUpstream):
    """Posts ``{"model", "query", "reply"}`` and answers with the number that comes back, as text.

    The call's last message is the reply that is to be rated, those before it are the question: one is
    sent as its text, several as lines ``role: text``. Understood are ``{"score": x}``, ``{"data":
    [{"score": x}]}`` (vLLM's ``/score``), ``[{"score": x}]`` (a reranker's list) and ``[x]``, with ``usage``
    beside the first two.

    base_url, path: the URL is both together. query_field, reply_field: what the server calls them (vLLM:
    ``text_1``, ``text_2``). sigmoid: the number is a logit; answer with 1 / (1 + exp(-x)). The rest is as of
    ``openai_compatible``. Raises ``ConfigurationError`` where an option is wrong.
    """

    name: ClassVar[str] = "reward_http"

    def __init__(
        self,
        base_url: str,
        path: str = "/score",
        api_key: str | None = None,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        max_connections: int = 64,
        query_field: str = "query",
        reply_field: str = "reply",
        sigmoid: bool = False,
        upstream: Mapping[str, str] | None = None,
    ) -> None:
        if not path.startswith("/"):
            raise ConfigurationError(f"A reward_http backend's path must begin with /, not {path!r}.")
        if not query_field or not reply_field or query_field == reply_field:
            raise ConfigurationError("query_field and reply_field of a reward_http backend must differ.")
        super().__init__(base_url.rstrip("/") + path, api_key, timeout_s, connect_timeout_s, max_connections)
        self._fields = query_field, reply_field
        self._sigmoid = sigmoid
        self._upstream = dict(upstream or {})

    def _body(self, call: Call, stream: bool) -> bytes:
        if len(call.messages) < 2 or call.messages[-1].get("role") != "assistant":
            raise BackendRefused(
                f"{call.model!r} is a reward model: it rates the last message, which must be the "
                "assistant's reply to those before it.",
                400,
            )
        *question, last = call.messages
        query_field, reply_field = self._fields
        asked, replied = _as_text(question), text_of(last)
        model = self._upstream.get(call.model, call.model)
        return orjson.dumps({"model": model, query_field: asked, reply_field: replied})

    async def _read(
        self, exchange: Exchange, response: aiohttp.ClientResponse, listener: Listener
    ) -> Completion:
        try:
            body = await response.read()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise exchange.broken_off(billed=True) from error
        said = exchange.json(body)
        number = _number_in(said)
        if number is None:
            raise exchange.malformed("a reply without a score", body)
        completion = exchange.completed(self._message(number), "stop", None, _usage_in(said))
        if listener.wants_deltas:
            listener.hear(Delta(completion.message, "stop"))
        return completion

    def _message(self, number: float) -> Message:
        told = _logistic(number) if self._sigmoid else number
        return {"role": "assistant", "content": repr(told)}


def _as_text(messages: Sequence[Message]) -> str:
    if len(messages) == 1:
        return text_of(messages[0])
    return "\n".join(f"{message.get('role')}: {text_of(message)}" for message in messages)


def _number_in(said: Any) -> float | None:
    """The finite number of a reply in one of the forms that are understood."""
    if isinstance(said, dict):
        said = said.get("score", said.get("data"))
    if isinstance(said, list):
        said = said[0] if len(said) == 1 else None
    if isinstance(said, dict):
        said = said.get("score")
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        return None
    return float(said)


def _usage_in(said: Any) -> Any:
    """The usage that came along; rating generates nothing, so a prompt's count alone is whole."""
    usage = said.get("usage") if isinstance(said, dict) else None
    return {"completion_tokens": 0, **usage} if isinstance(usage, dict) else None


def _logistic(logit: float) -> float:
    """1 / (1 + exp(-x)), without overflow.

    >>> _logistic(0.0), _logistic(-1000.0), _logistic(1000.0)
    (0.5, 0.0, 1.0)
    """
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))
