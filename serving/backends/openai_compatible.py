"""Any server or provider that speaks OpenAI's chat completions, over pooled connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp
import orjson

from router.backend import Listener
from router.call import Call, Completion, Delta
from router.errors import ConfigurationError
from serving.http_upstream import HttpUpstream
from serving.sse import DONE_DATA, EventParser
from serving.streamed_reply import StreamedReply
from serving.upstream_reply import Exchange

DRAIN_S = 0.5
"""After ``[DONE]`` the end of the body is awaited so long: only then can the connection be used again."""
_TOKEN_FIELDS = ("max_completion_tokens", "max_tokens")


class OpenAICompatible(HttpUpstream):
    """Reaches one server. ``complete`` streams when the listener wants deltas.

    base_url: up to and with ``/v1``. api_key: sent as a bearer token, never told in an error.
    timeout_s: for one whole call; connect_timeout_s: for its connection. max_connections: calls at
    once; further ones queue. upstream: configured model -> the upstream's own name for it, where
    they differ. max_tokens_field: how the server calls the reply's cap (``max_tokens`` for servers
    that know only the old name). Raises ``ConfigurationError`` where an option is wrong.
    """

    name: ClassVar[str] = "openai_compatible"

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        connect_timeout_s: float = 5.0,
        max_connections: int = 256,
        upstream: Mapping[str, str] | None = None,
        max_tokens_field: str = "max_completion_tokens",
    ) -> None:
        if max_tokens_field not in _TOKEN_FIELDS:
            known = ", ".join(_TOKEN_FIELDS)
            raise ConfigurationError(f"max_tokens_field = {max_tokens_field!r} is unknown. Known: {known}.")
        url = base_url.rstrip("/") + "/chat/completions"
        super().__init__(url, api_key, timeout_s, connect_timeout_s, max_connections)
        self._upstream = dict(upstream or {})
        self._max_tokens_field = max_tokens_field

    def _body(self, call: Call, stream: bool) -> bytes:
        body: dict[str, Any] = {
            **call.parameters,
            "model": self._upstream.get(call.model, call.model),
            "messages": call.messages,
            self._max_tokens_field: call.max_completion_tokens,
        }
        if stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        return orjson.dumps(body)

    async def _read(
        self, exchange: Exchange, response: aiohttp.ClientResponse, listener: Listener
    ) -> Completion:
        try:
            if listener.wants_deltas and response.content_type == "text/event-stream":
                return await _Streaming(exchange, listener).read(response)
            completion = exchange.completion(await response.read())
        except (aiohttp.ClientError, ConnectionError) as error:
            raise exchange.broken_off(billed=True) from error
        if listener.wants_deltas:  # a server that streams nothing: all comes as one piece
            listener.hear(Delta(completion.message, completion.finish_reason, completion.logprobs))
        return completion


@dataclass(slots=True)
class _Streaming:
    """Reads one streamed reply and tells its pieces on."""

    exchange: Exchange
    listener: Listener
    reply: StreamedReply = field(default_factory=StreamedReply)
    done: bool = False

    async def read(self, response: aiohttp.ClientResponse) -> Completion:
        parser = EventParser()
        async for piece in response.content.iter_any():
            for event in parser.feed(piece):
                self._take(event)
            if self.done:
                await _drain(response)
                break
        return self._completion()

    def _take(self, event: bytes) -> None:
        if event == DONE_DATA:
            self.done = True
            return
        chunk = self.exchange.json(event)
        try:
            if chunk.get("error"):
                raise self.exchange.failed_in_stream(chunk, heard=self.reply.begun)
            delta = self.reply.take(chunk)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise self.exchange.malformed("an event that is no chunk of a completion", event) from error
        if delta is not None:
            self.listener.hear(delta)

    def _completion(self) -> Completion:
        reply = self.reply
        if not self.done and reply.finish_reason is None:
            raise self.exchange.broken_off(billed=True)
        if not reply.begun:
            raise self.exchange.malformed("a stream without a completion", b"")
        return self.exchange.completed(
            reply.message, reply.finish_reason, reply.logprobs or None, reply.usage
        )


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read to the end of the body where it is near, so that the connection goes back to the pool."""
    try:
        async with asyncio.timeout(DRAIN_S):
            while not response.content.at_eof():
                await response.content.readany()
    except (TimeoutError, aiohttp.ClientError):
        response.close()
