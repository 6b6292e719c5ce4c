"""Boosted: gradient-boosted trees on top of the linear model; for thousands of rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from router.errors import BundleError
from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.learnt.attributes import Attributes
from router.menu import Menu
from router.predictors import FeatureRows, PredictorState, positions
from router.predictors.logistic import Logistic

_AT_ONCE = 4096
"""Queries whose trees are walked at once: it bounds the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Boosted:
    """logit = linear logit + trees(x, own, the arm's attributes), then Platt.

    x: the scaled dense features, the question's leading components and the families' mean score; own:
    the family's score less that mean. Monotone where the arm's family is: in the trees by a constraint
    on the only column that depends on compute there, in the linear logit by its slope. linear: its
    parts and all but the trees; its Platt is that of the sum.
    """

    name: ClassVar[str] = "boosted"
    summary: ClassVar[str] = "LightGBM on top of the linear score; monotone in compute where declared"

    linear: Logistic
    attributes: Attributes
    booster: Any

    def estimate(self, row: FeatureRow) -> Estimate:
        """See the contract."""
        base = self.linear
        z, projected = base.scaling(row.dense), base.projection(row)
        scores = base.scores(z, projected)
        x, own = known(z, projected[3 * base.linear.families :], scores)
        raw = self._raw(self.attributes.rows(x, own[base.linear.family]))
        return base.of_logits(base.linear.logits(scores) + raw, z, projected)

    def estimates(self, rows: FeatureRows) -> Estimate:
        """See the contract."""
        base, count = self.linear, self.attributes.arms
        z, projected = base.seen(rows)
        scores = base.scores(z, projected)
        x, own = known(z, projected[:, 3 * base.linear.families :], scores)
        raw = np.empty((len(z), count))
        for start in range(0, len(z), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            of_arm = own[some][:, base.linear.family].ravel()
            arms = np.tile(np.arange(count), len(of_arm) // count)
            matrix = self.attributes.rows(np.repeat(x[some], count, axis=0), of_arm, arms)
            raw[some] = self._raw(matrix).reshape(-1, count)
        return base.of_logits(base.linear.logits(scores) + raw, z, projected)

    def _raw(self, rows: FloatArray) -> FloatArray:
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


def known(
    z: FloatArray, components: NDArray[np.float32], scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What the trees see of a query, shape (..., columns), and of each family, shape (..., families)."""
    shared = np.add.reduce(scores, axis=-1, keepdims=True) / scores.shape[-1]
    return np.concatenate((z, components, shared), axis=-1), scores - shared


def _booster(state: PredictorState) -> Any:
    import lightgbm

    if "booster" not in state.texts:
        raise BundleError("The bundle lacks the text 'booster'.")
    try:
        return lightgbm.Booster(model_str=state.texts["booster"])
    except lightgbm.basic.LightGBMError as error:
        raise BundleError(f"The bundle's trees cannot be read: {error}.") from error
