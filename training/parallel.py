"""Parallel: pieces of a large fit side by side; what they compute does not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

THREADS = 2
T = TypeVar("T")


def side_by_side(pieces: Sequence[Callable[[], T]], *, large: bool) -> list[T]:
    """The results of all pieces, in their order. large: two at a time (arrays let go of the interpreter's
    lock); small pieces would mostly wait for each other."""
    if not large:
        return [piece() for piece in pieces]
    with threadpool_limits(1), ThreadPoolExecutor(THREADS) as threads:
        return [each.result() for each in [threads.submit(piece) for piece in pieces]]
