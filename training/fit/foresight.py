"""Fit of what further answers would bring: P(the best answer is right after them), from what stands now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from router.confidence.consensus import foresight_inputs
from router.estimate import FloatArray
from training.evaluation.grid import IntArray
from training.fit.votes import Group, Stand

PENALTY = 3.0
"""On the squared weights of the scaled inputs, in nats."""
STEPS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Foresight:
    """weights: of the inputs. out_of_fold, shape (n,): each query's prediction by what was fitted
    without it."""

    weights: FloatArray
    out_of_fold: FloatArray


def pairs_of(order: Sequence[int]) -> Iterator[tuple[Group, Group]]:
    """Every group that may have been asked, with every one that may come after, in this order of asking
    and whoever is left out."""
    for code in range(3 ** len(order)):
        part = [code // 3**place % 3 for place in range(len(order))]
        asked = [place for place, which in enumerate(part) if which == 1]
        further = [place for place, which in enumerate(part) if which == 2]
        if asked and further and asked[-1] < further[0]:
            yield _group(order, asked), _group(order, further)


def fit_foresight(now: Stand, then: Stand, best: FloatArray, held: IntArray) -> Foresight:
    """now, then: before and after the further answers; best, shape (n,): the best further arm's own
    P(success); held, shape (n,): the fold that holds each query out."""
    stands = zip(now.first.tolist(), now.second.tolist(), now.none.tolist(), best.tolist(), strict=True)
    inputs = np.array([foresight_inputs(*each) for each in stands])
    out = np.zeros(len(inputs))
    for fold in np.unique(held):
        unseen = held == fold
        out[unseen] = expit(inputs[unseen] @ _fit(inputs[~unseen], then.right[~unseen]))
    return Foresight(_fit(inputs, then.right), out)


def _group(order: Sequence[int], places: Sequence[int]) -> Group:
    return tuple(sorted(order[place] for place in places))


def _fit(inputs: FloatArray, right: FloatArray) -> FloatArray:
    """Ridge logistic regression by Newton's steps; the first input is 1 and not penalised."""
    center, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    X = (inputs - center) / scale
    X[:, 0] = 1.0
    penalty = np.diag([1e-3] + [PENALTY] * (X.shape[1] - 1))
    weights = np.zeros(X.shape[1])
    for _ in range(STEPS):
        predicted = expit(X @ weights)
        curvature = (X * (predicted * (1 - predicted))[:, None]).T @ X + penalty
        weights = weights + np.linalg.solve(curvature, X.T @ (right - predicted) - penalty @ weights)
    plain = weights / scale
    plain[0] = weights[0] - plain[1:] @ center[1:]
    return plain
