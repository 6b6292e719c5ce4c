"""``POST /v1/chat/completions``: the hot path, a plain ASGI application.

It reads the body, hands the query to the execution, and writes the reply. A caller who hangs up
cancels every call in flight.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from router.call import Delta
from router.errors import InvalidQuery
from router.plan import Plan
from router.query import Query
from serving.problems import Problem, problem_of
from serving.reply_wire import ChunkStream, chat_completion, error_frame
from serving.request_wire import ChatRequest, parse_chat
from serving.tracing import Answered

if TYPE_CHECKING:
    from serving.service import Service

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

_JSON: Headers = [(b"content-type", b"application/json")]
_EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_WATCH_AFTER_S = 0.1
"""A reply faster than this is sent without watching for the caller to hang up."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ChatEndpoint:
    """The application of one service."""

    service: Service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        try:
            request = await self._request(scope, receive)
        except Exception as error:
            await _send_problem(send, _problem(error))
            return
        work = self._stream(request, scope, send) if request.stream else self._reply(request, scope, send)
        await _unless_gone(work, receive)

    async def _request(self, scope: Scope, receive: Receive) -> ChatRequest:
        accepted = self.service.configuration.server
        headers = dict(scope["headers"])
        allowance = self.service.accounts.of_header(headers.get(b"authorization"))
        scope["effortwise.allowance"] = allowance
        body = await read_body(receive, accepted.max_body_bytes)
        return parse_chat(
            body,
            account=allowance.account,
            max_choices=accepted.max_choices,
            tools_under=accepted.caller_tools,
        )

    async def _reply(self, request: ChatRequest, scope: Scope, send: Send) -> None:
        query = request.query
        try:
            answered = await self.service.execution.answer(query, scope["effortwise.allowance"])
        except Exception as error:
            await _send_problem(send, _problem(error), _trace_header(query))
            return
        content = orjson.dumps(
            chat_completion(
                query,
                answered.plan.arm.id,
                [answer.candidate.completion for answer in answered.answers],
                answered.usage,
                int(query.received_at),
                _extra(query, answered),
            )
        )
        cost = (b"x-effortwise-cost-usd", f"{answered.usage.cost_usd:.9f}".encode())
        arm = _arm_header(answered.plan.arm.id)
        await _send(send, 200, [*_JSON, *_trace_header(query), arm, cost], content)

    async def _stream(self, request: ChatRequest, scope: Scope, send: Send) -> None:
        listener = _Frames()
        allowance = scope["effortwise.allowance"]
        execution = self.service.execution
        follower = listener.tell if request.progress else None
        work = asyncio.ensure_future(
            execution.answer(request.query, allowance, listener, listener.plan_made, follower)
        )
        work.add_done_callback(lambda _: listener.end())
        try:
            await _StreamedReply(request, send, listener, work).send_all()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


class _Frames:
    """A listener that queues what it hears, and the events that it is told."""

    wants_deltas = True

    def __init__(self) -> None:
        self.arm = ""
        self._queue: asyncio.Queue[Delta | dict[str, Any] | None] = asyncio.Queue()

    def plan_made(self, plan: Plan) -> None:
        self.arm = plan.arm.id

    def hear(self, delta: Delta) -> None:
        self._queue.put_nowait(delta)

    def tell(self, event: dict[str, Any]) -> None:
        self._queue.put_nowait(event)

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def next_batch(self) -> list[Delta | dict[str, Any] | None]:
        """All that came since the last time, at least one; ``None`` is the end."""
        batch = [await self._queue.get()]
        while not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch


