"""One program under watch: fed, read up to a limit, counted, and killed with all that it started."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.errors import SandboxError
from router.sandbox import Ending, Limits, Ran
from serving.sandbox.inside import READY
from serving.sandbox.tree import descendants, folder_bytes, kill_tree, own_bytes

_TICK_S = 0.02
"""How often the processes are counted."""
_TICKS_PER_FOLDER = 5
"""Its scratch folder is measured so much less often."""
_LET_GO_S = 1.0
"""A dead program's pipes are closed by then, unless a process escaped that holds them."""
_PIECE_BYTES = 1 << 16
_SIGNALLED = 128
"""Exit codes above are those of a signal, as shells have it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a program is started. payload: what its standard input begins with. own_processes: below the
    started one that belong to the sandbox itself. scratch: a folder whose size must be watched, where the
    system does not bound it."""

    command: Sequence[str]
    payload: bytes
    environment: Mapping[str, str]
    folder: Path | None = None
    own_processes: int = 0
    scratch: Path | None = None


async def run_supervised(launch: Launch, limits: Limits) -> Ran:
    """Run to the program's end or to a limit. Cancelling kills the tree."""
    started = time.perf_counter()
    starting = asyncio.ensure_future(_start(launch))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:  # one that is cut off half-way could leave a process behind
        with suppress(SandboxError):  # nothing was started
            await _Watched(launch, limits, await starting).let_go()
        raise
    watched = _Watched(launch, limits, process)
    await watched.to_its_end()
    return watched.ran(time.perf_counter() - started)


async def _start(launch: Launch) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            *launch.command, stdin=PIPE, stdout=PIPE, stderr=PIPE,
            env=launch.environment, cwd=launch.folder, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise SandboxError(f"The sandbox could not start {launch.command[0]}: {error}.") from error


@dataclass(slots=True)
class _Watched:
    launch: Launch
    limits: Limits
    process: Process
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    ended: Ending | None = None

    _streams: list[asyncio.Future[Any]] = field(init=False)

    def __post_init__(self) -> None:
        most = self.limits.output_bytes
        self._streams = [
            asyncio.ensure_future(self._feed()),
            asyncio.ensure_future(self._read(self.process.stdout, self.stdout, most)),
            asyncio.ensure_future(self._read(self.process.stderr, self.stderr, most + len(READY))),
            asyncio.ensure_future(self.process.wait()),
        ]

    async def to_its_end(self) -> None:
        """Feed and read until all is read and the process gone, or a process that escaped holds on."""
        watch = asyncio.ensure_future(self._watch())
        try:
            with self._deadline():
                await asyncio.wait(self._streams, timeout=self.limits.seconds + _LET_GO_S)
        finally:
            watch.cancel()
            await self.let_go()
            await asyncio.gather(watch, return_exceptions=True)

    async def let_go(self) -> None:
        """Kill what is left, wait a moment until its pipes are closed, and stop listening."""
        _kill(self.process)
        await asyncio.wait(self._streams, timeout=_LET_GO_S)
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    def ran(self, seconds: float) -> Ran:
        before, ready, after = bytes(self.stderr).partition(READY)
        if not ready:
            raise SandboxError(f"The program did not begin: {_last_line(before) or self.ended or 'no word'}.")
        stdout, stderr = self.stdout.decode(errors="replace"), after.decode(errors="replace")
        code = self.process.returncode
        if self.ended is not None or code is None:
            return Ran(stdout, stderr, None, self.ended or "timeout", seconds)
        if code and _last_line(after).startswith("MemoryError"):
            return Ran(stdout, stderr, code, "memory", seconds)
        ended: Ending = "exited" if 0 <= code <= _SIGNALLED else "crashed"
        return Ran(stdout, stderr, code, ended, seconds)

    def _end(self, reason: Ending) -> None:
        self.ended = self.ended or reason
        _kill(self.process)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        timer = asyncio.get_running_loop().call_later(self.limits.seconds, self._end, "timeout")
        try:
            yield
        finally:
            timer.cancel()

    async def _feed(self) -> None:
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101  # it was asked for
        with suppress(ConnectionError):  # a program need not read what it is given
            stdin.write(self.launch.payload)
            await stdin.drain()
        stdin.close()

    async def _read(self, stream: asyncio.StreamReader | None, text: bytearray, most: int) -> None:
        """Keep what the limit allows; read on to the end, so that nothing is left in the pipe."""
        assert stream is not None  # noqa: S101  # it was asked for
        while piece := await stream.read(_PIECE_BYTES):
            if len(text) + len(piece) > most:
                self._end("output")
            text += piece[: most - len(text)]

    async def _watch(self) -> None:
        tick = 0
        while True:
            await asyncio.sleep(_TICK_S)
            tick += 1
            if reason := self.ended or self._exceeded() or self._filled(tick):
                self._end(reason)

    def _exceeded(self) -> Ending | None:
        count, memory_bytes = -self.launch.own_processes, 0
        for pid in descendants(self.process.pid):
            count, memory_bytes = count + 1, memory_bytes + own_bytes(pid)
            if count > self.limits.processes:
                return "processes"
        return "memory" if memory_bytes > self.limits.memory_bytes else None

    def _filled(self, tick: int) -> Ending | None:
        folder, most = self.launch.scratch, self.limits.disk_bytes
        if folder is None or tick % _TICKS_PER_FOLDER:
            return None
        return "disk" if folder_bytes(folder, most) > most else None


def _last_line(text: bytes) -> str:
    return text.decode(errors="replace").rstrip().rpartition("\n")[2][-300:]


def _kill(process: Process) -> None:
    """Kill the process and everything below it, unless it has been waited for: its number may be
    another's by then."""
    if process.returncode is None:
        kill_tree(process.pid)
