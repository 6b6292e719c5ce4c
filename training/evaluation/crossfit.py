"""Crossfit: which queries train, which are tested, and estimates of queries that were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from router.errors import InvalidQuery
from router.estimate import Estimate
from training.evaluation.grid import Grid, IntArray
from training.evaluation.stacked import joined
from training.folds import folds

INNER_FOLDS = 4
"""Of a training part, for the estimates that prices are chosen on; as many as a pass of five folds has
beside the one that is tested."""

FINE_FOLDS = 10
"""Likewise, for what is quick to fit. The more folds, the nearer is what was fitted without one to what is
fitted on all, and the less a price that was chosen on the former is beside the point for the latter."""

LABEL_DRAWS = 5
"""How often the labels of one training part are drawn anew where there may be only so many: what one draw
shows is as much its luck as what the labels are worth."""

LEAVE_OUT = ("task", "domain")


@dataclass(frozen=True, slots=True)
class Folds:
    """``repeats`` passes over all queries, each of ``count`` folds.

    >>> Folds.parse("5x3")
    Folds(repeats=5, count=3)
    """

    repeats: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Folds:
        """From ``RxK``, or ``K`` for one pass; ``InvalidQuery`` where it is neither."""
        repeats, cross, count = text.lower().rpartition("x")
        if not (count.isdecimal() and (repeats.isdecimal() or not cross)):
            raise InvalidQuery(f"--folds takes repeats x folds, such as 5x5, not {text!r}.")
        found = cls(int(repeats or 1), int(count))
        if found.repeats < 1 or found.count < 2:
            raise InvalidQuery(f"--folds needs one pass and two folds at least, not {text!r}.")
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of a grid: those trained on, and those tested by what was learnt from them.

    inner, shape (training rows,): the fold in which each is held out for its estimate out of fold. fine:
    likewise, in more folds. repeat: the number of the pass; every tested row stands in one part of each pass.
    """

    train: IntArray
    test: IntArray
    inner: IntArray
    fine: IntArray
    repeat: int = 0


def split_parts(grid: Grid, group: IntArray, seed: int) -> list[Part]:
    """The one part of the logged split; ``InvalidQuery`` where either side is empty, or where all
    training rows are of one group."""
    test = np.flatnonzero(grid.test)
    train = np.flatnonzero(~grid.test)
    for name, rows in (("test", test), ("train", train)):
        if not len(rows):
            raise InvalidQuery(
                f"No query of {grid.dataset} stands in split={name}: give --folds 5x5 to train and test "
                "on all of them in turn."
            )
    return [Part(train, test, _inner(group[train], seed), _fine(group[train], seed))]


def fold_parts(group: IntArray, plan: Folds, seed: int) -> list[Part]:
    """A part for each fold of each pass; rows of one group are never on both sides. ``InvalidQuery``
    where there are fewer groups than folds.

    The inner folds are the pass's other folds, if there are enough: what is fitted without two folds
    then serves for both, at half the fits.
    """
    groups = int(group.max()) + 1
    if groups < plan.count:
        raise InvalidQuery(f"{plan.count} folds need as many groups of queries: there are {groups}.")
    parts = []
    for repeat in range(plan.repeats):
        held = folds(group, seed + repeat, plan.count)
        for fold in range(plan.count):
            train = np.flatnonzero(held != fold)
            inner = held[train] if plan.count > INNER_FOLDS else _inner(group[train], seed)
            fine = _fine(group[train], seed + repeat)
            parts.append(Part(train, np.flatnonzero(held == fold), inner, fine, repeat))
    return parts


def _fine(group: IntArray, seed: int) -> IntArray:
    return folds(group, seed, FINE_FOLDS)


def _inner(group: IntArray, seed: int) -> IntArray:
    held = folds(group, seed, INNER_FOLDS)
    if held.max(initial=0) == 0:
        raise InvalidQuery("All training queries are of one group: nothing can be held out.")
    return held


def without_tested_questions(parts: Sequence[Part], question: IntArray) -> list[Part]:
    """Each part without the training rows whose question is tested: one may stand in several tasks."""
    found = []
    for part in parts:
        kept = ~np.isin(question[part.train], question[part.test])
        train, inner, fine = part.train[kept], part.inner[kept], part.fine[kept]
        found.append(replace(part, train=train, inner=inner, fine=fine))
    return found


def with_labels(parts: Sequence[Part], labels: int, group: IntArray, seed: int) -> list[Part]:
    """Each part with no more than so many training rows, drawn at random; of one part, a pass for each of
    ``LABEL_DRAWS`` draws."""
    if labels < 1:
        raise InvalidQuery(f"--labels must be 1 or more, not {labels}.")
    rng = np.random.default_rng(seed)
    if len(parts) == 1 and labels < len(parts[0].train):
        parts = [replace(parts[0], repeat=draw) for draw in range(LABEL_DRAWS)]
    found = []
    for part in parts:
        train = np.sort(rng.permutation(part.train)[:labels])
        inner, fine = _inner(group[train], seed), _fine(group[train], seed)
        found.append(replace(part, train=train, inner=inner, fine=fine))
    return found


def question_groups(grid: Grid) -> IntArray:
    """The number of each query's question, shape (n,)."""
    return _numbers(grid.keys)


def left_out_groups(grid: Grid, what: str) -> IntArray:
    """The number of each query's task or domain, shape (n,). A query's task is its id without the last
    dash-separated part. ``InvalidQuery`` where the file tells none apart."""
    if what not in LEAVE_OUT:
        raise InvalidQuery(f"--leave-out takes {' or '.join(LEAVE_OUT)}, not {what!r}.")
    names = grid.domains if what == "domain" else [i.rpartition("-")[0] for i in grid.query_ids]
    numbers = _numbers(names)
    found = int(numbers.max()) + 1
    if not 1 < found <= len(grid) / 2:
        raise InvalidQuery(
            f"--leave-out {what}: {grid.dataset} has {found} of them for {len(grid)} queries. A query's task "
            "is its query_id without the last dash-separated part; its domain is the column of that name."
        )
    return numbers


def _numbers(names: Sequence[str]) -> IntArray:
    _, numbers = np.unique(np.array(names), return_inverse=True)
    return numbers.astype(np.int64)


def out_of_fold(fit: Callable[[IntArray], Callable[[IntArray], Estimate]], part: Part) -> Estimate:
    """The estimate of every training row by what was fitted without its inner fold.

    fit: from rows to a function that estimates others. Arrays of shape (training rows, arms).
    """
    order, found = [], []
    for fold in np.unique(part.inner):
        unseen = np.flatnonzero(part.inner == fold)
        found.append(fit(part.train[part.inner != fold])(part.train[unseen]))
        order.append(unseen)
    return joined(found, np.concatenate(order))
