"""Fit of the stopping rule by value of information: what more draws gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.estimate import FloatArray
from router.stopping import Draws
from router.stopping.value_of_information import HORIZONS, INPUTS, ValueOfInformation, inputs
from training.evaluation.grid import BoolArray, IntArray
from training.folds import folds
from training.sampling.vote_paths import Paths

OWN = (0, 2)
"""Inputs of which an arm has weights of its own, beside the shared ones: how much voting changes, and how
much agreement means, differs between models."""
RIDGE = 10.0
"""Penalty on standardised weights, in series."""
OWN_DEVIATION = 3.0
"""Prior deviation of an arm's own weight against a shared one's. Inputs, own weights, penalty and deviation
were chosen by cross-validation on training questions of competition mathematics and kinship puzzles."""
STATES_PER_SERIES = 8.0
"""What the states of one series, in all orders, count together: they repeat each other."""
PRICES: tuple[float, ...] = tuple(np.geomspace(2e-4, 2e-2, 25).tolist())
"""Of a draw, in quality units: where the frontier is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Every state of every path, after n = 1..N draws; arrays of shape (series, orders, N). inputs: the
    rule's, shape (..., inputs). decided: the winner cannot change any more. right: whether the vote is
    right. arm, group, shape (series,)."""

    inputs: FloatArray
    decided: BoolArray
    right: FloatArray
    arm: IntArray
    group: IntArray

    @classmethod
    def of(cls, paths: Paths, arm: IntArray, group: IntArray) -> States:
        """As the rule sees them."""
        total = paths.draws
        seen = np.zeros((*paths.right.shape, INPUTS))
        decided = np.zeros(paths.right.shape, np.bool_)
        for i, orders in enumerate(paths.answers):
            for j, answers in enumerate(orders):
                for n in range(1, total + 1):
                    draws = Draws(answers[:n], total - n)
                    seen[i, j, n - 1], decided[i, j, n - 1] = inputs(draws), draws.decided
        return cls(seen, decided, paths.right, arm, group)

    def __len__(self) -> int:
        return len(self.arm)

    def take(self, rows: IntArray) -> States:
        """Those of some of the series."""
        return States(
            self.inputs[rows], self.decided[rows], self.right[rows], self.arm[rows], self.group[rows]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """weights, shape (arms, inputs, horizons)."""

    weights: FloatArray

    def rule(self, arm: int, price: float) -> ValueOfInformation:
        """The served rule of an arm."""
        return ValueOfInformation(price, self.of_arm(arm))

    def of_arm(self, arm: int) -> Mapping[str, Sequence[float]]:
        """The rule's weights by horizon."""
        return {str(horizon): self.weights[arm, :, i].tolist() for i, horizon in enumerate(HORIZONS)}

    def predict(self, states: States) -> FloatArray:
        """Shape (series, orders, N, horizons)."""
        predicted: FloatArray = np.einsum("sonk,skh->sonh", states.inputs, self.weights[states.arm])
        return predicted


def fit_gains(states: States, arms: int) -> Gains:
    """Ridge regression of the realised differences Y[n + j] - Y[n] of the vote's correctness on the
    inputs and, for each arm, the ``OWN`` of them. An arm without series has the shared weights."""
    seen = states.inputs[:, :, :-1]
    scale = np.sqrt((seen**2).mean(axis=(0, 1, 2)))
    scale = np.where(scale > 0, scale, 1.0)
    scales = np.concatenate((scale, np.repeat(scale[list(OWN)] / OWN_DEVIATION, arms)))
    X = np.concatenate([seen, *(_spread(seen[..., i], states.arm, arms) for i in OWN)], axis=3)
    X = X.reshape(-1, X.shape[3]) / scales
    weight = 1 / (seen.shape[1] * STATES_PER_SERIES)
    covariance = weight * (X.T @ X) + RIDGE * np.eye(len(scales))
    found = np.linalg.solve(covariance, weight * (X.T @ _differences(states.right))) / scales[:, None]
    weights = np.repeat(found[None, :INPUTS], arms, axis=0)
    for place, i in enumerate(OWN):
        weights[:, i] += found[INPUTS + place * arms : INPUTS + (place + 1) * arms]
    return Gains(weights)


def _spread(values: FloatArray, arm: IntArray, arms: int) -> FloatArray:
    """The values of each series in the column of its arm, shape (series, orders, N, arms)."""
    columns = np.zeros((*values.shape, arms))
    columns[np.arange(len(arm)), :, :, arm] = values
    return columns


def _differences(right: FloatArray) -> FloatArray:
    """Y[min(n + j, N)] - Y[n], shape (states before the last, horizons)."""
    last = right.shape[2] - 1
    at = np.arange(last)
    columns = [right[:, :, np.minimum(at + horizon, last)] - right[:, :, :-1] for horizon in HORIZONS]
    return np.stack(columns, axis=3).reshape(-1, len(HORIZONS))


def stops(gains: FloatArray, decided: BoolArray, price: float) -> IntArray:
    """Draws made at a price, shape (series, orders): as ``ValueOfInformation`` decides, on all states."""
    total = decided.shape[2]
    left = total - np.arange(1, total + 1)
    spent = price * np.minimum(np.array(HORIZONS)[None], left[:, None])
    stop = decided | ((gains - spent).max(axis=3) <= 0)
    stop[..., -1] = True
    return np.asarray(stop.argmax(axis=2) + 1)


def held_out_gains(states: States, arms: int, seed: int) -> FloatArray:
    """What was fitted without their groups says of all states, shape (series, orders, N, horizons)."""
    held = folds(states.group, seed)
    found = np.zeros((*states.right.shape, len(HORIZONS)))
    for fold in range(int(held.max()) + 1):
        fit, unseen = np.flatnonzero(held != fold), np.flatnonzero(held == fold)
        if len(fit):
            found[unseen] = fit_gains(states.take(fit), arms).predict(states.take(unseen))
    return found


def worth(states: States, gains: FloatArray, price: float) -> float:
    """Mean correctness at a price, less the price of the mean draws. gains: held out."""
    drawn = stops(gains, states.decided, price)
    right = np.take_along_axis(states.right, (drawn - 1)[:, :, None], axis=2)
    return float(right.mean() - price * drawn.mean())
