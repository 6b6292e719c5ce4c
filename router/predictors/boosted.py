"""Boosted: gradient-boosted trees on top of the linear model; for thousands of rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from router.errors import BundleError
from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.learnt.attributes import Attributes
from router.menu import Menu
from router.predictors import PredictorState, positions
from router.predictors.logistic import Logistic


@dataclass(frozen=True, slots=True, eq=False)
class Boosted:
    """logit = linear logit + trees(scaled dense features, the arm's attributes), then Platt.

    Monotone where the arm's family is: in the trees by a constraint on the only column that depends
    on compute there, in the linear logit by its slope. linear: its parts and all but the trees;
    its Platt is that of the sum.
    """

    name: ClassVar[str] = "boosted"
    summary: ClassVar[str] = "LightGBM on top of the linear score; monotone in compute where declared"

    linear: Logistic
    attributes: Attributes
    booster: Any

    def estimate(self, row: FeatureRow) -> Estimate:
        """See the contract."""
        base = self.linear
        z = base.scaling(row.dense)
        logits = base.linear.logits(z, row) + self._trees(z)
        quality = base.platt.probabilities(logits)
        return Estimate(quality, base.support.deviation(quality), *base.spending.predict(z))

    def _trees(self, z: FloatArray) -> FloatArray:
        rows = self.attributes.rows(z)
        raw: FloatArray = self.booster.predict(rows, raw_score=True, num_threads=1)
        return raw

    def state(self) -> PredictorState:
        """The linear parts' arrays, the attributes, and the trees as LightGBM's text."""
        linear = self.linear.state()
        arrays = {**linear.arrays, **self.attributes.arrays("attributes")}
        return PredictorState(arrays, {"booster": self.booster.model_to_string()}, linear.values)

    @classmethod
    def restore(cls, state: PredictorState, menu: Menu) -> Boosted:
        """See the contract. Imports LightGBM."""
        linear = Logistic.restore(state, menu)
        picked = positions(state.values["arms"], menu)
        return cls(linear, Attributes.restore("attributes", state.arrays, picked), _booster(state))


def _booster(state: PredictorState) -> Any:
    import lightgbm

    if "booster" not in state.texts:
        raise BundleError("The bundle lacks the text 'booster'.")
    try:
        return lightgbm.Booster(model_str=state.texts["booster"])
    except lightgbm.basic.LightGBMError as error:
        raise BundleError(f"The bundle's trees cannot be read: {error}.") from error
