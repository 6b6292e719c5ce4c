"""Early-stopping self-consistency (ESC): stop at the first window of draws that agree (Li et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from router.errors import ConfigurationError
from router.stopping import Draws


@dataclass(frozen=True, slots=True)
class Esc:
    """Draws windows of ``window`` answers side by side, and stops after one in which all are the same.

    A draw without an answer is no vote: the window is filled up until it holds ``window`` votes.
    """

    name: ClassVar[str] = "esc"
    summary: ClassVar[str] = "stops after a window of draws that all agree"
    reason: ClassVar[str] = "a whole window agrees"

    window: int = 5

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ConfigurationError(f"esc needs a window of 2 or more draws, not {self.window}.")

    def next_batch(self, draws: Draws) -> int:
        """See the contract."""
        voted = [answer for answer in draws.answers if answer is not None]
        begun = len(voted) % self.window
        if begun or not voted:
            return self.window - begun
        return 0 if len(set(voted[-self.window :])) == 1 else self.window
