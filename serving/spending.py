"""Spending: what an account has spent and has left of its allowance, as plain values."""

from __future__ import annotations

from typing import Any

from router.ledger import Allowance, Balance
from router.tariff import to_usd


def spending_values(allowance: Allowance, balance: Balance, at: float) -> dict[str, Any]:
    """USD; ``reserved_usd`` is held by plans under way. ``allowance_usd`` and ``left_usd`` are ``None`` where
    there is no cap; ``resets_in_s``: seconds until the window turns, ``None`` for one that never does."""
    cap, left = allowance.amount_nano, balance.left_nano(allowance.amount_nano)
    return {
        "object": "spending",
        "account": allowance.account,
        "window": allowance.key(at),
        "spent_usd": to_usd(balance.spent_nano),
        "reserved_usd": to_usd(balance.reserved_nano),
        "allowance_usd": None if cap is None else to_usd(cap),
        "left_usd": None if left is None else to_usd(left),
        "resets_in_s": None if allowance.window == "total" else round(allowance.seconds_left(at)),
    }
