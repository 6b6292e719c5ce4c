"""Usage: what was spent. Usages add up."""

from __future__ import annotations

from dataclasses import dataclass

from router.tariff import to_usd


@dataclass(frozen=True, slots=True)
class Usage:
    """Compute spent by one call, one plan or many.

    cost_nano: nano-dollars. model_s: seconds spent waiting for models, summed over calls (parallel
    calls count in full, so it may exceed the wall time).

    >>> (Usage(1, 10, 5, 900) + Usage(2, 20, 7, 100)).total_tokens
    42
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano: int = 0
    model_s: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        if self is NOTHING or other is NOTHING:
            return other if self is NOTHING else self
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_nano + other.cost_nano,
            self.model_s + other.model_s,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.calls - other.calls,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cost_nano - other.cost_nano,
            self.model_s - other.model_s,
        )

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost_usd(self) -> float:
        """US dollars."""
        return to_usd(self.cost_nano)


NOTHING = Usage()
