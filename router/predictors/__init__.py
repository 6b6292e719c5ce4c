"""Difficulty predictors: before any token, each arm's P(success), cost and latency.

``PREDICTORS`` finds the modules of this package. A predictor here only predicts, from plain arrays
(and LightGBM's text): fitting stands in ``training/fit``, and a bundle carries the state between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.menu import Menu
from router.registry import Registry

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class PredictorState:
    """Learnt state in a form that no loader must execute: arrays, texts (a booster's), JSON values."""

    arrays: Arrays
    texts: Mapping[str, str]
    values: Mapping[str, Any]


class FeatureRows(Protocol):
    """The features of several queries."""

    @property
    def dense(self) -> FloatArray:
        """Shape (queries, columns)."""
        ...

    def row(self, i: int) -> FeatureRow:
        """One query's."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The features of a few queries, one by one."""

    rows: Sequence[FeatureRow]

    @property
    def dense(self) -> FloatArray:
        """Shape (queries, columns)."""
        return np.array([row.dense for row in self.rows])

    def row(self, i: int) -> FeatureRow:
        """One query's."""
        return self.rows[i]


class Estimator(Protocol):
    """Predicts one row per arm of a menu."""

    def estimate(self, row: FeatureRow) -> Estimate:
        """The estimate for one query; arrays of shape (arms,) in the menu's order."""
        ...

    def estimates(self, rows: FeatureRows) -> Estimate:
        """The estimates for several queries at once, each as ``estimate`` gives it; arrays of shape
        (queries, arms)."""
        ...


class DifficultyPredictor(Estimator, Protocol):
    """Predicts for the menu it was made for, by what was learnt."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def state(self) -> PredictorState:
        """The learnt state, for a bundle."""
        ...

    @classmethod
    def restore(cls, state: PredictorState, menu: Menu) -> DifficultyPredictor:
        """The predictor of a state, its rows in the order of ``menu``. ``BundleError`` where the
        state knows an arm of the menu not."""
        ...


PREDICTORS: Registry[DifficultyPredictor] = Registry("predictor", "router.predictors")


def positions(known: Sequence[str], menu: Menu) -> NDArray[np.int64]:
    """Where each arm of the menu stands among the known ids, shape (arms,); ``BundleError`` where one
    does not."""
    from router.errors import BundleError

    where = {arm_id: i for i, arm_id in enumerate(known)}
    missing = [arm_id for arm_id in menu.ids if arm_id not in where]
    if missing:
        raise BundleError(
            f"The bundle does not know these arms of the menu: {', '.join(missing)}. It knows: "
            f"{', '.join(known)}. Train on traces of this menu, or serve the menu it was trained on."
        )
    return np.array([where[arm_id] for arm_id in menu.ids])
