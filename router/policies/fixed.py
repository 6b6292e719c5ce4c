"""Fixed: always the same arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.errors import InfeasibleQuery
from router.estimate import FloatArray
from router.policies import Choice


@dataclass(frozen=True, slots=True)
class Fixed:
    """pi(a given x) = 1 for ``arm``; ``InfeasibleQuery`` where that arm cannot serve the query."""

    name: ClassVar[str] = "fixed"
    summary: ClassVar[str] = "always the same arm"
    arm: str

    def distribution(self, choice: Choice) -> FloatArray:
        """All mass on the arm."""
        position = choice.menu.position.get(self.arm)
        if position is None or not choice.feasible[position]:
            raise InfeasibleQuery(f"The arm {self.arm!r} cannot serve this request.", "model")
        mass = np.zeros(len(choice.menu))
        mass[position] = 1.0
        return mass
