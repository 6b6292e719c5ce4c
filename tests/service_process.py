"""A whole service for tests: in this event loop, or as a process of its own started by its command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from openai import AsyncOpenAI, OpenAI

from router.configuration import parse_configuration
from router.trace import Trace
from serving.app import create_app
from serving.service import Service, compose

ROOT = Path(__file__).parent.parent
PROMPT_USD, COMPLETION_USD = 100.0, 200.0
"""Prices of the model ``small`` per million tokens; ``large`` costs ten times as much."""


def tables(folder: Path, rules: Sequence[Mapping[str, Any]] = (), **sections: Any) -> dict[str, Any]:
    """A configuration of two scripted models, as plain values; ``sections`` replace or add tables."""
    price = {"usd_per_million_prompt_tokens": PROMPT_USD, "usd_per_million_completion_tokens": COMPLETION_USD}
    small = {
        "backend": "fake",
        **price,
        "max_completion_tokens": 50,
        "logprobs": True,
        "response_format": True,
    }
    dear = {key: 10 * value for key, value in price.items()}
    return {
        "store": {"path": str(folder / "state" / "effortwise.db")},
        "decision": {"price_per_usd": 1.0, "default_arm": "small/direct"},
        "resilience": {"attempts": 1},
        "backends": {"fake": {"type": "scripted", "rules": list(rules)}},
        "models": {"small": small, "large": {**small, **dear, "tools": True}},
        "menu": [
            {"strategy": "direct", "models": ["small", "large"]},
            {"strategy": "self_consistency", "models": ["small"], "template": "direct", "n": [4]},
            {"strategy": "best_of_n", "models": ["small"], "n": 4},
            {"strategy": "cascade", "stages": ["small/direct", "large/direct"]},
        ],
        "policies": {
            "auto": {"type": "uniform"},
            "greedy": {"type": "greedy"},
            "cheap": {"type": "greedy", "price_per_usd": 1e9},
        },
        **sections,
    }


def ask(words: str, **fields: Any) -> dict[str, Any]:
    """A request's body, or the arguments of the official client."""
    return {"model": "auto", "messages": [{"role": "user", "content": words}], **fields}


def wishing(words: str, model: str = "auto", **wishes: Any) -> dict[str, Any]:
    """The official client's arguments with routing wishes."""
    return ask(words, model=model, extra_body={"effortwise": wishes})


@dataclass(frozen=True, slots=True)
class Live:
    """A running service in this event loop. url: with ``/v1``."""

    service: Service
    url: str
    http: httpx.AsyncClient
    clients: list[AsyncOpenAI] = field(default_factory=list)

    def client(self, key: str = "none") -> AsyncOpenAI:
        """The official client; it repeats nothing by itself."""
        self.clients.append(AsyncOpenAI(base_url=self.url, api_key=key, max_retries=0))
        return self.clients[-1]

    async def chat(self, words: str = "hello", key: str = "none", **fields: Any) -> httpx.Response:
        """One raw request."""
        body = {"model": "small", "messages": [{"role": "user", "content": words}], **fields}
        return await self.post("chat/completions", body, key)

    async def post(self, path: str, body: Any, key: str = "none") -> httpx.Response:
        """A raw POST; bytes are sent as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        return await self.http.post(f"{self.url}/{path}", content=content, headers=headers)

    async def trace(self, trace_id: str, key: str = "none") -> dict[str, Any]:
        """A trace as the service tells it."""
        reply = await self.http.get(
            f"{self.url}/traces/{trace_id}", headers={"authorization": f"Bearer {key}"}
        )
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def card(self, words: str = "hello", **fields: Any) -> dict[str, Any]:
        """The decision card of a question."""
        reply = await self.post("plan", ask(words, **fields))
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def ready(self) -> tuple[int, dict[str, Any]]:
        """Status and body of ``/readyz``."""
        reply = await self.http.get(self.url.removesuffix("/v1") + "/readyz")
        return reply.status_code, reply.json()

    async def under_way(self, count: int = 1) -> list[str]:
        """The ids of what is being answered, once so many reservations are committed."""
        async with asyncio.timeout(5):
            while len(rows := self.service.store._rows("SELECT trace_id FROM reservations", ())) < count:
                await asyncio.sleep(0.005)
        return [trace_id for (trace_id,) in rows]

    async def traces(self, count: int, within_s: float = 5.0) -> list[Trace]:
        """The store's traces, once there are so many and nothing is under way."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            found = list(self.service.store.traces())
            if len(found) >= count and not self.service.execution.in_flight:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(found)} of {count} traces within {within_s} s")

    def spent_and_reserved(self, account: str = "default") -> tuple[int, int]:
        """Over all windows of an account, nano-dollars."""
        query = "SELECT SUM(spent_nano), SUM(reserved_nano) FROM balances WHERE account = ?"
        [(spent, reserved)] = self.service.store._rows(query, (account,))
        return spent or 0, reserved or 0


class _Server(uvicorn.Server):
    """One that leaves the process's signals alone."""

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def serving(
    values: Mapping[str, Any], *, bundle: Path | None = None, grace_s: int = 5
) -> AsyncIterator[Live]:
    """The service of a configuration, on a free port of 127.0.0.1."""
    service = compose(parse_configuration(values), {}, bundle)
    config = uvicorn.Config(
        create_app(service), "127.0.0.1", 0, log_level="error", timeout_graceful_shutdown=grace_s
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task
        await asyncio.sleep(0.002)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(timeout=30) as http:
        live = Live(service, f"http://127.0.0.1:{port}/v1", http)
        try:
            yield live
        finally:
            for client in live.clients:
                await client.close()
            server.should_exit = True
            await task


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A service in a process of its own. url: with ``/v1``."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def client(self, key: str = "none") -> OpenAI:
        """The official client, synchronous."""
        return OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=60)

    def get(self, path: str) -> httpx.Response:
        """A GET beneath the service's root, e.g. ``/readyz``."""
        return httpx.get(self.url.removesuffix("/v1") + path, timeout=30)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def serve_command(config: Path, port: int) -> list[str]:
    """The command line that serves a configuration."""
    return [sys.executable, "-m", "effortwise", "serve", "--config", str(config), "--port", str(port)]


@contextmanager
def server_process(folder: Path, config: Path, *, within_s: float = 60.0) -> Iterator[ServerProcess]:
    """The service of a configuration file, run in a folder until the end of the block."""
    port, log = free_port(), folder / "serve.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            serve_command(config, port), cwd=folder, stdout=output, stderr=output, env=environment()
        )
    server = ServerProcess(process, f"http://127.0.0.1:{port}/v1", log)
    try:
        _await_start(server, within_s)
        yield server
    finally:
        if process.poll() is None:
            server.stop()


def _await_start(server: ServerProcess, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if server.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"The service did not start: {server.log.read_text()[-2000:]}")


def environment() -> dict[str, str]:
    """This process's environment, in which the packages are found from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_toml(path: Path, values: Mapping[str, Any]) -> Path:
    """A configuration's plain values as a file."""
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in values.items()))
    return path


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
