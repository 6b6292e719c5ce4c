"""The bar: a bare FastAPI + aiohttp pass-through, with nothing decided, counted or recorded."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse


def make_app(upstream: str) -> FastAPI:
    """The application in front of an upstream's URL."""
    sessions: list[aiohttp.ClientSession] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as session:
            sessions.append(session)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.body()
        if b'"stream":true' in body:
            return StreamingResponse(_relayed(sessions[0], upstream, body), media_type="text/event-stream")
        async with sessions[0].post(upstream, data=body) as reply:
            return Response(await reply.read(), reply.status, media_type="application/json")

    return app


async def _relayed(session: aiohttp.ClientSession, upstream: str, body: bytes) -> AsyncIterator[bytes]:
    async with session.post(upstream, data=body) as reply:
        async for piece in reply.content.iter_any():
            yield piece


if __name__ == "__main__":
    target = f"http://127.0.0.1:{sys.argv[2]}/v1/chat/completions"
    uvicorn.run(
        make_app(target), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False
    )
