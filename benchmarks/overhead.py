"""What the service costs on top of its upstream, side by side in one run.

``python -m benchmarks.overhead [--requests N] [--connections 32]``. Everything is on loopback; the
upstream answers at once, so what is measured is the gateway alone. One worker each.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop

from benchmarks.load import Measured, load
from benchmarks.menu64 import save_learnt_bundle, write_configuration

PROMPT = (
    "What should we pack for a week of walking in the hills when the weather may turn? " * 4
)  # about 64 tokens
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers chat completions. ``process``: whose CPU is counted."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    model: str = "mock"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; latencies in ms, CPU in ms per request."""

    name: str
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=6000, help="per target and round")
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = _start(stack, folder)
        for stream in (False, True):
            kind = "streaming" if stream else "not streaming"
            count = arguments.requests // (3 if stream else 1)
            _print(
                f"{kind}, {arguments.connections} connections",
                _measure(targets, stream, count, arguments.connections),
            )
            _print(f"{kind}, one connection", _measure(targets, stream, max(count // 5, 50), 1))


def _start(stack: ExitStack, folder: Path) -> list[Target]:
    up, bare, ours = _free_port(), _free_port(), _free_port()
    upstream = stack.enter_context(_process("-m", "benchmarks.upstream", str(up)))
    passing = stack.enter_context(_process("-m", "benchmarks.passthrough", str(bare), str(up)))
    config = write_configuration(folder, up)
    save_learnt_bundle(config, folder / "bundle")
    service = stack.enter_context(
        _process("-m", "effortwise", "serve", "--config", str(config), "--port", str(ours))
    )
    _await(f"http://127.0.0.1:{ours}/readyz")
    _await(f"http://127.0.0.1:{bare}/openapi.json")
    return [
        Target("upstream itself", up, upstream),
        Target("FastAPI + aiohttp pass-through", bare, passing),
        Target("effortwise, fixed arm", ours, service, "m0"),
        Target("effortwise, learnt choice of 64 arms", ours, service, "greedy"),
    ]


def _measure(targets: list[Target], stream: bool, requests: int, connections: int) -> list[Line]:
    """Every target in turn, several rounds; the median of each figure."""
    rounds: dict[str, list[Line]] = {target.name: [] for target in targets}
    for _ in range(ROUNDS):
        for target in targets:
            rounds[target.name].append(_one(target, stream, requests, connections))
    return [_median(lines) for lines in rounds.values()]


def _one(target: Target, stream: bool, requests: int, connections: int) -> Line:
    body = {"model": target.model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    before = _cpu_s(target.process.pid)
    measured: Measured = uvloop.run(load(target.port, orjson.dumps(body), requests, connections))
    cpu_ms = 1000 * (_cpu_s(target.process.pid) - before) / requests
    return Line(
        target.name, measured.requests_per_s, measured.quantile_ms(0.5), measured.quantile_ms(0.99), cpu_ms
    )


def _median(lines: list[Line]) -> Line:
    figures = zip(
        *[(line.requests_per_s, line.p50_ms, line.p99_ms, line.cpu_ms) for line in lines], strict=True
    )
    return Line(lines[0].name, *(statistics.median(figure) for figure in figures))


def _print(title: str, lines: list[Line]) -> None:
    bar = next(line for line in lines if "pass-through" in line.name)
    direct = lines[0]
    print(f"\n{title} (median of {ROUNDS} rounds)")
    print(f"{'':<38}{'requests/s':>11}{'of bare':>9}{'p50 ms':>9}{'p99 ms':>9}{'added ms':>10}{'CPU ms':>9}")
    for line in lines:
        share = line.requests_per_s / bar.requests_per_s
        print(
            f"{line.name:<38}{line.requests_per_s:>11.0f}{share:>9.0%}{line.p50_ms:>9.2f}{line.p99_ms:>9.2f}"
            f"{line.p50_ms - direct.p50_ms:>10.2f}{line.cpu_ms:>9.3f}"
        )


def _cpu_s(pid: int) -> float:
    """User and system time of a process, seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _await(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310  # our own address
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
