"""One server that answers calls over HTTP, by pooled connections; its faults as the error tree."""

from __future__ import annotations

import asyncio
import io
from abc import ABC, abstractmethod
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp

from router.backend import DEAF, Listener
from router.call import Call, Completion
from router.errors import BackendTimeout, ConfigurationError
from serving.upstream_reply import ERROR_BYTES, Exchange

_LARGE_BYTES = 1 << 20
"""A body from this size on is written in pieces, as aiohttp asks for."""


class HttpUpstream(ABC):
    """Posts each call to one URL. What is posted and how the reply is read is the subclass's.

    api_key: sent as a bearer token, never told in an error. timeout_s: for one whole call;
    connect_timeout_s: for its connection. max_connections: calls at once; further ones queue. Raises
    ``ConfigurationError`` where an option is wrong.
    """

    def __init__(
        self, url: str, api_key: str | None, timeout_s: float, connect_timeout_s: float, max_connections: int
    ) -> None:
        _check_options(url, timeout_s, connect_timeout_s, max_connections)
        self._url = url
        self._api_key = api_key.strip() if api_key else None
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer one call. Where the upstream reports no usage the counts are estimates from the size
        of what was sent and received, and ``usage_details`` says so."""
        body = self._body(call, listener.wants_deltas)
        exchange = Exchange(call, len(body), self._api_key)
        content = body if len(body) < _LARGE_BYTES else io.BytesIO(body)
        journey = _Journey()
        _journey.set(journey)
        try:
            async with self._pool().post(self._url, data=content, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    words = await _beginning(response)
                    raise exchange.refused(response.status, words, response.headers.get("retry-after"))
                return await self._read(exchange, response, listener)
        except aiohttp.ConnectionTimeoutError as error:
            raise exchange.broken_off(billed=False) from error
        except TimeoutError as error:
            raise BackendTimeout(
                f"The upstream of {call.model!r} did not answer within {self._timeout_s:g} s.",
                billed=journey.sent,
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise exchange.broken_off(billed=journey.arrived) from error

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @abstractmethod
    def _body(self, call: Call, stream: bool) -> bytes:
        """What is posted for a call; stream: the listener wants the pieces."""

    @abstractmethod
    async def _read(
        self, exchange: Exchange, response: aiohttp.ClientResponse, listener: Listener
    ) -> Completion:
        """The completion in a reply of status 2xx."""

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
            connector=_Connector(limit=self._max_connections),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=self._connect_timeout_s),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


@dataclass(slots=True)
class _Journey:
    """How far a request came. sent: it had a connection, on which it left at once. reused: one that was idle
    before, which the upstream may have closed meanwhile."""

    sent: bool = False
    reused: bool = False

    @property
    def arrived(self) -> bool:
        """Whether the upstream had it, for all that is known: then it may have been answered, and billed."""
        return self.sent and not self.reused


_journey: ContextVar[_Journey] = ContextVar("journey")
"""Of the request that the task makes."""


class _Connector(aiohttp.TCPConnector):
    """Tells a request's journey when it has a connection. (aiohttp's own tracing costs each request more than
    all of the accounting.)"""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = await super().connect(*arguments, **options)
        journey, protocol = _journey.get(), connection.protocol
        journey.sent, journey.reused = True, hasattr(protocol, "carried_before")
        protocol.carried_before = True  # type: ignore[union-attr]  # aiohttp's object, which takes attributes
        return connection


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readexactly(ERROR_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except aiohttp.ClientError:
        return b""


def _check_options(url: str, *positive: float) -> None:
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"A backend's base_url must begin with http:// or https://, not {url!r}.")
    if min(positive) <= 0:
        raise ConfigurationError("A backend's time-outs and max_connections must be above 0.")
