"""Never: a fixed number of votes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from router.stopping import Draws


@dataclass(frozen=True, slots=True)
class Never:
    """Draws all at once."""

    name: ClassVar[str] = "never"
    summary: ClassVar[str] = "draws all at once"
    reason: ClassVar[str] = "all drawn"

    def next_batch(self, draws: Draws) -> int:
        """See the contract."""
        return draws.left
