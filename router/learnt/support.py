"""Support: how many rounds a prediction rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.estimate import FloatArray
from router.learnt import Part


@dataclass(frozen=True, slots=True, eq=False)
class Support(Part):
    """rounds, shape (arms,): effective number of rounds behind an arm's predictions."""

    per_arm: ClassVar[frozenset[str]] = frozenset({"rounds"})

    rounds: FloatArray

    def deviation(self, quality: FloatArray) -> FloatArray:
        """sqrt(q (1 - q) / (n + 2)): the deviation of a share of n rounds, with two added so that no
        rounds at all do not look certain [Agresti & Coull 1998]. Shape (arms,)."""
        return np.sqrt(quality * (1 - quality) / (self.rounds + 2))
