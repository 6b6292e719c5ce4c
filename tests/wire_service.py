"""The smallest service around the wire format: parses, asks a backend n times, replies. No decision."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import reduce

import orjson
from aiohttp import web

from router.backend import DEAF, Backend
from router.call import Call, Completion, Delta
from router.errors import EffortwiseError
from router.query import Query
from router.tariff import Tariff
from router.usage import NOTHING, Usage
from serving.problems import Problem, problem_of
from serving.reply_wire import ChunkStream, chat_completion, error_frame
from serving.request_wire import ChatRequest, parse_chat

TARIFF = Tariff(100.0, 200.0)
MAX_CHOICES = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply."""

    status: int
    headers: dict[str, str]
    content: bytes

    @classmethod
    def of(cls, problem: Problem) -> Reply:
        return cls(problem.status, dict(problem.headers), problem.content)


async def respond(body: bytes, backend: Backend) -> Reply:
    """What a service with one fixed model answers to a request."""
    try:
        request = parse_chat(body, account="default", max_choices=MAX_CHOICES)
        if request.stream:
            return Reply(200, {"content-type": "text/event-stream"}, await _streamed(request, backend))
        completions = [await backend.complete(call) for call in _calls(request.query)]
    except EffortwiseError as error:
        return Reply.of(problem_of(error))
    reply = chat_completion(
        request.query, request.query.target, completions, _usage(completions), 0, {"arm": "a"}
    )
    return Reply(200, {"content-type": "application/json"}, orjson.dumps(reply))


async def _streamed(request: ChatRequest, backend: Backend) -> bytes:
    """One choice is streamed token by token, several in pieces of the finished answers."""
    chunks = ChunkStream(request.query, request.query.target, 0, request.include_usage)
    frames: list[bytes] = []
    calls = _calls(request.query)
    listener = _Frames(chunks, frames) if len(calls) == 1 else DEAF
    completions: list[Completion] = []
    try:
        for i, call in enumerate(calls):
            completions.append(await backend.complete(call, listener))
            frames += [] if listener is not DEAF else chunks.whole(completions[i], i)
    except EffortwiseError as error:
        if not frames:
            raise
        return b"".join([*frames, error_frame(problem_of(error))])
    frames.append(chunks.finish(completions[0].finish_reason))
    return b"".join([*frames, chunks.end(_usage(completions), completions, {"arm": "a"})])


@dataclass(slots=True)
class _Frames:
    chunks: ChunkStream
    frames: list[bytes]
    wants_deltas: bool = True

    def hear(self, delta: Delta) -> None:
        self.frames.append(self.chunks.delta(delta))


def _calls(query: Query) -> list[Call]:
    cap = query.max_completion_tokens or 100
    return [Call(query.target, query.messages, cap, query.parameters) for _ in range(query.n)]


def _usage(completions: list[Completion]) -> Usage:
    return reduce(Usage.__add__, map(_billed, completions), NOTHING)


def _billed(completion: Completion) -> Usage:
    counts = completion.prompt_tokens, completion.completion_tokens
    return Usage(1, *counts, TARIFF.cost_nano(*counts))


_MASKS = (
    (re.compile(rb"chatcmpl-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), b"chatcmpl-ID"),
    (re.compile(rb'"created":\d+'), b'"created":0'),
)


def masked(content: bytes) -> bytes:
    """A reply without what differs each time: ids and times."""
    for pattern, mask in _MASKS:
        content = pattern.sub(mask, content)
    return content


@asynccontextmanager
async def running_service(backend: Backend) -> AsyncIterator[str]:
    """The service on loopback; its base URL."""

    async def handle(request: web.Request) -> web.Response:
        reply = await respond(await request.read(), backend)
        return web.Response(status=reply.status, body=reply.content, headers=reply.headers)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()
