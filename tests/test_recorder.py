"""The recorder: order, groups, back-pressure, and what happens when the store cannot write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from router.errors import StoreError
from router.outcome import Outcome
from router.stores import Judge, Operation, Refused, Reserve, Result, Settle
from router.trace import Trace
from router.usage import NOTHING, Usage
from serving.recorder import Recorder


class Shelf:
    """A store that keeps what it is given, as long as ``open`` is set and ``mind`` does not object."""

    name = "shelf"

    def __init__(self, mind: Callable[[Sequence[Operation]], None] = lambda _: None) -> None:
        self.open = threading.Event()
        self.open.set()
        self.mind = mind
        self.groups: list[list[Operation]] = []

    def apply(self, operations: Sequence[Operation]) -> Sequence[Result]:
        assert self.open.wait(10)
        self.mind(operations)
        if operations:
            self.groups.append(list(operations))
        return [Refused(7) if isinstance(op, Reserve) and op.account == "poor" else None for op in operations]

    @property
    def kept(self) -> list[str]:
        return [name(operation) for group in self.groups for operation in group]


def name(operation: Operation) -> str:
    if isinstance(operation, Judge):
        return operation.outcome.trace_id
    return operation.trace.id if isinstance(operation, Settle) else operation.trace_id


def settle(number: int) -> Settle:
    trace = Trace(f"t{number}", 0.0, "a", "w", None, None, "arm", "complete", NOTHING, 0.0, {})
    return Settle(trace)


def judge(number: int) -> Judge:
    return Judge(Outcome(f"t{number}", 1.0, "s"))


def reserve(number: int, account: str = "a") -> Reserve:
    return Reserve(f"t{number}", account, "w", 1, None, 0.0, {})


class Ailing:
    """Refuses as long as ``ill``, as a locked or full store does."""

    def __init__(self) -> None:
        self.ill = True

    def __call__(self, _: Sequence[Operation]) -> None:
        if self.ill:
            raise StoreError("database or disk is full")


@asynccontextmanager
async def recording(store: Any, **options: Any) -> AsyncIterator[Recorder]:
    recorder = Recorder(store, **options)
    recorder.start()
    try:
        yield recorder
    finally:
        await recorder.stop()


async def until(condition: Callable[[], Any], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # the writer's thread has no event for it
            await asyncio.sleep(0.005)


async def test_a_crowd_shares_few_commits_in_its_order() -> None:
    """What waits while the writer is busy goes in one group, in the order in which it came."""
    shelf = Shelf()
    shelf.open.clear()
    async with recording(shelf) as recorder:
        for number in range(200):
            recorder.post(settle(number))
        waiting = asyncio.ensure_future(recorder.write(judge(200)))
        shelf.open.set()
        await waiting
        assert shelf.kept == [f"t{number}" for number in range(201)]
        assert len(shelf.groups) <= 2


async def test_a_lone_write_commits_at_once() -> None:
    """Nobody waits for company."""
    shelf = Shelf()
    async with recording(shelf) as recorder:
        async with asyncio.timeout(0.5):
            for number in range(5):
                assert await recorder.write(reserve(number)) is None
        assert len(shelf.groups) == 5


async def test_everybody_gets_the_result_of_his_own() -> None:
    """In a group each caller hears what became of his operation."""
    shelf = Shelf()
    shelf.open.clear()
    async with recording(shelf) as recorder:
        accounts = ["a", "poor", "a", "poor"]
        writes = [asyncio.ensure_future(recorder.write(reserve(i, a))) for i, a in enumerate(accounts)]
        await asyncio.sleep(0)
        shelf.open.set()
        assert await asyncio.gather(*writes) == [None, Refused(7), None, Refused(7)]


async def test_a_full_queue_makes_writers_wait() -> None:
    """Beyond its capacity the recorder takes nothing more until something is written, in order."""
    shelf = Shelf()
    shelf.open.clear()
    async with recording(shelf, capacity=8) as recorder:
        writes = [asyncio.ensure_future(recorder.write(judge(number))) for number in range(40)]
        room = asyncio.ensure_future(recorder.room())
        await asyncio.sleep(0.05)
        assert recorder._waiting == 8
        assert not room.done()
        highest = 8
        shelf.open.set()
        while not all(write.done() for write in writes):
            highest = max(highest, recorder._waiting)
            await asyncio.sleep(0)
        await room
        assert highest == 8
        assert sorted(shelf.kept) == sorted(f"t{number}" for number in range(40))
        assert recorder._waiting == 0


async def test_a_trace_on_its_way_has_an_owner() -> None:
    """Between its end and its commit a trace is known by its account, and no longer after that."""
    shelf = Shelf()
    shelf.open.clear()
    async with recording(shelf) as recorder:
        recorder.post(settle(1))
        assert (recorder.account_of("t1"), recorder.account_of("t2")) == ("a", None)
        await recorder.committed("t1", 0.01)
        assert recorder.account_of("t1") == "a"
        shelf.open.set()
        await recorder.committed("t1", 5.0)
        assert recorder.account_of("t1") is None
        assert shelf.kept == ["t1"]


async def test_a_failing_store_refuses_reservations_and_keeps_the_rest() -> None:
    """While the store cannot write, who needs money hears so at once; all else is written later, in
    its order."""
    ailing = Ailing()
    shelf = Shelf(ailing)
    async with recording(shelf) as recorder:
        recorder.post(settle(1))
        judging = asyncio.ensure_future(recorder.write(judge(1)))
        await asyncio.sleep(0)
        recorder.post(settle(2))
        for number in (3, 4):
            with pytest.raises(StoreError, match="full"):
                async with asyncio.timeout(2):
                    await recorder.write(reserve(number))
        assert recorder.failing is not None
        assert "full" in recorder.failing
        assert not judging.done()
        ailing.ill = False
        await judging
        await until(lambda: recorder._waiting == 0)
        assert shelf.kept == ["t1", "t1", "t2"]
        assert recorder.failing is None


async def test_a_store_that_is_well_again_is_noticed_without_a_write() -> None:
    """A refused reservation leaves nothing to write, yet ``failing`` goes away by itself: a balancer
    that keeps away until then sends nothing that could show it."""
    ailing = Ailing()
    async with recording(Shelf(ailing)) as recorder:
        with pytest.raises(StoreError):
            await recorder.write(reserve(1))
        assert recorder.failing
        await asyncio.sleep(0.4)
        assert recorder.failing
        ailing.ill = False
        await until(lambda: recorder.failing is None, 1.0)


async def test_a_full_queue_of_a_failing_store_refuses_instead_of_waiting() -> None:
    """Room that nobody can promise is not waited for."""
    ailing = Ailing()
    shelf = Shelf(ailing)
    async with recording(shelf, capacity=4) as recorder:
        for number in range(4):
            recorder.post(settle(number))
        async with asyncio.timeout(3):
            with pytest.raises(StoreError, match="full"):
                await recorder.room()
            with pytest.raises(StoreError, match="full"):
                await recorder.write(reserve(9))
        ailing.ill = False
        await until(lambda: recorder._waiting == 0)
        await recorder.room()
        assert shelf.kept == [f"t{number}" for number in range(4)]


async def test_what_no_store_can_take_spares_its_neighbours(caplog: pytest.LogCaptureFixture) -> None:
    """One operation that breaks the store's own code is dropped and told; the others are written."""

    def poison(operations: Sequence[Operation]) -> None:
        if any(name(operation) == "t2" for operation in operations):
            raise TypeError("cannot be serialised")

    shelf = Shelf(poison)
    shelf.open.clear()
    async with recording(shelf) as recorder:
        writes = [asyncio.ensure_future(recorder.write(judge(number))) for number in range(5)]
        await asyncio.sleep(0)
        shelf.open.set()
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] * 2 + [StoreError] + [type(None)] * 2
        assert shelf.kept == ["t0", "t1", "t3", "t4"]
        assert recorder._waiting == 0
    assert "no store can take it" in caplog.text


