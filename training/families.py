"""Families: the menu's arms by what they are but for their place on the compute ladder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.menu import Menu

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Families:
    """names: in order of appearance. of_arm: each arm's family, shape (arms,). log_compute:
    log2(compute), shape (arms,). monotone: whether more compute cannot hurt, shape (arms,). model:
    code of the arm's models, shape (arms,)."""

    names: tuple[str, ...]
    of_arm: IntArray
    log_compute: FloatArray
    monotone: NDArray[np.bool_]
    model: IntArray

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, menu: Menu) -> Families:
        """The families of a menu."""
        families, of_arm = _codes([arm.family for arm in menu])
        _, model = _codes(["+".join(card.name for card in arm.models) for arm in menu])
        log_compute = np.log2([max(arm.compute, 1.0) for arm in menu])
        monotone = np.array([arm.monotone for arm in menu])
        return cls(tuple(families), of_arm, log_compute, monotone, model)


def _codes(names: list[str]) -> tuple[list[str], IntArray]:
    distinct = list(dict.fromkeys(names))
    return distinct, np.array([distinct.index(name) for name in names], np.int64)
