"""Logistic: a linear model over query x arm; strong already with a few hundred rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.learnt.linear import Linear
from router.learnt.platt import Platt
from router.learnt.projection import Projection
from router.learnt.scaling import Scaling
from router.learnt.spending import Spending
from router.learnt.support import Support
from router.menu import Menu
from router.predictors import FeatureRows, PredictorState, positions


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Quality from the linear logit through Platt; cost and latency from the log-linear model.

    projection: its outputs are the families' shares of quality, of cost and of latency, and after them
    what others than this predictor look at.
    """

    name: ClassVar[str] = "logistic"
    summary: ClassVar[str] = "sparse linear model over words, structure and arms, calibrated per family"

    arms: tuple[str, ...]
    scaling: Scaling
    projection: Projection
    linear: Linear
    platt: Platt
    spending: Spending
    support: Support

    def estimate(self, row: FeatureRow) -> Estimate:
        """See the contract."""
        z, projected = self.scaling(row.dense), self.projection(row)
        return self.of_logits(self.linear.logits(self.scores(z, projected)), z, projected)

    def estimates(self, rows: FeatureRows) -> Estimate:
        """See the contract."""
        z, projected = self.seen(rows)
        return self.of_logits(self.linear.logits(self.scores(z, projected)), z, projected)

    def seen(self, rows: FeatureRows) -> tuple[FloatArray, NDArray[np.float32]]:
        """Scaled dense features, shape (queries, columns), and projections, shape (queries, outputs)."""
        projected = [self.projection(rows.row(i)) for i in range(len(rows.dense))]
        width = self.projection.table.shape[1]
        return self.scaling(rows.dense), np.array(projected, np.float32).reshape(-1, width)

    def scores(self, z: FloatArray, projected: NDArray[np.float32]) -> FloatArray:
        """The families' scores, shape (..., families)."""
        return self.linear.scores(z, projected[..., : self.linear.families])

    def of_logits(self, logits: FloatArray, z: FloatArray, projected: NDArray[np.float32]) -> Estimate:
        """The estimate of logits of shape (..., arms)."""
        families = self.linear.families
        quality = self.platt.probabilities(logits)
        spent = self.spending.predict(z, projected[..., families : 3 * families])
        return Estimate(quality, self.support.deviation(quality), *spent)

    def state(self) -> PredictorState:
        """The parts' arrays."""
        arrays = (
            self.scaling.arrays("scaling")
            | self.projection.arrays("projection")
            | self.linear.arrays("linear")
            | self.platt.arrays("platt")
            | self.spending.arrays("spending")
            | self.support.arrays("support")
        )
        return PredictorState(arrays, {}, {"arms": list(self.arms)})

    @classmethod
    def restore(cls, state: PredictorState, menu: Menu) -> Logistic:
        """See the contract."""
        picked = positions(state.values["arms"], menu)
        return cls(
            tuple(menu.ids),
            Scaling.restore("scaling", state.arrays, picked),
            Projection.restore("projection", state.arrays, picked),
            Linear.restore("linear", state.arrays, picked),
            Platt.restore("platt", state.arrays, picked),
            Spending.restore("spending", state.arrays, picked),
            Support.restore("support", state.arrays, picked),
        )
