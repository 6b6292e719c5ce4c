"""The service over a store that is locked or full: clear errors, nothing lost, recovery by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from service_process import (
    Live,
    environment,
    free_port,
    serve_command,
    server_process,
    serving,
    tables,
    write_toml,
)

RULES = [{"match": "slow", "reply": "done", "latency_s": 0.5}]

Fault = Callable[[Live], AbstractContextManager[None]]


@contextmanager
def locked(live: Live) -> Iterator[None]:
    """Another process holds the write lock."""
    other = sqlite3.connect(live.service.configuration.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def full(live: Live) -> Iterator[None]:
    """The file may not grow by a page."""
    connection = live.service.store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        connection.execute("PRAGMA max_page_count = 1073741823")


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serving(tables(tmp_path, RULES)) as live:
        live.service.store._connection.execute("PRAGMA busy_timeout = 100")  # 2 s would be 2 s a try
        yield live


async def until_ready(live: Live, status: int) -> dict[str, Any]:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found, body = await live.ready()
        if found == status:
            return body
        await asyncio.sleep(0.02)
    raise AssertionError(f"/readyz did not become {status}: {body}")


async def filled(live: Live) -> None:
    """Use up what the file has free, so that the next write needs a page."""
    big = "x" * 20_000
    await asyncio.gather(*(live.chat(big) for _ in range(3)))
    await live.traces(3)


@pytest.mark.parametrize(("fault", "why"), [(locked, "is locked"), (full, "is full")])
async def test_a_store_that_cannot_write(live: Live, fault: Fault, why: str) -> None:
    """New requests get 503 with Retry-After and cost nothing, /readyz is 503, what was under way is
    answered and kept, and all is well again by itself."""
    await filled(live)
    under_way = [asyncio.ensure_future(live.chat("slow " + "x" * 20_000)) for _ in range(3)]
    await live.under_way(3)
    with fault(live):
        answers = await asyncio.gather(*under_way)
        assert [answer.status_code for answer in answers] == [200] * 3
        refused = await live.chat("new " + "x" * 20_000)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert refused.headers["retry-after"] == "1"
        with pytest.raises(openai.InternalServerError):
            await live.client().chat.completions.create(
                model="small", messages=[{"role": "user", "content": "new"}], stream=True
            )
        body = await until_ready(live, 503)
        assert body["status"] == "not ready"
        assert why in body["store"]
        assert str(live.service.configuration.store.path.parent) not in body["store"]
        asked = [bill.call.messages[0]["content"] for bill in live.service.backends["fake"].billed]
        assert not any(words.startswith("new") for words in asked)
    assert (await until_ready(live, 200))["store"] == "ok"
    traces = {trace.id: trace for trace in await live.traces(6)}
    assert {answer.headers["x-effortwise-trace-id"] for answer in answers} <= set(traces)
    assert live.spent_and_reserved() == (sum(trace.usage.cost_nano for trace in traces.values()), 0)
    assert (await live.chat("hi")).status_code == 200


async def test_a_lock_that_goes_away_is_noticed_without_traffic(live: Live) -> None:
    """Readiness comes back although nobody dares to send anything."""
    with locked(live):
        assert (await live.chat("hi")).status_code == 503
        assert (await live.ready())[0] == 503
        await asyncio.sleep(0.5)
        assert (await live.ready())[0] == 503
    await until_ready(live, 200)


async def test_a_short_lock_is_only_a_short_wait(tmp_path: Path) -> None:
    """A backup or a query that holds the store for a moment refuses nobody."""
    async with serving(tables(tmp_path)) as live:
        with locked(live):
            waiting = asyncio.ensure_future(live.chat("hi"))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        assert (await waiting).status_code == 200


async def test_a_deadline_holds_while_the_store_is_locked(tmp_path: Path) -> None:
    """Waiting for the reservation is waiting, too: the caller hears in time, and nothing stays held."""
    async with serving(tables(tmp_path)) as live:
        with locked(live):
            reply = await live.chat("hi", effortwise={"deadline_s": 0.2})
            assert (reply.status_code, reply.json()["error"]["code"]) == (504, "deadline_exceeded")
            assert reply.elapsed.total_seconds() < 1.0
        [trace] = await live.traces(1)
        assert (trace.status, trace.calls) == ("failed", ())
        assert live.spent_and_reserved() == (0, 0)


async def test_who_leaves_while_the_store_is_locked_leaves_no_reservation(tmp_path: Path) -> None:
    """The reservation may be committed after its caller went; it is settled all the same."""
    async with serving(tables(tmp_path)) as live:
        with locked(live):
            leaving = asyncio.ensure_future(live.chat("hi"))
            await asyncio.sleep(0.3)
            leaving.cancel()
            await asyncio.sleep(0.1)
        [trace] = await live.traces(1)
        assert (trace.status, trace.calls) == ("cancelled", ())
        assert live.spent_and_reserved() == (0, 0)
        assert live.service.store._rows("SELECT COUNT(*) FROM reservations", ())[0][0] == 0


async def test_an_outcome_that_cannot_be_written_yet_is_not_confirmed(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender is told 503 and may send it again; it is there once the store is well."""
    monkeypatch.setattr("serving.app._COMMIT_WITHIN_S", 0.3)
    trace_id = (await live.chat("hi")).headers["x-effortwise-trace-id"]
    await live.trace(trace_id)
    outcome = {"trace_id": trace_id, "reward": 1}
    with locked(live):
        reply = await live.post("outcomes", outcome)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert (await live.post("outcomes", outcome)).status_code == 200
    assert len((await live.trace(trace_id))["outcomes"]) == 1


async def test_a_trace_that_cannot_be_written_yet_is_not_denied(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it meanwhile is a 503, not a 404 that says it never was."""
    monkeypatch.setattr("serving.app._COMMIT_WITHIN_S", 0.3)
    answering = asyncio.ensure_future(live.chat("slow"))
    await live.under_way()
    with locked(live):
        trace_id = (await answering).headers["x-effortwise-trace-id"]
        reply = await live.http.get(f"{live.url}/traces/{trace_id}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "store_unavailable")
    assert (await live.trace(trace_id))["status"] == "complete"


def test_two_servers_on_one_store_are_one_too_many(tmp_path: Path) -> None:
    """The second ends with one line that says what to do, and the first serves on."""
    config = write_toml(tmp_path / "config.toml", tables(tmp_path))
    with server_process(tmp_path, config) as server:
        second = subprocess.run(
            serve_command(config, free_port()),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert (second.returncode, second.stdout) == (2, "")
        assert second.stderr.startswith("effortwise: Another server uses the store")
        assert second.stderr.count("\n") == 1
        assert server.get("/readyz").status_code == 200
        assert server.stop() == 0
    with server_process(tmp_path, config) as server:
        assert server.get("/readyz").json()["unfinished_at_start"] == 0


def test_what_is_no_store_is_told_in_one_line(tmp_path: Path) -> None:
    """A file of something else ends the start with its name."""
    config = write_toml(tmp_path / "config.toml", tables(tmp_path))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "effortwise.db").write_bytes(b"no database " * 1000)
    done = subprocess.run(
        serve_command(config, free_port()), cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "effortwise.db cannot be opened" in done.stderr
    assert done.stderr.count("\n") == 1