@dataclass(slots=True)
class _StreamedReply:
    """Sends one reply as server-sent events: tokens as they come, or the finished answer in pieces."""

    request: ChatRequest
    send: Send
    listener: _Frames
    work: asyncio.Future[Answered]
    started: bool = False
    _chunks: ChunkStream | None = None

    @property
    def chunks(self) -> ChunkStream:
        """Made with the first frame, when the plan is known."""
        if self._chunks is None:
            query = self.request.query
            self._chunks = ChunkStream(
                query, self.listener.arm, int(query.received_at), self.request.include_usage
            )
        return self._chunks

    async def send_all(self) -> None:
        heard = await self._send_heard()
        try:
            answered = self.work.result()
        except Exception as error:
            await self._send_error(_problem(error))
            return
        await self._send_rest(answered, heard)

    async def _send_heard(self) -> bool:
        """Send tokens and events until the work is done; whether there were tokens."""
        heard = False
        while True:
            batch = await self.listener.next_batch()
            pieces = [piece for piece in batch if piece is not None]
            if pieces:
                heard = heard or any(isinstance(piece, Delta) for piece in pieces)
                await self._write(b"".join(map(self._frame, pieces)))
            if len(pieces) < len(batch):
                return heard

    def _frame(self, piece: Delta | dict[str, Any]) -> bytes:
        return self.chunks.delta(piece) if isinstance(piece, Delta) else self.chunks.progress(piece)

    async def _send_rest(self, answered: Answered, heard: bool) -> None:
        completions = [answer.candidate.completion for answer in answered.answers]
        if answered.status == "partial":
            self.chunks.mark = {"status": "partial"}
        if heard:
            frames = [self.chunks.finish(completions[0].finish_reason)]
        else:
            frames = [frame for i, whole in enumerate(completions) for frame in self.chunks.whole(whole, i)]
        extra = _extra(self.request.query, answered)
        frames.append(self.chunks.end(answered.usage, completions, extra))
        await self._write(b"".join(frames), last=True)

    async def _send_error(self, problem: Problem) -> None:
        if not self.started:
            await _send_problem(self.send, problem, _trace_header(self.request.query))
            return
        await self._write(error_frame(problem), last=True)

    async def _write(self, frames: bytes, *, last: bool = False) -> None:
        if not self.started:
            self.started = True
            headers = [*_EVENTS, *_trace_header(self.request.query), _arm_header(self.listener.arm)]
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": frames, "more_body": not last})


def _extra(query: Query, answered: Answered) -> dict[str, Any]:
    return {"trace_id": query.id, "arm": answered.plan.arm.id, "status": answered.status}


def _trace_header(query: Query) -> Headers:
    return [(b"x-effortwise-trace-id", query.id.encode())]


def _arm_header(arm_id: str) -> tuple[bytes, bytes]:
    return b"x-effortwise-arm", arm_id.encode()


def _problem(error: Exception) -> Problem:
    problem = problem_of(error)
    if problem.status >= 500:
        _log.warning("%s: %s", type(error).__name__, error, exc_info=problem.status == 500)
    return problem


async def read_body(receive: Receive, limit: int) -> bytes:
    """The request's body; ``InvalidQuery`` where it is longer than ``limit`` bytes."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidQuery("The request ended before its body did.")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise InvalidQuery(f"The request's body is longer than {limit} bytes (server.max_body_bytes).")
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _unless_gone(work: Awaitable[None], receive: Receive) -> None:
    """Do the work; cancel it when the caller hangs up, or the server ends.

    Watching begins late and from a timer, so that a quick reply costs no task of its own.
    """
    watch = _Watch(receive, asyncio.current_task())
    timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, watch.start)
    try:
        await work
    except asyncio.CancelledError:
        if not watch.gone:
            raise
    finally:
        timer.cancel()
        watch.stop()


@dataclass(slots=True)
class _Watch:
    """Cancels a task when its caller hangs up."""

    receive: Receive
    task: asyncio.Task[None] | None
    gone: bool = False
    _watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        await _disconnected(self.receive)
        self.gone = True
        if self.task is not None:
            self.task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_problem(send: Send, problem: Problem, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    own = [(key.encode(), value.encode()) for key, value in problem.headers.items()]
    await _send(send, problem.status, [*_JSON, *headers, *own], problem.content)


async def _send(send: Send, status: int, headers: Headers, content: bytes) -> None:
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
