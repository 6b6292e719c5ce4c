"""What goes wrong around the service: bad input, callers who leave, upstreams that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from service_process import Live, serving, tables
from upstream import (
    USAGE,
    Scene,
    Upstream,
    chunk,
    completion,
    half,
    hang,
    refusal,
    reply,
    running_upstream,
    slam,
    stream,
    words,
)

RULES = [{"match": "slow", "reply": " ".join(["word"] * 20), "latency_s": 1.0}]
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serving(tables(tmp_path, RULES)) as live:
        yield live


@asynccontextmanager
async def behind(upstream: Upstream, folder: Path, attempts: int = 1) -> AsyncIterator[Live]:
    """The service before a real upstream, over the backend that reaches real ones."""
    backend = {"type": "openai_compatible", "base_url": upstream.base_url, "timeout_s": 0.4}
    retries = {"attempts": attempts, "first_wait_s": 0.01}
    async with serving(tables(folder, backends={"fake": backend}, resilience=retries)) as live:
        yield live


DEEP = (
    b'{"model": "auto", "messages": [{"role": "user", "content": "hi"}], "x": '
    + b"[" * 120
    + b"]" * 120
    + b"}"
)
BROKEN = [DEEP, b"", b"{", b"null", b"[]", b'"auto"', b"\xff\xfe\x00", b'{"model": NaN}', b"[" * 5000, b"{}"]


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:12]))
@pytest.mark.parametrize("path", ["chat/completions", "plan", "outcomes"])
async def test_malformed_json_is_the_callers_mistake(live: Live, path: str, body: bytes) -> None:
    """What is no JSON, or no object, is a 400 in OpenAI's shape, and leaves nothing behind."""
    reply = await live.post(path, body)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert list(live.service.store.traces()) == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": "hi"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "king", "content": "hi"}]}, "messages[0].role"),
    ({"n": 0}, "n"),
    ({"n": 17}, "n"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"stream": "yes"}, "stream"),
    ({"tools": {}}, "tools"),
    ({"effortwise": []}, "effortwise"),
    ({"effortwise": {"max_cost_usd": -0.01}}, "effortwise.max_cost_usd"),
    ({"effortwise": {"max_cost_usd": 1e300}}, "effortwise.max_cost_usd"),
    ({"effortwise": {"deadline_s": 0}}, "effortwise.deadline_s"),
    ({"effortwise": {"deadline_s": -5}}, "effortwise.deadline_s"),
    ({"effortwise": {"min_quality": 2}}, "effortwise.min_quality"),
    ({"effortwise": {"stakes": "high"}}, "effortwise.stakes"),
    ({"effortwise": {"verifier": {"type": "oracle"}}}, "effortwise.verifier"),
    ({"effortwise": {"max_cost": 1}}, "effortwise.max_cost"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG, ids=lambda value: str(value))
async def test_wrong_types_and_values_are_named(live: Live, fields: dict[str, Any], param: str) -> None:
    """A 400 names the field, for a completion and for a plan, and nothing is called or recorded."""
    for path in ("chat/completions", "plan"):
        reply = await live.post(path, {"model": "auto", "messages": MESSAGES, **fields})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert live.service.backends["fake"].billed == []
    assert list(live.service.store.traces()) == []


