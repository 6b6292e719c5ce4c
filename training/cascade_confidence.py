"""Cascade confidence: what the menu's cascades go by, learnt from questions that all stages answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.behaviour import Likeness, asks_for_code
from router.confidence import Evidence
from router.confidence.agreement import Agreement, leader
from router.confidence.consensus import Consensus
from router.estimate import FloatArray
from router.menu import Menu
from router.strategies.cascade import Cascade
from training.fit.consensus import fit_consensus
from training.fit.difficulty import fit_difficulty
from training.fit.heard import Heard, IntArray
from training.folds import folds
from training.held_out import estimates_by_round
from training.likeness import MOST_COMPARED, Remembered, thinned
from training.rounds import Round
from training.table import Table

LEAST_QUESTIONS = 60
"""Fewer questions that all stages answered teach no consensus: ``agreement`` serves."""
MOST_QUESTIONS = 20_000
MOST_STAGES = 6
"""Longer cascades are not learnt: there are too many ways through them."""
FOLDS = 4
MOST_FITTED = 50_000
"""The predictors out of fold are fitted on no more rounds."""
RIGHT_FROM = 0.5
"""A reward from here on counts as right."""

Order = tuple[str, ...]
Answers = Mapping[str, Mapping[str, Sequence[int]]]
"""By question key and arm: the numbers of the rounds that hold its different answers."""


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Questions that every stage answered. orders: of the cascades, as numbers of ``heard.arms``. rounds,
    shape (questions, arms): the number of the round that holds each answer."""

    orders: tuple[tuple[int, ...], ...]
    heard: Heard
    rounds: IntArray


def fit_cascades(
    rounds: Sequence[Round],
    table: Table,
    menu: Menu,
    agreement: Agreement,
    kind: str,
    seed: int,
    likeness: Likeness | None = None,
) -> Consensus | None:
    """The consensus for the cascades of the menu, ``None`` where no cascade's stages have answered
    enough questions together.

    P(success) before any token, on which it builds, is told out of fold by predictors of the same
    ``kind`` as the one that serves. agreement: of each arm's own candidates. likeness: as the service has it.
    """
    found = answered(rounds, cascades_of(menu), seed, likeness)
    held = folds(table.group, seed, FOLDS)
    if found is None or not held.any():
        return None
    prior = _prior(table, found.rounds, held, kind, seed)
    return fit_consensus(
        found.heard, prior, held[found.rounds[:, 0]], found.orders, agreement, seed
    ).consensus


def cascades_of(menu: Menu) -> list[Order]:
    """The different orders in which the menu's cascades ask their stages, by arm id."""
    found = [
        tuple(dict.fromkeys(stage.arm_id for stage in arm.strategy.stages))
        for arm in menu
        if isinstance(arm.strategy, Cascade)
    ]
    return [order for order in dict.fromkeys(found) if 2 <= len(order) <= MOST_STAGES]


def answered(
    rounds: Sequence[Round], orders: Iterable[Order], seed: int = 0, likeness: Likeness | None = None
) -> Answered | None:
    """What the stages of as many cascades as possible were heard to say, those first whose stages
    answered the most questions together."""
    answers = _answers(rounds, {arm for order in orders for arm in order})
    kept: list[Order] = []
    rows = np.zeros((0, 0), np.int64)
    for order in sorted(orders, key=lambda order: -len(_together(answers, order))):
        found = _together(answers, _arms([*kept, order]))
        if len(found) >= LEAST_QUESTIONS:
            kept, rows = [*kept, order], found
    if not kept:
        return None
    rows = rows[thinned(range(len(rows)), MOST_QUESTIONS, seed)]
    if likeness is not None:
        compared = [i for i, row in enumerate(rows) if asks_for_code(rounds[row[0]].query)]
        left_out = set(compared) - set(thinned(compared, MOST_COMPARED, seed))
        rows = np.delete(rows, sorted(left_out), axis=0)
    arms = _arms(kept)
    places = tuple(tuple(arms.index(arm) for arm in order) for order in kept)
    return Answered(places, _heard(rounds, arms, rows, likeness), rows)


def _arms(orders: Sequence[Order]) -> Order:
    return tuple(dict.fromkeys(arm for order in orders for arm in order))


def _answers(rounds: Sequence[Round], arms: set[str]) -> Answers:
    """Equal replies of one arm to one question tell nothing new: the first counts."""
    found: dict[str, dict[str, dict[tuple[str, ...], int]]] = defaultdict(lambda: defaultdict(dict))
    for i, r in enumerate(rounds):
        if r.candidates and r.arm in arms:
            found[r.question_key][r.arm].setdefault(tuple(each.text for each in r.candidates), i)
    return {key: {arm: list(each.values()) for arm, each in by.items()} for key, by in found.items()}


def _together(answers: Answers, arms: Order) -> IntArray:
    """The questions that all these arms answered, as often as each did, shape (questions, arms). Of several
    answers each arm's are taken from another one on: two arms may have been replayed over the same draws."""
    of_arms = [[of_arm.get(arm, ()) for arm in arms] for of_arm in answers.values()]
    rows = [
        [each[(i + place) % len(each)] for place, each in enumerate(mine)]
        for mine in of_arms
        for i in range(min(map(len, mine)))
    ]
    return np.array(rows, np.int64).reshape(-1, len(arms))


def _heard(rounds: Sequence[Round], arms: Order, rows: IntArray, likeness: Likeness | None) -> Heard:
    evidence = [[_evidence(rounds[i]) for i in row] for row in rows]
    reward = np.array([r.reward for r in rounds])[rows]
    queries = [rounds[row[0]].query for row in rows]
    replies = [[each.candidates[leader(each)].text for each in row] for row in evidence]
    found = Remembered.of(likeness, queries, replies)
    return Heard.of(arms, evidence, (reward >= RIGHT_FROM).astype(np.float64), found)


def _evidence(r: Round) -> Evidence:
    return Evidence(0.5, r.candidates, (None,) * len(r.candidates), r.query, r.arm)


def _prior(table: Table, rounds: IntArray, held: IntArray, kind: str, seed: int) -> FloatArray:
    """P(success) of rounds by what was fitted without their fold, in the shape of ``rounds``."""
    prior = np.zeros(rounds.shape)
    rng = np.random.default_rng(seed)
    for fold in np.unique(held[rounds]):
        here, known = held[rounds] == fold, np.flatnonzero(held != fold)
        if len(known) > MOST_FITTED:
            known = np.sort(rng.choice(known, MOST_FITTED, replace=False))
        fitted = fit_difficulty(table.take(known), seed, kind)
        part = table.take(rounds[here])
        prior[here] = estimates_by_round(fitted, part).quality[np.arange(len(part)), part.arm]
    return prior
