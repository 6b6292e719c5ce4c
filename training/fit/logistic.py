"""Fit of the logistic predictor: a multitask logistic regression, calibrated on itself out of fold."""

from __future__ import annotations

from collections.abc import Sequence
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
from training.folds import Unseen, unseen, weights_without
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
    """A fitted linear logit. unseen: the rounds that are predicted out of fold. without: the solutions
    that did not see them. judged: the problem of those rounds alone. support: rounds that each arm's
    predictions rest on."""

    seen: Seen
    problem: Multitask
    deviations: Deviations
    solution: Solution
    unseen: Unseen
    without: tuple[Solution, ...]
    judged: Multitask
    support: Support

    @property
    def design(self) -> Design:
        """Its inputs."""
        return self.seen.design

    @property
    def out_of_fold(self) -> FloatArray:
        """Each unseen round's logit by a model that saw no near-duplicate of it, shape (unseen,)."""
        return self.scores_out_of_fold().logit

    def scores_out_of_fold(self) -> Scores:
        """Likewise, whole."""
        return _dealt([_scores(self.judged, each) for each in self.without], self.unseen.by)

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
    platt = fit_platt(fitted.out_of_fold, table.take(fitted.unseen.rounds), fitted.design.families)
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
    seen, apart = Design.of(table).seen(table), unseen(table.group, seed)
    problem = Multitask.of_quality(seen, table)
    deviations = best_deviations(problem, table, seed)
    weights = [table.weight, *(weights_without(table.weight, rows) for rows in apart.left_out)]
    solution, *without = problem.solutions(weights, deviations)
    judged = problem.take(apart.rounds)
    behind = _rounds_behind(seen.design, table)
    variance = _variance(judged, without, solution, len(table) / len(apart.left_out[0]))
    support = Support(behind / _inefficiency(variance, behind[judged.arm]))
    return LinearFit(seen, problem, deviations, solution, apart, tuple(without), judged, support)


def nested_scores(fitted: LinearFit, table: Table) -> list[Scores]:
    """For each fold of the unseen rounds: of its own, by the model without it; of every other, by a model
    that saw neither it nor that fold. What is learnt from the others can be judged on the fold."""
    unseen = fitted.unseen
    if not unseen.crossed:
        return [fitted.scores_out_of_fold()] * (int(unseen.fold.max(initial=0)) + 1)
    count = len(fitted.without)
    by: dict[tuple[int, int], Scores] = {
        (fold, fold): _scores(fitted.judged, each) for fold, each in enumerate(fitted.without)
    }
    for one in range(count):
        for other in range(one):
            outside = np.concatenate((unseen.left_out[one], unseen.left_out[other]))
            part = fitted.problem.solve(weights_without(table.weight, outside), fitted.deviations)
            by[one, other] = by[other, one] = _scores(fitted.judged, part)
    return [_dealt([by[fold, other] for other in range(count)], unseen.fold) for fold in range(count)]


def _dealt(by_model: list[Scores], by: IntArray) -> Scores:
    """Each round's scores by its own model."""
    rows = np.arange(len(by))
    return Scores(
        *(np.stack([getattr(each, item.name) for each in by_model])[by, rows] for item in fields(Scores))
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


def _variance(
    judged: Multitask, without: Sequence[Solution], whole: Solution, parts: float
) -> tuple[FloatArray, FloatArray]:
    """Of the predicted probabilities, shape (unseen,): their mean over models, and the variance of a model
    of all rounds, by the delete-a-group jackknife: (K - 1) times that among the models without each of
    the K groups; with one of them alone left out, times its squared distance from the model of all."""
    predicted = np.stack([1 / (1 + np.exp(-_scores(judged, each).logit)) for each in without], axis=1)
    mean = predicted.mean(axis=1)
    if predicted.shape[1] > 1:
        return mean, (predicted.shape[1] - 1) * predicted.var(axis=1)
    of_all = 1 / (1 + np.exp(-_scores(judged, whole).logit))
    return mean, np.maximum(parts - 1, 0.0) * np.square(mean - of_all)


def _inefficiency(predicted: tuple[FloatArray, FloatArray], behind: FloatArray) -> float:
    """How much larger the variance of the predicted probabilities is than that of a plain share of as
    many rounds."""
    mean, variance = predicted
    plain = mean * (1 - mean) / (behind + 2)
    return float(np.clip(variance.mean() / max(float(plain.mean()), 1e-12), 0.25, 25.0))