async def test_a_trace_that_no_store_can_take_is_settled_without_its_contents() -> None:
    """What it cost and whose it is are written, once; its neighbours as they are."""

    def poison(operations: Sequence[Operation]) -> None:
        for operation in operations:
            if isinstance(operation, Settle) and operation.trace.answer == "deep":
                raise TypeError("cannot be serialised")

    shelf = Shelf(poison)
    deep = Settle(replace(settle(1).trace, answer="deep", usage=Usage(1, 2**70, 5, 7), wishes={"n": 1}))
    async with recording(shelf) as recorder:
        for operation in (settle(0), deep, settle(2)):
            recorder.post(operation)
        await until(lambda: recorder._waiting == 0)
        assert shelf.kept == ["t0", "t1", "t2"]
    (kept,) = (
        op.trace for group in shelf.groups for op in group if name(op) == "t1" and isinstance(op, Settle)
    )
    assert (kept.usage.prompt_tokens, kept.usage.cost_nano) == (2**62, 7)
    assert (kept.answer, kept.wishes, kept.account) == (None, {}, "a")
    assert kept.error == "The record cannot be written: cannot be serialised."


async def test_a_group_too_large_for_the_store_is_written_in_parts() -> None:
    """A store that refuses a crowd but takes each of it alone is not blocked for ever."""

    def narrow(operations: Sequence[Operation]) -> None:
        if len(operations) > 1:
            raise StoreError("string or blob too big")

    shelf = Shelf(narrow)
    shelf.open.clear()
    async with recording(shelf) as recorder:
        for number in range(4):
            recorder.post(settle(number))
        shelf.open.set()
        await until(lambda: recorder._waiting == 0)
        assert shelf.kept == [f"t{number}" for number in range(4)]


