"""SIGKILL under load: no acknowledged trace is lost, every reservation is accounted for."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_process import ServerProcess, server_process, tables, write_toml

CLIENTS = 16
LOAD_S = 2.0
RULES = [
    {"match": "slow", "reply": "late", "latency_s": 30.0},
    {"match": "", "reply": "a few words", "latency_s": 0.02},
]


@dataclass(slots=True)
class Seen:
    """What the callers were told before the end. traces: by id, as acknowledged; judged: ids."""

    traces: dict[str, dict[str, Any]] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)


async def load(url: str, number: int, seen: Seen) -> None:
    """Ask, read the trace, judge it, and again, until the server is gone."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        try:
            while True:
                await turn(http, number, seen)
        except httpx.TransportError:
            return


async def turn(http: httpx.AsyncClient, number: int, seen: Seen) -> None:
    messages = [{"role": "user", "content": f"question of {number}"}]
    body = {"model": "auto", "messages": messages, "stream": number % 4 == 0}
    reply = await http.post("/chat/completions", json=body)
    seen.statuses.add(reply.status_code)
    trace_id = reply.headers["x-effortwise-trace-id"]
    found = await http.get(f"/traces/{trace_id}")
    seen.statuses.add(found.status_code)
    seen.traces[trace_id] = found.json()
    if number % 2:
        judged = await http.post("/outcomes", json={"trace_id": trace_id, "reward": 1})
        seen.statuses.add(judged.status_code)
        seen.judged.add(trace_id)


async def hang(url: str) -> None:
    """A request that is under way when the server dies."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        body = {"model": "small", "messages": [{"role": "user", "content": "slow"}]}
        with pytest.raises(httpx.TransportError):
            await http.post("/chat/completions", json=body)


async def load_until_killed(server: ServerProcess) -> Seen:
    seen = Seen()
    clients = [asyncio.ensure_future(load(server.url, number, seen)) for number in range(CLIENTS)]
    hanging = [asyncio.ensure_future(hang(server.url)) for _ in range(3)]
    await asyncio.sleep(LOAD_S)
    async with asyncio.timeout(60):  # a busy machine needs longer to get under load
        while len(seen.traces) <= 4 * CLIENTS:
            await asyncio.sleep(0.1)
    server.process.send_signal(signal.SIGKILL)
    await asyncio.gather(*clients, *hanging)
    server.process.wait(timeout=10)
    return seen


async def test_sigkill_under_load(tmp_path: Path) -> None:
    """After the restart each acknowledged trace and outcome is there as it was, each open reservation
    is an unfinished trace charged in full, and the balances are the sums of the traces."""
    config = write_toml(tmp_path / "config.toml", tables(tmp_path, RULES))
    with server_process(tmp_path, config) as server:
        seen = await load_until_killed(server)
    assert seen.statuses == {200}
    assert len(seen.traces) > CLIENTS
    path = tmp_path / "state" / "effortwise.db"
    open_before = rows(path, "SELECT trace_id, amount_nano FROM reservations")
    assert len(open_before) >= 3
    with server_process(tmp_path, config) as server:
        assert server.get("/readyz").json()["unfinished_at_start"] == len(open_before)
        async with httpx.AsyncClient(base_url=server.url) as http:
            for trace_id, before in seen.traces.items():
                found = (await http.get(f"/traces/{trace_id}")).json()
                assert {**found, "outcomes": []} == {**before, "outcomes": []}
                if trace_id in seen.judged:
                    assert [outcome["reward"] for outcome in found["outcomes"]] == [1.0]
    unfinished = rows(path, "SELECT id, cost_nano FROM traces WHERE status = 'unfinished'")
    assert sorted(unfinished) == sorted(open_before)
    assert rows(path, "SELECT * FROM reservations") == []
    assert rows(path, "SELECT spent_nano, reserved_nano FROM balances ORDER BY account, window") == [
        (spent, 0)
        for (spent,) in rows(
            path, "SELECT SUM(cost_nano) FROM traces GROUP BY account, window ORDER BY account, window"
        )
    ]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def rows(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
