"""Recorder: takes writes off the request path. One thread writes them to the store in groups.

A group is whatever waited when the writer came free. A write that somebody waits for is handed over at
the loop's next turn; one that nobody waits for goes with the next of those, within 10 ms: so a lone
request costs one commit, and a crowd shares one. Operations keep their order. Where the store is locked
or full, reservations are refused at once (``StoreError``), and everything else is kept in memory and
tried again: what was acknowledged is never dropped. A trace whose contents no store can take is written
without them, so that its reservation is settled. A stop waits for that only so long; what it leaves
unwritten is what a crash would leave: reservations, which the next start charges in full.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from router.errors import StoreError
from router.stores import Operation, Reserve, Result, Settle, Store

_GROUP_AT_MOST = 256
_POSTED_WITHIN_S = 0.01
_RETRY_S = 0.25
_STOP_WITHIN_S = 15.0
_STOP = object()

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pending:
    """An operation under way, and who waits for it. bare: a trace whose contents have been given up."""

    operation: Operation
    done: asyncio.Future[Result] | None
    bare: bool = False


@dataclass(slots=True)
class Recorder:
    """The writer of one store. Use it from one event loop; ``start`` before, ``stop`` after.

    capacity: how many operations may wait; beyond, ``write`` and ``room`` wait for room.
    """

    store: Store
    capacity: int = 10_000
    failing: str | None = None
    _queue: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    _outbox: list[_Pending] = field(default_factory=list)
    _accounts: dict[str, str] = field(default_factory=dict)
    _waiting: int = 0
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _soon: asyncio.Handle | None = None
    _later: asyncio.Handle | None = None
    _gives_up_at: float = inf

    def start(self) -> None:
        """Start the writer thread."""
        self._loop = asyncio.get_running_loop()
        self._room.set()
        self._thread = threading.Thread(target=self._write_until_stopped, name="recorder", daemon=True)
        self._thread.start()

    async def stop(self, within_s: float = _STOP_WITHIN_S) -> None:
        """Write what waits, then end the thread; where the store cannot write, after ``within_s``."""
        if self._thread is not None:
            self._gives_up_at = time.monotonic() + within_s
            self._hand_over()
            self._queue.put(_STOP)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def write(self, operation: Operation) -> Result:
        """Write an operation and wait for its commit; ``StoreError`` where the store cannot now."""
        await self.room()
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._put(_Pending(operation, done))
        return await done

    def post(self, operation: Operation) -> None:
        """Write an operation without waiting for its commit."""
        self._put(_Pending(operation, None))

    async def room(self) -> None:
        """Wait until the queue has room; ``StoreError`` where it is full because the store cannot write."""
        while self._waiting >= self.capacity:
            if self.failing is not None:
                raise StoreError(self.failing)
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S):
                    await self._room.wait()

    async def committed(self, trace_id: str, timeout_s: float) -> None:
        """Wait until a trace that was put is committed, or the time is over."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while trace_id in self._accounts and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  # an event per trace would cost every request
            await asyncio.sleep(0.002)

    def account_of(self, trace_id: str) -> str | None:
        """Whose trace it is, where it is still on its way to the store."""
        return self._accounts.get(trace_id)

    def _put(self, pending: _Pending) -> None:
        if isinstance(pending.operation, Settle):
            self._accounts[pending.operation.trace.id] = pending.operation.trace.account
        self._waiting += 1
        if self._waiting >= self.capacity:
            self._room.clear()
        self._outbox.append(pending)
        if pending.done is not None:
            if not self._soon:
                self._soon = asyncio.get_running_loop().call_soon(self._hand_over)
        elif not self._later:
            self._later = asyncio.get_running_loop().call_later(_POSTED_WITHIN_S, self._hand_over_posted)

    def _hand_over_posted(self) -> None:
        self._later = None
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the writer what came: waking it costs more than the writing."""
        self._soon = None
        outbox, self._outbox = self._outbox, []
        for pending in outbox:
            self._queue.put(pending)

    def _write_until_stopped(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            while group:
                group = self._write(group, stopping)

    def _next_group(self) -> tuple[list[_Pending], bool]:
        group: list[_Pending] = []
        item = self._first()
        while isinstance(item, _Pending):
            group.append(item)
            if len(group) >= _GROUP_AT_MOST or self._queue.empty():
                return group, False
            item = self._queue.get()
        return group, True

    def _first(self) -> object:
        """The next item. Where the store was failing and nothing waits, an empty group is tried
        meanwhile: else ``failing`` would stand until somebody dared to write again."""
        while self.failing is not None:
            try:
                return self._queue.get(timeout=_RETRY_S)
            except queue.Empty:
                self._write([], stopping=False)
        return self._queue.get()

    def _write(self, group: list[_Pending], stopping: bool) -> list[_Pending]:
        """Write a group's head; what must be written yet, or tried again, comes back. After a failure
        the head is one operation, so that a group too large for the store does not stop it for ever."""
        if self.failing is not None and time.monotonic() >= self._gives_up_at:
            return self._give_up(group)
        size = _GROUP_AT_MOST if self.failing is None else 1
        head, rest = group[:size], group[size:]
        try:
            results = self.store.apply([pending.operation for pending in head])
        except StoreError as error:
            return self._postpone(group, error, stopping)
        except Exception:  # one operation that no store can take must not hold up the others
            _log.exception("a group of %d operations cannot be written", len(head))
            return self._write_singly(head) + rest
        self._succeed(head, results)
        return rest

    def _postpone(self, group: list[_Pending], error: StoreError, stopping: bool) -> list[_Pending]:
        self.failing = str(error)
        refused = [pending for pending in group if isinstance(pending.operation, Reserve)]
        self._fail(refused, error)
        kept = [pending for pending in group if not isinstance(pending.operation, Reserve)]
        _log.warning("the store cannot write; %d operations wait: %s", len(kept), error)
        if kept:
            threading.Event().wait(_RETRY_S)
            kept += self._arrived_meanwhile(stopping)
        return kept

    def _give_up(self, group: list[_Pending]) -> list[_Pending]:
        if group:
            _log.error("stopped with %d operations unwritten: %s", len(group), self.failing)
            self._fail(group, StoreError(str(self.failing)))
        return []

    def _arrived_meanwhile(self, stopping: bool) -> list[_Pending]:
        arrived: list[_Pending] = []
        while not stopping and not self._queue.empty() and len(arrived) < _GROUP_AT_MOST:
            item = self._queue.get()
            if not isinstance(item, _Pending):
                self._queue.put(item)
                break
            arrived.append(item)
        return arrived

    def _write_singly(self, group: list[_Pending]) -> list[_Pending]:
        for i, pending in enumerate(group):
            try:
                self._succeed([pending], self.store.apply([pending.operation]))
            except StoreError as error:
                return self._postpone(group[i:], error, stopping=False)
            except Exception as error:
                words = f"The record cannot be written: {error}."
                if isinstance(pending.operation, Settle) and not pending.bare:
                    _log.exception("a trace is kept without its contents: no store can take them")
                    bare = Settle(pending.operation.trace.bare(words))
                    return self._write_singly([_Pending(bare, pending.done, bare=True), *group[i + 1 :]])
                _log.exception("an operation is dropped: no store can take it")
                self._fail([pending], StoreError(words))
        return []

    def _succeed(self, group: Sequence[_Pending], results: Sequence[Result]) -> None:
        self.failing = None
        self._call_soon(self._finish, group, results, None)

    def _fail(self, group: Sequence[_Pending], error: StoreError) -> None:
        if group:
            self._call_soon(self._finish, group, [None] * len(group), error)

    def _call_soon(self, *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(*arguments)  # type: ignore[arg-type]  # callable first, by construction

    def _finish(self, group: Sequence[_Pending], results: Sequence[Result], error: StoreError | None) -> None:
        self._waiting -= len(group)
        if self._waiting < self.capacity:
            self._room.set()
        for pending, result in zip(group, results, strict=True):
            if isinstance(pending.operation, Settle):
                self._accounts.pop(pending.operation.trace.id, None)
            if pending.done is None or pending.done.done():
                continue
            if error is None:
                pending.done.set_result(result)
            else:
                pending.done.set_exception(error)
