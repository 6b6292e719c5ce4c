"""Retries of failed upstream calls, each of them admitted and counted like the first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from router.backend import DEAF, Backend, Listener
from router.call import Call, Completion, Delta
from router.errors import BackendError, BackendRefused, BackendTimeout, BackendUnreachable, OutOfCompute


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how soon. attempts: calls in all, >= 1; first_wait_s: bound of the first wait,
    doubled for each further one up to max_wait_s."""

    attempts: int = 3
    first_wait_s: float = 0.2
    max_wait_s: float = 5.0

    def wait_s(self, error: BackendError, retry: int, draw: float) -> float | None:
        """Seconds to wait before retry 1, 2, ..., or ``None`` where there is to be none.

        An upstream that names its time is waited for exactly so long; where that exceeds max_wait_s
        the error goes to the caller at once, with the time. Otherwise exponential backoff with full
        jitter: draw * min(max_wait_s, first_wait_s * 2^(retry - 1)), draw uniform in [0, 1)
        (Brooker, "Exponential Backoff and Jitter", AWS 2015).

        >>> Retries(3, 0.2, 5.0).wait_s(BackendRefused("busy", 503), retry=2, draw=0.5)
        0.2
        """
        if retry >= self.attempts or not is_transient(error):
            return None
        if isinstance(error, BackendRefused) and error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.max_wait_s else None
        return draw * min(self.max_wait_s, self.first_wait_s * 2.0 ** (retry - 1))


def is_transient(error: BackendError) -> bool:
    """Whether the same call may succeed when it is made again."""
    if isinstance(error, BackendRefused):
        return error.status in (408, 409, 429) or error.status >= 500
    return isinstance(error, BackendTimeout | BackendUnreachable)


@dataclass(frozen=True, slots=True)
class Resilient:
    """A backend whose transient failures are retried, unless the listener has heard a part of the reply.

    It wraps a backend that is metered, so every attempt is admitted and counted. Where the plan has no
    room for another one, the last upstream error is raised. draw: uniform in [0, 1).
    """

    name: ClassVar[str] = "resilient"
    backend: Backend
    retries: Retries = Retries()
    draw: Callable[[], float] = random.random

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer one call, in as many attempts as are allowed."""
        ear = _Ear(listener)
        try:
            return await self.backend.complete(call, ear)
        except BackendError as error:
            failure = error
        for retry in range(1, self.retries.attempts):
            wait_s = self.retries.wait_s(failure, retry, self.draw())
            if wait_s is None or ear.heard:
                break
            await asyncio.sleep(wait_s)
            try:
                return await self.backend.complete(call, ear)
            except OutOfCompute:
                break
            except BackendError as error:
                failure = error
        raise failure

    async def aclose(self) -> None:
        """Close the wrapped backend."""
        await self.backend.aclose()


class _Ear:
    """Passes the pieces on and remembers that there were some. What the deaf hear commits to nothing."""

    __slots__ = ("heard", "listener", "wants_deltas")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.wants_deltas = listener.wants_deltas
        self.heard = False

    def hear(self, delta: Delta) -> None:
        self.heard = self.listener is not DEAF
        self.listener.hear(delta)
