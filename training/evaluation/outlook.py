"""Outlook: before any answer, whether a query is better asked along a cascade or straight of one arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from router.estimate import Estimate, FloatArray
from router.price import Price
from router.run import net_worth
from training.evaluation.grid import IntArray
from training.evaluation.stacked import chosen
from training.evaluation.walk import Walk
from training.fit.ridge import ridge

PENALTY = 300.0
"""On the squared weights of the scaled inputs: a few hundred queries must agree before the average gain of
the cascade is moved by what is told of one."""

BETWEEN = (0.001, 0.999)
"""No prediction counts as more certain."""


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """Queries before any of their answers. estimate: what the difficulty predictor says of them. reward,
    cost_usd, shape (n, arms): what each arm alone would bring."""

    estimate: Estimate
    reward: FloatArray
    cost_usd: FloatArray

    def straight(self, price: Price) -> IntArray:
        """The arm that is asked where no cascade is, shape (n,)."""
        return chosen(self.estimate, price)

    def gain(self, walk: Walk, price: Price) -> FloatArray:
        """How much more the cascade brings than the arm asked straight, in quality units, shape (n,)."""
        rows = np.arange(len(self.reward))
        stage, arm = walk.stage(price), self.straight(price)
        asked = net_worth(walk.reward[rows, stage], walk.cost_usd[rows, stage], price)
        alone: FloatArray = net_worth(self.reward[rows, arm], self.cost_usd[rows, arm], price)
        return asked - alone

    def inputs(self, price: Price) -> FloatArray:
        """Of each arm the logit of P(success) and the utility; the best utility, and by how much it leads.
        Shape (n, 2 arms + 2)."""
        quality, utility = np.clip(self.estimate.quality, *BETWEEN), price.utility(self.estimate, 1.0)
        ranked = np.sort(utility, axis=1)
        best = ranked[:, -1]
        return np.column_stack((logit(quality), utility, best, best - ranked[:, -2]))


def fit_outlook(ahead: Ahead, walk: Walk, price: Price, rows: IntArray) -> Callable[[FloatArray], FloatArray]:
    """From inputs to the expected gain of a cascade, learnt from some rows at one price."""
    weights = ridge(ahead.inputs(price)[rows], ahead.gain(walk, price)[rows], PENALTY)
    return lambda inputs: np.asarray(inputs @ weights[1:] + weights[0])
