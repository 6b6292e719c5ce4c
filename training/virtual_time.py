"""An event loop whose clock jumps: waiting costs nothing, and parallel waits still overlap."""

from __future__ import annotations

import asyncio
import selectors
from math import inf, nextafter, ulp
from typing import Any

_LOOP_TOLERANCE_S = 1e-9
"""A loop runs what is due this soon. Where a float's step is wider than that, a clock that stood exactly on a
deadline would stand there for ever, so it goes one step past."""


class _Jumping(selectors.DefaultSelector):
    """A selector that adds the time it is told to wait to ``now`` instead; it waits only for what has
    no time set, such as another thread."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return super().select()
        then = self.now + max(timeout, 0.0)
        self.now = then if ulp(then) < _LOOP_TOLERANCE_S else nextafter(then, inf)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Run replays of recorded latencies in it.

    >>> loop = VirtualTimeLoop()
    >>> async def both() -> float:
    ...     await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(1800))
    ...     return loop.time()
    >>> round(loop.run_until_complete(both()))
    3600
    >>> loop.close()
    """

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now
