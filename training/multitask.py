"""Multitask: one penalised linear model of all families' rounds, what they share and what is their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from router.estimate import FloatArray
from training.design import IntArray, Seen
from training.families import Families
from training.folds import MOST_CROSSED
from training.inputs import Inputs, inputs_of
from training.parallel import side_by_side
from training.table import Table

MOST_STEPS = 50
INTERCEPT_DEVIATION, SLOPE_DEVIATION, ARM_DEVIATION = 2.0, 1.0, 1.0
"""Prior deviations of a family's intercept, of its slope on log2(compute) and of an arm's own intercept
(of a family that is not monotone, whose quality may rise and fall again)."""

Loss: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
"""From linear predictor and target to the losses and their derivatives by the predictor."""


def logistic_loss(logit: NDArray[Any], reward: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Log loss of a reward in [0, 1]."""
    small = np.exp(-np.abs(logit))
    losses = np.maximum(logit, 0) - reward * logit + np.log1p(small)
    return losses, np.where(logit > 0, 1, small) / (1 + small) - reward


def gamma_loss(log_mean: NDArray[Any], amount: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Half the gamma deviance, amount / mean - log(amount / mean) - 1. Its minimum is at the mean, not at
    the median, and it judges errors by their ratio [McCullagh & Nelder 1989, section 8.3]."""
    log_ratio = np.minimum(np.log(amount) - log_mean, _MOST_LOG_RATIO)
    ratio = np.exp(log_ratio)
    return ratio - log_ratio - 1, 1 - ratio


_MOST_LOG_RATIO = 40.0


@dataclass(frozen=True, slots=True)
class Deviations:
    """Prior deviations of the weights: of what all families share, and of what is a family's own."""

    shared: float
    own: float


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """weights, shape (inputs, families): shared and own, added up. base, shape (arms,): the constant part."""

    weights: FloatArray
    base: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Multitask:
    """predictor(round) = offset + base_arm + inputs . weights_family, fitted to the target.

    offset, target, shape (rounds,). curvature: of the loss, about; it conditions the search only.
    """

    families: Families
    seen: Seen
    inputs: Inputs
    arm: IntArray
    target: FloatArray
    offset: FloatArray
    loss: Loss
    curvature: float

    @classmethod
    def of_quality(cls, seen: Seen, table: Table) -> Multitask:
        """Log odds of success, around those of all rounds together."""
        rewarded = float(table.weight @ table.reward) + 0.5
        total = float(table.weight.sum()) + 1.0
        offset = np.full(len(table), np.log(rewarded / (total - rewarded)))
        families = seen.design.families
        inputs = _inputs(seen, table.arm)
        return cls(families, seen, inputs, table.arm, table.reward, offset, logistic_loss, 0.15)

    @classmethod
    def of_amount(cls, seen: Seen, table: Table, amount: FloatArray, expected: FloatArray) -> Multitask:
        """The logarithm of an amount's mean, around ``expected``, of shape (rounds,)."""
        families, inputs = seen.design.families, _inputs(seen, table.arm)
        return cls(families, seen, inputs, table.arm, amount, np.log(expected), gamma_loss, 1.0)

    def solve(self, weight: FloatArray, deviations: Deviations) -> Solution:
        """The solution of least penalised loss, rounds weighted by ``weight``, shape (rounds,); slopes of
        monotone families are >= 0."""
        search = _Search(self, weight, deviations)
        with threadpool_limits(1):
            found = minimize(
                search.objective,
                np.zeros(search.size),
                jac=True,
                method="L-BFGS-B",
                bounds=search.bounds(),
                options={"maxiter": MOST_STEPS, "ftol": 3e-6},
            )
        return search.solution(found.x)

    def solutions(self, weights: Sequence[FloatArray], deviations: Deviations) -> list[Solution]:
        """Of each of several weights; of a large problem, two at a time."""
        pieces = [partial(self.solve, weight, deviations) for weight in weights]
        return side_by_side(pieces, large=len(self.arm) > MOST_CROSSED)

    def take(self, rounds: IntArray) -> Multitask:
        """The problem of some of the rounds."""
        seen, arm = self.seen.take(rounds), self.arm[rounds]
        return replace(
            self,
            seen=seen,
            inputs=_inputs(seen, arm),
            arm=arm,
            target=self.target[rounds],
            offset=self.offset[rounds],
        )

    def predictor(self, solution: Solution) -> FloatArray:
        """Of each round, shape (rounds,)."""
        return self.offset + solution.base[self.arm] + self.scores(solution.weights)

    def scores(self, weights: FloatArray) -> FloatArray:
        """inputs . weights of each round, shape (rounds,), for weights of shape (inputs, families)."""
        return self.inputs.scores(weights.T.astype(np.float32)).astype(np.float64)


def _inputs(seen: Seen, arm: IntArray) -> Inputs:
    families = seen.design.families
    return inputs_of(seen.inputs, seen.place, families.of_arm[arm], len(families))


class _Search:
    """The penalised loss as a function of one vector, scaled such that its curvature is about one in
    every direction: the components are orthogonal, so a diagonal does it. Round by round in single
    precision, in sums in double."""

    def __init__(self, problem: Multitask, weight: FloatArray, deviations: Deviations) -> None:
        self.problem = problem
        self.weight = weight.astype(np.float32)
        self.offset, self.target = (each.astype(np.float32) for each in (problem.offset, problem.target))
        self.deviations = deviations
        self.to_base = _to_base(problem.families)
        self.inputs = problem.seen.inputs.shape[1]
        self.scale = self._scale()
        self.size = len(self.scale)

    def objective(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Loss and gradient."""
        z = x * self.scale
        weights, base = self._unpack(z)
        loss, by_weight, by_base = self._loss(weights, base)
        shared = self.deviations.shared * by_weight.sum(axis=0)
        own = self.deviations.own * by_weight
        gradient = np.concatenate((shared, own.ravel(), self.to_base.T @ by_base)) + z
        return loss + float(z @ z) / 2, gradient * self.scale

    def solution(self, x: FloatArray) -> Solution:
        """Of the vector found."""
        weights, base = self._unpack(x * self.scale)
        return Solution(weights.T.astype(np.float64), base)

    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Slopes of monotone families must not be negative."""
        families = self.problem.families
        monotone = np.zeros(len(families), np.bool_)
        monotone[families.of_arm[families.monotone]] = True
        bounds: list[tuple[float | None, float | None]] = [(None, None)] * self.size
        first = self.inputs * (1 + len(families)) + len(families)
        for family in np.flatnonzero(monotone):
            bounds[first + family] = (0.0, None)
        return bounds

    def _unpack(self, z: FloatArray) -> tuple[NDArray[np.float32], FloatArray]:
        """Weights, shape (families, inputs), and the arms' constant parts."""
        split = self.inputs * (1 + len(self.problem.families))
        parts = z[:split].reshape(-1, self.inputs)
        weights = self.deviations.shared * parts[0] + self.deviations.own * parts[1:]
        return weights.astype(np.float32), self.to_base @ z[split:]

    def _loss(
        self, weights: NDArray[np.float32], base: FloatArray
    ) -> tuple[float, NDArray[np.float32], FloatArray]:
        problem = self.problem
        predictor = self.offset + base.astype(np.float32)[problem.arm] + problem.inputs.scores(weights)
        losses, slopes = problem.loss(predictor, self.target)
        slopes *= self.weight
        losses *= self.weight
        by_base = np.bincount(problem.arm, slopes, len(base)).astype(np.float64)
        return float(losses.sum(dtype=np.float64)), problem.inputs.sums(slopes), by_base

    def _scale(self) -> FloatArray:
        problem = self.problem
        squares = problem.inputs.sums(self.weight, squared=True).astype(np.float64)
        rounds = np.bincount(problem.arm, self.weight, len(self.to_base))
        shared = self.deviations.shared**2 * squares.sum(axis=0)
        own = self.deviations.own**2 * squares
        curvature = np.concatenate((shared, own.ravel(), rounds @ np.square(self.to_base)))
        scale: FloatArray = 1 / np.sqrt(1 + problem.curvature * curvature)
        return scale


def _to_base(families: Families) -> FloatArray:
    """From intercepts and slopes of families and intercepts of arms, each of prior deviation one, to the
    arms' constant parts."""
    of_family = np.eye(len(families))[families.of_arm]
    of_arm = np.diag(np.where(families.monotone, 0.0, ARM_DEVIATION))
    slope = SLOPE_DEVIATION * of_family * families.log_compute[:, None]
    return np.concatenate((INTERCEPT_DEVIATION * of_family, slope, of_arm), axis=1)
