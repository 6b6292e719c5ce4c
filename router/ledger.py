"""Ledger: the account book. Reserves a plan's worst case, settles its actual usage, releases the rest.

Invariant, at every commit and for every account and window: spent + reserved <= allowance, as long
as no upstream bills more than the worst case it was sent. The store keeps the book; what stands here
is its arithmetic, which is pure.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from router.tariff import to_nano

WindowKind: TypeAlias = Literal["day", "month", "total"]
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an account may spend per window; amount_nano ``None`` means no cap (it is still counted)."""

    account: str
    amount_nano: int | None = None
    window: WindowKind = "month"

    @classmethod
    def of_usd(cls, account: str, usd: float | None, window: WindowKind) -> Allowance:
        """From US dollars."""
        return cls(account, None if usd is None else to_nano(usd), window)

    def key(self, at: float) -> str:
        """The name of the window that a Unix time falls in (UTC).

        >>> Allowance("a", None, "day").key(0.0), Allowance("a").key(0.0)
        ('day:1970-01-01', 'month:1970-01')
        """
        return _window_key(self.window, int(at // _DAY_S))

    def seconds_left(self, at: float) -> float:
        """Seconds from a Unix time until the window turns; a day for one that never does."""
        if self.window == "total":
            return float(_DAY_S)
        moment = dt.datetime.fromtimestamp(at, dt.UTC)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.window == "day":
            turn = midnight + dt.timedelta(days=1)
        else:
            turn = (midnight.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        return (turn - moment).total_seconds()


@lru_cache(maxsize=64)
def _window_key(window: WindowKind, day: int) -> str:
    """The window's name on a day since 1970; asked for with every request."""
    formats = {"day": "day:%Y-%m-%d", "month": "month:%Y-%m", "total": "total"}
    return dt.datetime.fromtimestamp(day * _DAY_S, dt.UTC).strftime(formats[window])


@dataclass(frozen=True, slots=True)
class Balance:
    """One account's book for one window, nano-dollars."""

    spent_nano: int = 0
    reserved_nano: int = 0

    def left_nano(self, allowance_nano: int | None) -> int | None:
        """What may still be reserved; ``None`` where there is no cap."""
        if allowance_nano is None:
            return None
        return max(0, allowance_nano - self.spent_nano - self.reserved_nano)

    def reserve(self, amount_nano: int) -> Balance:
        """The book after holding an amount."""
        return replace(self, reserved_nano=self.reserved_nano + amount_nano)

    def settle(self, held_nano: int, spent_nano: int) -> Balance:
        """The book after replacing a held amount by what was spent."""
        return Balance(self.spent_nano + spent_nano, self.reserved_nano - held_nano)
