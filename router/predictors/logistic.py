"""Logistic: a linear model over query x arm; strong already with a few hundred rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from router.estimate import Estimate
from router.features import FeatureRow
from router.learnt.linear import Linear
from router.learnt.platt import Platt
from router.learnt.scaling import Scaling
from router.learnt.spending import Spending
from router.learnt.support import Support
from router.menu import Menu
from router.predictors import PredictorState, positions


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Quality from the linear logit through Platt; cost and latency from the log-linear model."""

    name: ClassVar[str] = "logistic"
    summary: ClassVar[str] = "sparse linear model over words, structure and arms, calibrated per family"

    arms: tuple[str, ...]
    scaling: Scaling
    linear: Linear
    platt: Platt
    spending: Spending
    support: Support

    def estimate(self, row: FeatureRow) -> Estimate:
        """See the contract."""
        z = self.scaling(row.dense)
        quality = self.platt.probabilities(self.linear.logits(z, row))
        return Estimate(quality, self.support.deviation(quality), *self.spending.predict(z))

    def state(self) -> PredictorState:
        """The parts' arrays."""
        arrays = (
            self.scaling.arrays("scaling")
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
            Linear.restore("linear", state.arrays, picked),
            Platt.restore("platt", state.arrays, picked),
            Spending.restore("spending", state.arrays, picked),
            Support.restore("support", state.arrays, picked),
        )
