"""Platt: a calibrated probability from a logit [Platt 1999]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.estimate import FloatArray
from router.learnt import Part

LEAST = 1e-4
"""No prediction is more certain than this, either way."""


@dataclass(frozen=True, slots=True, eq=False)
class Platt(Part):
    """q_a = sigmoid(slope_a * logit_a + shift_a), shape (arms,); slopes > 0, the same for every arm of
    a family, so that it keeps the order of a family's arms."""

    per_arm: ClassVar[frozenset[str]] = frozenset({"slope", "shift"})

    slope: FloatArray
    shift: FloatArray

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """In [1e-4, 1 - 1e-4]."""
        quality = 1 / (1 + np.exp(-(self.slope * logits + self.shift)))
        return np.minimum(np.maximum(quality, LEAST), 1 - LEAST)