@pytest.mark.parametrize("path", ["chat/completions", "plan", "outcomes"])
async def test_a_body_beyond_the_limit_is_refused_unread(tmp_path: Path, path: str) -> None:
    """However it is sent, a body longer than the limit is a 400 that names limit and key."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    async with serving(tables(tmp_path, server={"max_body_bytes": 5000})) as live:
        for content in (b" " * 5001, pieces()):
            reply = await live.http.post(f"{live.url}/{path}", content=content)
            assert reply.status_code == 400
            assert "5000 bytes (server.max_body_bytes)" in reply.json()["error"]["message"]
        assert (await live.chat("hi")).status_code == 200


async def test_the_client_hears_that_a_prompt_is_too_long_to_send(live: Live) -> None:
    """Five megabytes through the official client end as its BadRequestError, not as a broken pipe."""
    messages = [{"role": "user", "content": "x" * 5_000_000}]
    with pytest.raises(openai.BadRequestError, match="max_body_bytes"):
        await live.client().chat.completions.create(model="small", messages=messages)


async def test_a_prompt_beyond_every_context_has_no_arm(live: Live) -> None:
    """Where no model can read it, the error says so; what fits is served however long."""
    reply = await live.chat("word " * 50_000, model="auto")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "infeasible")
    assert "exceeds its context" in reply.text
    assert (await live.chat("word " * 5_000, model="auto")).status_code == 200


async def test_an_impossible_deadline_is_told_at_once(live: Live) -> None:
    """A deadline that is over before the first call is a timeout that cost nothing but is on record."""
    reply = await live.chat("slow", effortwise={"deadline_s": 1e-9})
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "deadline_exceeded")
    [trace] = await live.traces(1)
    assert (trace.status, trace.latency_s < 0.5) == ("failed", True)
    assert live.spent_and_reserved() == (trace.usage.cost_nano, 0)


@pytest.mark.parametrize("trace_id", ["nothing", "01a20a33-f6af-7788-b469-1a4cbcb18c30", "%00", "é"])
async def test_an_unknown_trace_is_not_found(live: Live, trace_id: str) -> None:
    """Neither read nor judged."""
    found = await live.http.get(f"{live.url}/traces/{trace_id}")
    assert (found.status_code, found.json()["error"]["code"]) == (404, "trace_not_found")
    judged = await live.post("outcomes", {"trace_id": trace_id, "reward": 1})
    assert (judged.status_code, judged.json()["error"]["code"]) == (404, "trace_not_found")


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(live: Live, **fields: Any) -> Connection:
    """A bare connection that has sent one request."""
    host, port = live.url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"model": "small", "messages": MESSAGES, **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def hang_up(connection: Connection) -> None:
    connection[1].transport.abort()
    await asyncio.sleep(0)


async def assert_cancelled(live: Live, at_least_nano: int = 1) -> None:
    [trace] = await live.traces(1)
    [call] = trace.calls
    assert (trace.status, call.status) == ("cancelled", "cancelled")
    assert trace.usage.cost_nano == call.usage.cost_nano >= at_least_nano
    assert live.spent_and_reserved() == (trace.usage.cost_nano, 0)


async def test_hanging_up_while_waiting_cancels_the_call_upstream(tmp_path: Path) -> None:
    """The upstream is let go, the trace says cancelled, and the worst case is charged as an estimate."""
    async with running_upstream() as upstream, behind(upstream, tmp_path) as live:
        upstream.play(hang)
        connection = await connect(live)
        while not upstream.visits:
            await asyncio.sleep(0.005)
        await hang_up(connection)
        await asyncio.wait_for(upstream.visits[0].abandoned.wait(), 0.3)
        await assert_cancelled(live)
        assert next(iter(live.service.store.traces())).calls[0].estimated


async def test_hanging_up_in_a_stream_cancels_the_call_upstream(tmp_path: Path) -> None:
    """The same, after the first tokens have come."""
    async with running_upstream() as upstream, behind(upstream, tmp_path) as live:
        upstream.play(stream([chunk({"content": "a "})] * 100, pause_s=0.01))
        connection = await connect(live, stream=True)
        assert b'"a "' in await connection[0].readuntil(b'"a "')
        await hang_up(connection)
        await asyncio.wait_for(upstream.visits[0].abandoned.wait(), 0.3)
        await assert_cancelled(live)


async def test_hanging_up_in_a_stream_pays_for_what_was_generated(live: Live) -> None:
    """An upstream that tells its running totals is paid for these, not for the worst case."""
    connection = await connect(live, stream=True, messages=[{"role": "user", "content": "slow"}])
    await connection[0].readuntil(b'"word "')
    await hang_up(connection)
    await assert_cancelled(live)
    [bill] = live.service.backends["fake"].billed
    [trace] = live.service.store.traces()
    assert trace.usage.completion_tokens == bill.completion_tokens < 20


async def test_hanging_up_cancels_every_call_in_flight(live: Live) -> None:
    """Parallel draws of one strategy end together."""
    asked = [{"role": "user", "content": "slow"}]
    connection = await connect(live, model="small/self_consistency:direct@4", messages=asked)
    await live.under_way()
    await asyncio.sleep(0.1)
    await hang_up(connection)
    [trace] = await live.traces(1, within_s=0.5)
    assert len(trace.calls) > 1
    assert {call.status for call in trace.calls} == {"cancelled"}
    assert live.spent_and_reserved() == (trace.usage.cost_nano, 0)


@pytest.mark.parametrize(
    "asked",
    [{}, {"stream": True}, {"n": 3, "model": "small/self_consistency:direct@4"}],
    ids=["direct", "streamed", "nested"],
)
async def test_a_service_told_to_stop_records_whom_it_cuts_off(tmp_path: Path, asked: dict[str, Any]) -> None:
    """Requests that outlast the grace are cancelled and settled before the store is closed."""
    values = tables(tmp_path, [{"match": "hi", "reply": "a b c", "latency_s": 30.0}])
    async with serving(values, grace_s=1) as live:
        connection = await connect(live, **asked)
        await live.under_way()
        await asyncio.sleep(0.1)
    connection[1].close()
    async with serving(values) as live:
        assert live.service.recovered == 0
        [trace] = await live.traces(1)
        assert (trace.status, {call.status for call in trace.calls}) == ("cancelled", {"cancelled"})
        assert live.spent_and_reserved() == (trace.usage.cost_nano, 0)


UPSTREAM_FAULTS: list[tuple[Scene, int, str]] = [
    (hang, 504, "upstream_timeout"),
    (refusal(429, **{"retry-after": "30"}), 429, "rate_limit_exceeded"),
    (refusal(500), 502, "upstream_error"),
    (refusal(401), 502, "upstream_error"),
    (refusal(400), 400, "upstream_refused"),
    (reply(b'{"choices": ['), 502, "upstream_malformed"),
    (reply({"choices": []}), 502, "upstream_malformed"),
    (half, 502, "upstream_unreachable"),
    (slam, 502, "upstream_unreachable"),
]


@pytest.mark.parametrize(("scene", "status", "code"), UPSTREAM_FAULTS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_upstream_that_fails(
    tmp_path: Path, scene: Scene, status: int, code: str, streamed: bool
) -> None:
    """Its failure is a clear error, the trace has it, and the reservation is settled."""
    async with running_upstream() as upstream, behind(upstream, tmp_path) as live:
        upstream.play(scene)
        reply = await live.chat("hi", stream=streamed)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        assert reply.headers.get("retry-after") == ("30" if status == 429 else None)
        trace = await live.trace(reply.headers["x-effortwise-trace-id"])
        assert (trace["status"], trace["calls"][0]["status"]) == ("failed", "error")
        assert live.spent_and_reserved()[1] == 0


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 2**63, "completion_tokens": 1},
        {**USAGE, "details": json.loads("[" * 200 + "]" * 200)},
    ],
    ids=["huge", "deep"],
)
async def test_an_upstream_whose_usage_cannot_be_written(tmp_path: Path, usage: dict[str, Any]) -> None:
    """The caller has his answer; the trace stands, and the account pays what it shows."""
    async with running_upstream() as upstream, behind(upstream, tmp_path) as live:
        upstream.play(reply(completion("hello", usage)))
        answer = await live.chat("hi")
        assert answer.status_code == 200
        trace = await live.trace(answer.headers["x-effortwise-trace-id"])
        assert trace["usage"]["cost_usd"] > 0
        assert live.spent_and_reserved()[1] == 0


async def test_the_largest_seed_is_sent_for_every_choice(tmp_path: Path) -> None:
    """Further draws have seeds of their own, all of which fit into 64 bits."""
    async with running_upstream() as upstream, behind(upstream, tmp_path) as live:
        answer = await live.chat("hi", seed=2**64 - 1, n=3)
        assert answer.status_code == 200
        seeds = {visit.body["seed"] for visit in upstream.visits}
        assert len(seeds) == 3
        assert max(seeds) < 2**64


@pytest.mark.parametrize(
    ("scene", "code"),
    [
        (stream(words("one two")[:-3], cut=True), "upstream_unreachable"),
        (stream([*words("one two")[:-3], b"data: {broken\n\n"]), "upstream_malformed"),
        (stream(words("one two")[:-3]), "upstream_unreachable"),
    ],
)
async def test_half_a_stream_from_upstream(tmp_path: Path, scene: Scene, code: str) -> None:
    """The tokens that came are passed on, then the error; a caller who does not stream gets a 502."""
    async with running_upstream() as upstream, behind(upstream, tmp_path) as live:
        upstream.play(scene)
        events = [line for line in (await live.chat("hi", stream=True)).text.splitlines() if line]
        assert "one " in events[1]
        assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == code
        [trace] = await live.traces(1)
        assert trace.status == "failed"
        assert trace.usage.cost_nano > 0  # it may be billed
        assert live.spent_and_reserved() == (trace.usage.cost_nano, 0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_failure_that_passes_is_not_seen_but_counted(tmp_path: Path, streamed: bool) -> None:
    """A retry answers the caller; every attempt stands on the trace."""
    fine = stream(words("fine")) if streamed else reply(completion("fine"))
    async with running_upstream() as upstream, behind(upstream, tmp_path, attempts=3) as live:
        upstream.play(refusal(503), slam, fine)
        reply_ = await live.chat("hi", stream=streamed)
        assert reply_.status_code == 200
        assert "fine" in reply_.text
        trace = await live.trace(reply_.headers["x-effortwise-trace-id"])
        assert [call["status"] for call in trace["calls"]] == ["error", "error", "ok"]
        assert trace["usage"]["calls"] == 3
