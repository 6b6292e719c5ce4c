"""Fit of what further answers would bring: how much likelier the best answer is to be right after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from router.confidence.consensus import foresight_inputs
from router.estimate import FloatArray
from training.evaluation.grid import IntArray
from training.fit.ridge import ridge
from training.fit.votes import Group, Stand

PENALTY = 30.0
"""On the squared weights of the scaled inputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Foresight:
    """weights: of the inputs, for the gain. out_of_fold, shape (n,): each query's predicted gain by what was
    fitted without it."""

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
    """Learnt from realised differences, right after less right before: two chances fitted apart would each
    bring an error of its own, as large as what they differ by.

    now, then: before and after the further answers; best, shape (n,): the best further arm's own
    P(success); held, shape (n,): the fold that holds each query out.
    """
    stands = zip(now.first.tolist(), now.second.tolist(), now.none.tolist(), best.tolist(), strict=True)
    inputs = np.array([foresight_inputs(*each) for each in stands])
    gained = then.right - now.right
    out = np.zeros(len(inputs))
    for fold in np.unique(held):
        unseen = held == fold
        out[unseen] = inputs[unseen] @ _fit(inputs[~unseen], gained[~unseen])
    return Foresight(_fit(inputs, gained), out)


def _group(order: Sequence[int], places: Sequence[int]) -> Group:
    return tuple(sorted(order[place] for place in places))


def _fit(inputs: FloatArray, gained: FloatArray) -> FloatArray:
    """The first input is 1, whose weight is the constant."""
    return ridge(inputs[:, 1:], gained, PENALTY)
