"""Budget: hard caps on one plan. A cap is never a spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from router.errors import InvalidQuery
from router.usage import Usage

N = TypeVar("N", int, float)

_NAMES = ("calls", "tokens", "cost_nano", "seconds")


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps on one plan; ``None`` means that this quantity is not capped.

    calls: upstream calls, retries included. tokens: prompt and completion tokens. cost_nano:
    nano-dollars. seconds: wall time from the query's arrival.

    >>> Budget(calls=3).tightest(Budget(calls=5, seconds=2.0))
    Budget(calls=3, tokens=None, cost_nano=None, seconds=2.0)
    """

    calls: int | None = None
    tokens: int | None = None
    cost_nano: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        caps = self.calls, self.tokens, self.cost_nano, self.seconds
        for name, cap in zip(_NAMES, caps, strict=True):
            if cap is not None and not cap >= 0:
                raise InvalidQuery(f"A budget's {name} must be 0 or more, not {cap}.", name)

    def tightest(self, other: Budget) -> Budget:
        """The smaller cap of each quantity."""
        if other is UNLIMITED:
            return self
        if self is UNLIMITED:
            return other
        return Budget(
            _least(self.calls, other.calls),
            _least(self.tokens, other.tokens),
            _least(self.cost_nano, other.cost_nano),
            _least(self.seconds, other.seconds),
        )

    def admits(self, usage: Usage) -> bool:
        """Whether the usage stays within every cap but the seconds, which the clock enforces."""
        return (
            (self.calls is None or usage.calls <= self.calls)
            and (self.tokens is None or usage.total_tokens <= self.tokens)
            and (self.cost_nano is None or usage.cost_nano <= self.cost_nano)
        )


def _least(left: N | None, right: N | None) -> N | None:
    caps = [cap for cap in (left, right) if cap is not None]
    return min(caps) if caps else None


UNLIMITED = Budget()
