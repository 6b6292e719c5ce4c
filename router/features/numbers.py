"""Numbers: how large those in the question are; much of what makes an instance of one kind of task hard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log1p, sqrt
from typing import ClassVar

import numpy as np

from router.features import Sparse, excerpt
from router.query import Query

LARGEST = 1e15
"""No number counts as larger: beyond it, what matters is that it is long."""
NONE = -1.0
"""Of every magnitude, where the question holds no number."""

_NUMBER = re.compile(r"(?<![\w.])-?[0-9]+(?:\.[0-9]+)?")


class Numbers:
    """Magnitudes, log(1 + |number|), of the numbers in the excerpt; how many differ; and their kinds."""

    name: ClassVar[str] = "numbers"
    summary: ClassVar[str] = "magnitudes of the question's numbers, how many differ, negative, fractional"
    columns: Sequence[str] = (
        "largest",
        "second_largest",
        "smallest",
        "median",
        "mean",
        "spread",
        "first",
        "last",
        "log_sum",
        "log_distinct",
        "distinct_share",
        "any_negative",
        "any_fraction",
    )
    buckets = 0

    def dense(self, query: Query) -> Sequence[float]:
        """Shape (13,)."""
        found = _NUMBER.findall(excerpt(query.text))
        if not found:
            return (*([NONE] * 8), *([0.0] * 5))
        numbers = list(map(float, found))
        sizes = [min(abs(number), LARGEST) for number in numbers]
        distinct = len(set(found))
        return (
            *_magnitudes(list(map(log1p, sizes))),
            log1p(sum(sizes)),
            log1p(distinct),
            distinct / len(found),
            float(min(numbers) < 0),
            float("." in " ".join(found)),
        )

    def sparse(self, query: Query) -> Sparse:
        """Nothing is hashed."""
        return np.zeros(0, np.int64), np.zeros(0)


def _magnitudes(logs: Sequence[float]) -> tuple[float, ...]:
    """In the columns' order; the second largest of one number is itself."""
    ordered, mean = sorted(logs), sum(logs) / len(logs)
    return (
        ordered[-1],
        ordered[-2:][0],
        ordered[0],
        ordered[len(ordered) // 2],
        mean,
        sqrt(sum((log - mean) ** 2 for log in logs) / len(logs)),
        logs[0],
        logs[-1],
    )
