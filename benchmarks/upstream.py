"""A mock upstream on loopback: answers every chat completion with the same few tokens, at once."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import orjson
import uvicorn

Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

WORDS = ["Sixteen ", "short ", "tokens ", "that ", "answer ", "every ", "question ", "alike, "] * 2
USAGE = {"prompt_tokens": 64, "completion_tokens": len(WORDS), "total_tokens": 64 + len(WORDS)}
_HEAD = {"id": "chatcmpl-mock", "created": 0, "model": "mock"}


def _choice(**fields: Any) -> dict[str, Any]:
    return {"index": 0, "logprobs": None, **fields}


_WHOLE = orjson.dumps(
    {
        **_HEAD,
        "object": "chat.completion",
        "choices": [_choice(message={"role": "assistant", "content": "".join(WORDS)}, finish_reason="stop")],
        "usage": USAGE,
    }
)


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    body = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + orjson.dumps(body) + b"\n\n"


_EVENTS = [_event([_choice(delta={"role": "assistant", "content": ""}, finish_reason=None)])]
_EVENTS += [_event([_choice(delta={"content": word}, finish_reason=None)]) for word in WORDS]
_EVENTS += [_event([_choice(delta={}, finish_reason="stop")]), _event([], USAGE) + b"data: [DONE]\n\n"]


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if b'"stream":true' in body:
        await _send_stream(send)
    else:
        await _send(send, b"application/json", _WHOLE, [(b"content-length", str(len(_WHOLE)).encode())])


async def _send_stream(send: Send) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    for event in _EVENTS:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send(send: Send, kind: bytes, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind), *headers]})
    await send({"type": "http.response.body", "body": content})


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off"
    )
