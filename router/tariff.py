"""Tariff: what an upstream bills. Money is counted in integer nano-dollars (1e-9 USD)."""

from __future__ import annotations

from dataclasses import dataclass

NANO_PER_USD = 1_000_000_000


def to_nano(usd: float) -> int:
    """US dollars as nano-dollars, rounded to the nearest."""
    return round(usd * NANO_PER_USD)


def to_usd(nano: int) -> float:
    """Nano-dollars as US dollars."""
    return nano / NANO_PER_USD


@dataclass(frozen=True, slots=True)
class Tariff:
    """A model's list price, in USD per million tokens.

    >>> Tariff(0.5, 1.5).cost_nano(prompt_tokens=1000, completion_tokens=100)
    650000
    """

    usd_per_million_prompt_tokens: float
    usd_per_million_completion_tokens: float

    def cost_nano(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Cost of one call in nano-dollars, rounded up so that a cap is never undercut."""
        nano_per_million = prompt_tokens * to_nano(
            self.usd_per_million_prompt_tokens
        ) + completion_tokens * to_nano(self.usd_per_million_completion_tokens)
        return -(-nano_per_million // 1_000_000)
