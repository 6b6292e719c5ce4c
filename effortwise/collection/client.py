"""A client of a running service: it asks, and posts outcomes, over the official wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from router.errors import EffortwiseError, Unauthorized

TIMEOUT_S = 600.0
ATTEMPTS = 5
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 300.0
"""A service that asks to come back later than this has no compute for us now."""
_LATER = (429, 503)


class Unreachable(EffortwiseError):
    """The service does not answer, or not for a long time: going on now is of no use."""


class Refused(EffortwiseError):
    """The service refused one request; others may do. status: of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the text, and what it took. tokens: of all its calls; cost_usd; latency_s: wall time
    in seconds."""

    trace_id: str
    text: str
    arm: str
    tokens: int
    cost_usd: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class Client:
    """url: of the service, without ``/v1``. waiting: told why a request is sent again, and when."""

    url: str
    session: aiohttp.ClientSession
    waiting: Callable[[str], None] = lambda why: None

    async def reach(self) -> None:
        """``Unreachable`` where nobody answers, without waiting for it to come up."""
        try:
            async with self.session.get(f"{self.url}/healthz") as reply:
                await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._silent(f"{type(error).__name__}: {error}") from error

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """One chat completion. Raises ``Refused``, ``Unauthorized`` and ``Unreachable``."""
        began = time.perf_counter()
        answer, headers = await self._post("/v1/chat/completions", body)
        latency_s = time.perf_counter() - began
        try:
            usage, message = answer["usage"], answer["choices"][0]["message"]
            return Reply(
                headers["x-effortwise-trace-id"],
                message.get("content") or "",
                answer["effortwise"]["arm"],
                usage["total_tokens"],
                usage["cost"],
                latency_s,
            )
        except (KeyError, IndexError, TypeError) as error:
            raise Unreachable(f"{self.url} answers, but not as Effortwise does: no {error}.") from error

    async def report(self, trace_id: str, reward: float, source: str, outcome_id: str = "") -> None:
        """Post an outcome; it is on disk once this returns. A repeat changes nothing."""
        outcome = {"trace_id": trace_id, "reward": reward, "source": source, "outcome_id": outcome_id}
        await self._post("/v1/outcomes", outcome)

    async def _post(self, path: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The reply's JSON and headers; where the service asks to come back later, it is done so."""
        wait_s = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self.session.post(f"{self.url}{path}", json=body) as reply:
                    if reply.status == 200:
                        return await reply.json(), reply.headers
                    told, asked_s = await _words(reply), _retry_after(reply)
                    status = reply.status
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                told, asked_s, status = f"{type(error).__name__}: {error}", None, None
            self._give_up_on(status, told, asked_s, last=attempt == ATTEMPTS)
            await self._wait(wait_s if asked_s is None else asked_s, told)
            wait_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _give_up_on(self, status: int | None, told: str, asked_s: float | None, last: bool) -> None:
        """Raise where another attempt is of no use."""
        if status == 401:
            raise Unauthorized(f"{self.url} wants an API key: name its variable with --api-key-env. {told}")
        if status is not None and status not in _LATER:
            raise Refused(told, status)
        if status is None and last:
            raise self._silent(told)
        if last or (asked_s or 0) > MAX_WAIT_S:
            when = f" It asks to come back in {asked_s:.0f} s." if asked_s else ""
            raise Unreachable(f"{self.url} has no room for us now ({status}: {told}).{when}")

    def _silent(self, told: str) -> Unreachable:
        return Unreachable(
            f"No service answers at {self.url} ({told}). Start one with 'effortwise serve', or name another "
            "with --url."
        )

    async def _wait(self, seconds: float, told: str) -> None:
        self.waiting(f"{told.removesuffix('.')}; once more in {seconds:g} s")
        await asyncio.sleep(seconds)


@asynccontextmanager
async def connected(
    url: str, api_key: str | None = None, waiting: Callable[[str], None] = lambda why: None
) -> AsyncIterator[Client]:
    """A client of the service at a URL, with or without ``/v1`` at its end."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        yield Client(url.rstrip("/").removesuffix("/v1"), session, waiting)


async def _words(reply: aiohttp.ClientResponse) -> str:
    """What an error reply says."""
    try:
        return str((await reply.json())["error"]["message"])
    except (aiohttp.ContentTypeError, ValueError, KeyError, TypeError):
        return f"{reply.status} {reply.reason}"


def _retry_after(reply: aiohttp.ClientResponse) -> float | None:
    """Seconds; ``None`` where it says none, or a date."""
    try:
        return max(0.0, float(reply.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
