"""Parallel: calls that do not wait for one another, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from router.errors import BackendError, BudgetExceeded

T = TypeVar("T")


async def as_they_come(work: Sequence[Coroutine[Any, Any, T]]) -> AsyncGenerator[T, None]:
    """Results in the order in which they are ready. One that fails (``BackendError``, ``BudgetExceeded``)
    is left out; where all fail, the last error is raised. Closing it early cancels the rest."""
    tasks = [asyncio.ensure_future(each) for each in work]
    last_error: Exception | None = None
    survivors = 0
    try:
        for next_done in asyncio.as_completed(tasks):
            try:
                result = await next_done
            except (BackendError, BudgetExceeded) as error:
                last_error = error
            else:
                survivors += 1
                yield result
        if not survivors and last_error is not None:
            raise last_error
    finally:
        await _cancel(tasks)


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T | None]:
    """Results in the order of the work, ``None`` for one that fails; where all fail, the last error is
    raised. Cancelled together; any other error cancels the rest."""
    tasks = [asyncio.ensure_future(_or_error(each)) for each in work]
    try:
        results = await asyncio.gather(*tasks)
    finally:
        await _cancel(tasks)
        for each in work:
            each.close()  # one that was cancelled before it began would warn that nobody awaited it
    errors = [result for result in results if isinstance(result, BackendError | BudgetExceeded)]
    if errors and len(errors) == len(results):
        raise errors[-1]
    return [None if isinstance(result, BackendError | BudgetExceeded) else result for result in results]


async def _or_error(work: Coroutine[Any, Any, T]) -> T | BackendError | BudgetExceeded:
    try:
        return await work
    except (BackendError, BudgetExceeded) as error:
        return error


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Turns:
    """At most so many at once, in each event loop by itself: one that is over leaves nothing behind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def here(self) -> asyncio.Semaphore:
        """What to hold while one of them is under way."""
        return self._of.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._most))
