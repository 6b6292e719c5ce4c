"""Virtual time: waiting costs nothing, and the order of events is kept."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from fakes import virtually
from hypothesis import given
from hypothesis import strategies as st

from training.virtual_time import _Jumping


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=8))
def test_parallel_waits_take_the_longest_and_end_in_order(waits: list[float]) -> None:
    """Side by side the clock moves by the longest wait; the shorter ends first."""
    ended: list[float] = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(seconds)

    async def together() -> None:
        await asyncio.gather(*(wait(seconds) for seconds in waits))

    _, seconds = virtually(together)
    assert seconds == pytest.approx(max(waits), abs=1e-6)
    assert ended == sorted(waits)


def test_waits_one_after_another_add_up() -> None:
    """A year passes at once, beyond the longest single wait of the loop."""
    started = time.perf_counter()

    async def work() -> None:
        for _ in range(365):
            await asyncio.sleep(86_400)

    _, seconds = virtually(work)
    assert seconds == pytest.approx(365 * 86_400)
    assert time.perf_counter() - started < 5


def test_deadlines_strike_in_virtual_time() -> None:
    """A time-out fires when its virtual moment has come, and not before."""

    async def work(sleep_s: float) -> str:
        async with asyncio.timeout(3.0):
            await asyncio.sleep(sleep_s)
        return "in time"

    assert virtually(lambda: work(2.9))[0] == "in time"
    with pytest.raises(TimeoutError):
        virtually(lambda: work(3.1))


def test_what_has_no_time_set_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result from another thread comes when it comes; the virtual clock stands still meanwhile."""

    async def work() -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        thread = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(done.set_result, "done"))
        thread.start()
        return await done

    looks = 0
    select = _Jumping.select

    def counted(selector: _Jumping, timeout: float | None = None) -> list[object]:
        nonlocal looks
        looks += 1
        return select(selector, timeout)

    monkeypatch.setattr(_Jumping, "select", counted)
    result, seconds = virtually(work)
    assert (result, seconds) == ("done", 0.0)
    assert looks < 20  # it slept, and did not spin
