"""Fit of the logistic predictor: a multitask logistic regression, calibrated on itself out of fold."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.learnt.linear import Linear
from router.learnt.platt import Platt
from router.learnt.support import Support
from router.predictors.logistic import Logistic
from training.calibrate import fit_platt
from training.design import Design, Seen
from training.deviations import best_deviations
from training.folds import folds
from training.multitask import Deviations, Multitask, Solution
from training.spending import SpendingFit, fit_spending
from training.table import Table

IntArray = NDArray[np.int64]

NEIGHBOUR = 0.25
"""What a round of another arm of the family tells about an arm, against one of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Of each round, shape (rounds,): logit; shared, the families' mean score of its query; own, its
    family's less that."""

    logit: FloatArray
    shared: FloatArray
    own: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """A fitted linear logit. held, shape (rounds,): the fold that each round was held out with.
    without: the solution without each fold. support: rounds that each arm's predictions rest on."""

    seen: Seen
    problem: Multitask
    deviations: Deviations
    solution: Solution
    held: IntArray
    without: tuple[Solution, ...]
    support: Support

    @property
    def design(self) -> Design:
        """Its inputs."""
        return self.seen.design

    @property
    def out_of_fold(self) -> FloatArray:
        """Each fitted round's logit by a model that saw no near-duplicate of it, shape (rounds,)."""
        return self.scores_out_of_fold().logit

    def scores_out_of_fold(self) -> Scores:
        """Likewise, whole."""
        return _dealt([_scores(self.problem, each) for each in self.without], self.held)

    def logits(self, table: Table) -> FloatArray:
        """Of the rounds of a table over the same menu and features, shape (rounds,)."""
        seen = self.design.seen(table)
        scores = seen.inputs @ self.solution.weights
        family = self.design.families.of_arm[table.arm]
        logits: FloatArray = self.problem.offset[0] + self.solution.base[table.arm]
        return logits + scores[seen.place, family]

    @property
    def linear(self) -> Linear:
        """What serving needs of it, but for the projection."""
        base = self.problem.offset[0] + self.solution.base
        return Linear(base, self.design.families.of_arm, self.design.dense_weights(self.solution.weights))


def fit_logistic(table: Table, seed: int = 0) -> Logistic:
    """The predictor fitted on a table; the calibration is learnt from the same rounds, out of fold."""
    return calibrated(fit_linear(table, seed), table, seed)


def calibrated(fitted: LinearFit, table: Table, seed: int = 0) -> Logistic:
    """The predictor of a linear logit fitted on a table."""
    platt = fit_platt(fitted.out_of_fold, table, fitted.design.families)
    return logistic_of(fitted, fit_spending(fitted.seen, table, seed), platt, table)


def logistic_of(
    fitted: LinearFit, spending: SpendingFit, platt: Platt, table: Table, leading: int = 0
) -> Logistic:
    """The predictor of a fitted linear logit and its calibration; leading: how many components its
    projection ends with."""
    weights = np.concatenate((fitted.solution.weights, *spending.weights), axis=1)
    return Logistic(
        tuple(table.menu.ids),
        fitted.design.scaling,
        fitted.design.projection(weights, leading, table.features.hashed.shape[1]),
        fitted.linear,
        platt,
        spending.spending,
        fitted.support,
    )


def fit_linear(table: Table, seed: int = 0) -> LinearFit:
    """The prior deviations are those of the least log loss out of fold, of what a climb meets."""
    seen = Design.of(table).seen(table)
    problem, held = Multitask.of_quality(seen, table), folds(table.group, seed)
    deviations = best_deviations(problem, table, seed)
    every = range(int(held.max(initial=0)) + 1)
    without = tuple(problem.solve(np.where(held == fold, 0.0, table.weight), deviations) for fold in every)
    logits = np.stack([_scores(problem, each).logit for each in without], axis=1)
    behind = _rounds_behind(seen.design, table)
    support = Support(behind / _inefficiency(logits, behind[table.arm]))
    solution = problem.solve(table.weight, deviations)
    return LinearFit(seen, problem, deviations, solution, held, without, support)


def nested_scores(fitted: LinearFit, table: Table) -> list[Scores]:
    """For each fold: of its rounds, by the model without it; of every other round, by a model that saw
    neither it nor that fold. What is learnt from the others can be judged on the fold."""
    count = len(fitted.without)
    by: dict[tuple[int, int], Scores] = {
        (fold, fold): _scores(fitted.problem, each) for fold, each in enumerate(fitted.without)
    }
    for one in range(count):
        for other in range(one):
            outside = np.isin(fitted.held, (one, other))
            part = fitted.problem.solve(np.where(outside, 0.0, table.weight), fitted.deviations)
            by[one, other] = by[other, one] = _scores(fitted.problem, part)
    return [_dealt([by[fold, other] for other in range(count)], fitted.held) for fold in range(count)]


def _dealt(by_fold: list[Scores], held: IntArray) -> Scores:
    """Each round's scores by the model of its own fold."""
    rows = np.arange(len(held))
    return Scores(
        *(np.stack([getattr(each, item.name) for each in by_fold])[held, rows] for item in fields(Scores))
    )


def _scores(problem: Multitask, solution: Solution) -> Scores:
    own = problem.scores(solution.weights)
    mean = solution.weights.mean(axis=1, keepdims=True)
    shared = problem.scores(np.broadcast_to(mean, solution.weights.shape))
    return Scores(problem.offset + solution.base[problem.arm] + own, shared, own - shared)


def _rounds_behind(design: Design, table: Table) -> FloatArray:
    of_arm = design.families.of_arm
    own = np.bincount(table.arm, minlength=len(table.menu)).astype(np.float64)
    family = np.bincount(of_arm, own, len(design.families))[of_arm]
    return own + NEIGHBOUR * (family - own)


def _inefficiency(by_fold: FloatArray, behind: FloatArray) -> float:
    """How much larger the variance of the predicted probabilities is than that of a plain share of as
    many rounds: by the delete-a-group jackknife over the folds' models, (K - 1) / K sum (q_k - mean)^2."""
    predicted = 1 / (1 + np.exp(-by_fold))
    count = predicted.shape[1]
    if count < 2:
        return 1.0
    variance = (count - 1) * predicted.var(axis=1)
    mean = predicted.mean(axis=1)
    plain = mean * (1 - mean) / (behind + 2)
    return float(np.clip(variance.mean() / max(float(plain.mean()), 1e-12), 0.25, 25.0))
