"""Multitask: one penalised linear model of all families' rounds, what they share and what is their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from router.estimate import FloatArray
from training.design import IntArray, Seen, SingleArray
from training.families import Families
from training.table import Table

MOST_STEPS = 50
INTERCEPT_DEVIATION, SLOPE_DEVIATION, ARM_DEVIATION = 2.0, 1.0, 1.0
"""Prior deviations of a family's intercept, of its slope on log2(compute) and of an arm's own intercept
(of a family that is not monotone, whose quality may rise and fall again)."""

Loss: TypeAlias = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""From linear predictor and target to the losses and their derivatives by the predictor."""


def logistic_loss(logit: FloatArray, reward: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log loss of a reward in [0, 1]."""
    return np.logaddexp(0.0, logit) - reward * logit, 1 / (1 + np.exp(-logit)) - reward


def gamma_loss(log_mean: FloatArray, amount: FloatArray) -> tuple[FloatArray, FloatArray]:
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
class _Task:
    """A family's rounds: rows of the table, and their inputs."""

    rows: IntArray
    inputs: SingleArray

    def at(self, rows: IntArray) -> _Task:
        """At other rows, without those below 0."""
        kept = rows >= 0
        return _Task(rows[kept], self.inputs[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Multitask:
    """predictor(round) = offset + base_arm + inputs . weights_family, fitted to the target.

    offset, target, shape (rounds,). curvature: of the loss, about; it conditions the search only.
    """

    families: Families
    tasks: tuple[_Task, ...]
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
        tasks = _tasks(seen, table)
        return cls(families, tasks, table.arm, table.reward, offset, logistic_loss, 0.15)

    @classmethod
    def of_amount(cls, seen: Seen, table: Table, amount: FloatArray, expected: FloatArray) -> Multitask:
        """The logarithm of an amount's mean, around ``expected``, of shape (rounds,)."""
        families = seen.design.families
        return cls(families, _tasks(seen, table), table.arm, amount, np.log(expected), gamma_loss, 1.0)

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

    def take(self, rounds: IntArray) -> Multitask:
        """The problem of some of the rounds."""
        place = np.full(len(self.arm), -1)
        place[rounds] = np.arange(len(rounds))
        return replace(
            self,
            tasks=tuple(task.at(place[task.rows]) for task in self.tasks),
            arm=self.arm[rounds],
            target=self.target[rounds],
            offset=self.offset[rounds],
        )

    def predictor(self, solution: Solution) -> FloatArray:
        """Of each round, shape (rounds,)."""
        return self.offset + solution.base[self.arm] + self.scores(solution.weights)

    def scores(self, weights: FloatArray) -> FloatArray:
        """inputs . weights of each round, shape (rounds,), for weights of shape (inputs, families)."""
        scores = np.empty(len(self.arm))
        for task, own in zip(self.tasks, weights.T.astype(np.float32), strict=True):
            scores[task.rows] = task.inputs @ own
        return scores


def _tasks(seen: Seen, table: Table) -> tuple[_Task, ...]:
    families = seen.design.families
    family = families.of_arm[table.arm]
    rows = [np.flatnonzero(family == f) for f in range(len(families))]
    return tuple(_Task(each, seen.inputs[seen.place[each]]) for each in rows)


class _Search:
    """The penalised loss as a function of one vector, scaled such that its curvature is about one in
    every direction: the components are orthogonal, so a diagonal does it."""

    def __init__(self, problem: Multitask, weight: FloatArray, deviations: Deviations) -> None:
        self.problem = problem
        self.weight = weight
        self.deviations = deviations
        self.to_base = _to_base(problem.families)
        self.inputs = problem.tasks[0].inputs.shape[1]
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
        problem, total = self.problem, 0.0
        by_weight, by_base = np.zeros_like(weights), np.zeros(len(base))
        for f, task in enumerate(problem.tasks):
            arm, weight = problem.arm[task.rows], self.weight[task.rows]
            predictor = problem.offset[task.rows] + base[arm] + task.inputs @ weights[f]
            losses, slopes = problem.loss(predictor, problem.target[task.rows])
            slopes *= weight
            total += float(weight @ losses)
            by_weight[f] = slopes.astype(np.float32) @ task.inputs
            by_base += np.bincount(arm, slopes, len(base))
        return total, by_weight, by_base

    def _scale(self) -> FloatArray:
        problem = self.problem
        squares = np.stack(
            [self.weight[t.rows].astype(np.float32) @ np.square(t.inputs) for t in problem.tasks]
        ).astype(np.float64)
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
