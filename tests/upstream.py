"""A real OpenAI-compatible server on loopback that misbehaves as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

Scene = Callable[["Visit"], Awaitable[web.StreamResponse]]
"""Plays one reply."""

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass(slots=True)
class Visit:
    """One request as the upstream saw it."""

    request: web.Request
    body: dict[str, Any]
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Upstream:
    """Plays the scenes in order, the last one again and again. ``visits`` are the requests so far;
    ``ports`` are the callers' ports, so their number is that of the connections."""

    scenes: list[Scene] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    base_url: str = ""

    def play(self, *scenes: Scene) -> None:
        """What happens from now on."""
        self.scenes = list(scenes)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        visit = Visit(request, orjson.loads(await request.read()))
        self.visits.append(visit)
        self.ports.add(request.transport.get_extra_info("peername")[1])
        scene = self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0]
        try:
            return await scene(visit)
        except asyncio.CancelledError:
            visit.abandoned.set()
            raise


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    """An upstream that listens; a caller's hanging up cancels its scene."""
    upstream = Upstream([reply(completion("hello"))])
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/chat/completions", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield upstream
    finally:
        await runner.cleanup()


def completion(
    content: str | None, usage: Any = USAGE, finish_reason: str = "stop", **message: Any
) -> dict[str, Any]:
    """A chat completion's body."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "logprobs": None,
        "finish_reason": finish_reason,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, **fields: Any) -> bytes:
    """One event with a chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, **fields}
    return event({"object": "chat.completion.chunk", "choices": [choice], "usage": None})


def usage_chunk(usage: Any = USAGE) -> bytes:
    """The event with the usage."""
    return event({"object": "chat.completion.chunk", "choices": [], "usage": usage})


def event(data: Any) -> bytes:
    """One event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def words(text: str) -> list[bytes]:
    """The events of a streamed text, with usage."""
    pieces = [chunk({"content": word + " "}) for word in text.split()]
    return [chunk({"role": "assistant", "content": ""}), *pieces, chunk({}, "stop"), usage_chunk(), DONE]


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Scene:
    """A whole reply; bytes are sent as they are."""

    async def scene(visit: Visit) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(body=raw, status=status, content_type="application/json", headers=headers)

    return scene


def refusal(status: int, message: str = "no", **headers: str) -> Scene:
    """An error in OpenAI's shape."""
    return reply({"error": {"message": message, "type": "t", "code": None}}, status, headers)


def stream(pieces: Sequence[bytes], *, pause_s: float = 0.0, cut: bool = False) -> Scene:
    """Server-sent events, each piece written by itself; ``cut`` breaks the connection at the end."""

    async def scene(visit: Visit) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(visit.request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(pause_s)
        if cut:
            visit.request.transport.abort()
        return response

    return scene


async def hang(visit: Visit) -> web.StreamResponse:
    """Never answers."""
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits for so long")


async def slam(visit: Visit) -> web.StreamResponse:
    """Hangs up without a word."""
    visit.request.transport.abort()
    return web.Response()


async def half(visit: Visit) -> web.StreamResponse:
    """Announces a body and breaks off in its middle."""
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
    await response.prepare(visit.request)
    await response.write(b'{"choices": [')
    visit.request.transport.abort()
    return response