async def test_groups_stay_small_after_a_long_illness() -> None:
    """What gathered meanwhile is not written in one huge transaction."""
    ailing = Ailing()
    shelf = Shelf(ailing)
    async with recording(shelf) as recorder:
        for number in range(600):
            recorder.post(settle(number))
        await asyncio.sleep(0.8)
        ailing.ill = False
        await until(lambda: recorder._waiting == 0)
        assert shelf.kept == [f"t{number}" for number in range(600)]
        assert max(map(len, shelf.groups)) <= 256


async def test_stopping_writes_what_waits() -> None:
    """Nothing that was posted before the end is lost, not even where the store fails at that moment."""
    ailing = Ailing()
    shelf = Shelf(ailing)
    recorder = Recorder(shelf)
    recorder.start()
    for number in range(300):
        recorder.post(settle(number))
    stopping = asyncio.ensure_future(recorder.stop())
    await asyncio.sleep(0.3)
    assert not stopping.done()
    ailing.ill = False
    await stopping
    assert shelf.kept == [f"t{number}" for number in range(300)]


async def test_a_writer_who_left_is_not_missed() -> None:
    """A cancelled wait takes nothing back and harms nobody: the operation is written."""
    shelf = Shelf()
    shelf.open.clear()
    async with recording(shelf) as recorder:
        leaving = asyncio.ensure_future(recorder.write(reserve(1)))
        staying = asyncio.ensure_future(recorder.write(reserve(2)))
        await asyncio.sleep(0.01)
        leaving.cancel()
        shelf.open.set()
        assert await staying is None
        assert shelf.kept == ["t1", "t2"]


async def test_a_store_that_never_recovers_does_not_hold_up_the_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After a while what waits is given up: who waits for it hears of it, and the log tells."""
    shelf = Shelf(Ailing())
    recorder = Recorder(shelf)
    recorder.start()
    waiting = asyncio.create_task(recorder.write(judge(1)))
    for number in range(2, 2_000):
        recorder.post(settle(number))
    await asyncio.sleep(0.05)
    began = asyncio.get_running_loop().time()
    await recorder.stop(within_s=0.3)
    assert asyncio.get_running_loop().time() - began < 5.0
    assert recorder._waiting == 0
    assert not shelf.kept
    with pytest.raises(StoreError, match="full"):
        await waiting
    assert "unwritten" in caplog.text
