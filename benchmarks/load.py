"""A light HTTP load over keep-alive connections: bounded in requests, measured per request."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Measured:
    """requests_per_s over the whole load; latencies in seconds, sorted."""

    requests_per_s: float
    latencies_s: list[float]

    def quantile_ms(self, q: float) -> float:
        """A latency quantile in milliseconds."""
        return 1000 * self.latencies_s[min(int(q * len(self.latencies_s)), len(self.latencies_s) - 1)]


def request_bytes(port: int, body: bytes) -> bytes:
    """One HTTP request for a chat completion."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class _Connection(asyncio.Protocol):
    """One connection that sends the next request when a reply is whole."""

    request: bytes
    quota: list[int]
    latencies_s: list[float]
    done: asyncio.Future[None]
    _buffer: bytearray = field(default_factory=bytearray)
    _sent: float = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if self.quota[0] <= 0:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.quota[0] -= 1
        self._sent = time.perf_counter()
        self._transport.write(self.request)  # type: ignore[attr-defined]  # a TCP transport writes

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if _whole(self._buffer):
            if not self._buffer.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(RuntimeError(bytes(self._buffer[:500]).decode()))
                self._transport.close()
                return
            self.latencies_s.append(time.perf_counter() - self._sent)
            self._buffer.clear()
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the server closed the connection"))


def _whole(buffer: bytearray) -> bool:
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(buffer[:end]).lower()
    if b"transfer-encoding: chunked" in head:
        return buffer.endswith(b"\r\n0\r\n\r\n")
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return len(buffer) >= end + 4 + length


async def load(port: int, body: bytes, requests: int, connections: int) -> Measured:
    """Send ``requests`` over ``connections`` at once; an answer other than 200 raises."""
    loop = asyncio.get_running_loop()
    quota, latencies_s = [requests], []
    request = request_bytes(port, body)
    done = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for future in done:
        await loop.create_connection(
            lambda future=future: _Connection(request, quota, latencies_s, future),
            "127.0.0.1",
            port,  # type: ignore[misc]  # bound early
        )
    await asyncio.gather(*done)
    return Measured(len(latencies_s) / (time.perf_counter() - began), sorted(latencies_s))
