"""Stopping rules for repeated draws: is another vote worth drawing? ``RULES`` finds this package's modules.

A rule is a frozen dataclass whose fields are its options. It sees what stands while answering and
nothing else: the final answers so far, and how many draws are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from router.registry import Registry


@dataclass(frozen=True, slots=True)
class Draws:
    """What stands. answers: each draw's final answer in the order of drawing, ``None`` where nothing
    could be extracted. left: how many more may be drawn."""

    answers: Sequence[str | None]
    left: int

    @property
    def votes(self) -> list[int]:
        """Votes by answer, the most first; draws without an answer do not vote."""
        counts: dict[str, int] = {}
        for answer in self.answers:
            if answer is not None:
                counts[answer] = counts.get(answer, 0) + 1
        return sorted(counts.values(), reverse=True)

    @property
    def decided(self) -> bool:
        """Whether the draws that are left could not change the winner."""
        first, second = top_two(self.votes)
        return first - second > self.left


class StoppingRule(Protocol):
    """Decides how many draws to make next."""

    name: ClassVar[str]
    summary: ClassVar[str]
    reason: ClassVar[str]
    """Why it stopped, for the trace."""

    def next_batch(self, draws: Draws) -> int:
        """How many more to draw side by side, at most ``draws.left``; 0 stops."""
        ...


RULES: Registry[StoppingRule] = Registry("stopping rule", "router.stopping")


def next_batch(rule: StoppingRule, draws: Draws) -> int:
    """What the rule says, but nothing where the winner is decided or nothing is left."""
    return 0 if draws.decided or draws.left <= 0 else min(rule.next_batch(draws), draws.left)


def top_two(votes: Sequence[int]) -> tuple[int, int]:
    """The two highest counts of votes in falling order, 0 where there is none.

    >>> top_two([4, 1, 1]), top_two([])
    ((4, 1), (0, 0))
    """
    first, second, *_ = [*votes, 0, 0]
    return first, second
