"""Any server or provider that speaks OpenAI's chat completions, over pooled connections."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp
import orjson

from router.backend import DEAF, Listener
from router.call import Call, Completion, Delta
from router.errors import BackendTimeout, ConfigurationError
from serving.sse import DONE_DATA, EventParser
from serving.streamed_reply import StreamedReply
from serving.upstream_reply import ERROR_BYTES, Exchange

DRAIN_S = 0.5
"""After ``[DONE]`` the end of the body is awaited so long: only then can the connection be used again."""
_LARGE_BYTES = 1 << 20
"""A body from this size on is written in pieces, as aiohttp asks for."""
_TOKEN_FIELDS = ("max_completion_tokens", "max_tokens")


class OpenAICompatible:
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
        _check_options(base_url, max_tokens_field, timeout_s, connect_timeout_s, max_connections)
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._api_key = api_key.strip() if api_key else None
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._max_connections = max_connections
        self._upstream = dict(upstream or {})
        self._max_tokens_field = max_tokens_field
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer one call. Where the upstream reports no usage the counts are estimates from the size
        of what was sent and received, and ``usage_details`` says so."""
        body = self._body(call, listener.wants_deltas)
        exchange = Exchange(call, len(body), self._api_key)
        content = body if len(body) < _LARGE_BYTES else io.BytesIO(body)
        try:
            async with self._pool().post(self._url, data=content, allow_redirects=False) as response:
                return await self._read(exchange, response, listener)
        except aiohttp.ConnectionTimeoutError as error:
            raise exchange.broken_off(billed=False) from error
        except TimeoutError as error:
            raise BackendTimeout(
                f"The upstream of {call.model!r} did not answer within {self._timeout_s:g} s."
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise exchange.broken_off(billed=False) from error

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

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

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._opened()
        return self._session

    def _opened(self) -> aiohttp.ClientSession:
        # No compression: it costs time on short replies and holds the events of a stream back.
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._max_connections),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=self._connect_timeout_s),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _read(
        self, exchange: Exchange, response: aiohttp.ClientResponse, listener: Listener
    ) -> Completion:
        if not 200 <= response.status < 300:
            words = await _beginning(response)
            raise exchange.refused(response.status, words, response.headers.get("retry-after"))
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


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readexactly(ERROR_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except aiohttp.ClientError:
        return b""


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read to the end of the body where it is near, so that the connection goes back to the pool."""
    try:
        async with asyncio.timeout(DRAIN_S):
            while not response.content.at_eof():
                await response.content.readany()
    except (TimeoutError, aiohttp.ClientError):
        response.close()


def _check_options(base_url: str, max_tokens_field: str, *positive: float) -> None:
    if not base_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"base_url = {base_url!r} must begin with http:// or https://.")
    if max_tokens_field not in _TOKEN_FIELDS:
        known = ", ".join(_TOKEN_FIELDS)
        raise ConfigurationError(f"max_tokens_field = {max_tokens_field!r} is unknown. Known: {known}.")
    if min(positive) <= 0:
        raise ConfigurationError(
            "Time-outs and max_connections of an openai_compatible backend must be above 0."
        )
