"""Fit of the consensus: each arm's own chance, how words add up, and what further ones would bring.

Each of the three is fitted on what the one before it says of queries that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.confidence.agreement import Agreement
from router.confidence.consensus import COLD, Consensus, foresight_key
from router.estimate import FloatArray
from training.evaluation.grid import IntArray
from training.evaluation.sheet import Sheet
from training.fit.foresight import Foresight, fit_foresight, pairs_of
from training.fit.own_chance import fit_own_chance, own_logits
from training.fit.votes import Group, Stand, Votes, Words, fit_votes, groups_of


@dataclass(frozen=True, slots=True, eq=False)
class ConsensusFit:
    """consensus: fitted on all rows. stands, by group, and foresights, by a group and one after it: out
    of fold."""

    consensus: Consensus
    stands: Mapping[Group, Stand]
    foresights: Mapping[tuple[Group, Group], Foresight]


def fit_consensus(
    sheet: Sheet, rows: IntArray, prior: FloatArray, held: IntArray, order: Sequence[int], seed: int = 0
) -> ConsensusFit:
    """Fitted on some rows of a sheet.

    prior: P(success) before any token, out of fold, shape (rows, m). held, shape (rows,): the fold that
    holds each row out. order: the arms that may be asked, in this order.
    """
    agreement = Agreement()
    inputs, right = sheet.inputs(rows, prior, agreement), sheet.right[rows]
    words = Words(_out_of_fold(inputs, right, held), sheet.same[rows], right)
    groups = groups_of(order)
    stands = _stands(words, groups, held, seed)
    foresights = {
        (now, then): fit_foresight(
            stands[now], stands[tuple(sorted(now + then))], prior[:, list(then)].max(axis=1), held
        )
        for now, then in pairs_of(order)
    }
    own = fit_own_chance(inputs, right)
    learnt = _state(sheet.arms, agreement, own, fit_votes(words, groups, seed), foresights)
    return ConsensusFit(Consensus(learnt), stands, foresights)


def _out_of_fold(inputs: FloatArray, right: FloatArray, held: IntArray) -> FloatArray:
    found = np.zeros_like(right)
    for fold in np.unique(held):
        seen, unseen = held != fold, held == fold
        found[unseen] = own_logits(inputs[unseen], fit_own_chance(inputs[seen], right[seen]))
    return found


def _stands(words: Words, groups: Sequence[Group], held: IntArray, seed: int) -> dict[Group, Stand]:
    """Out of fold, in the rows' order."""
    folds = [np.flatnonzero(held == fold) for fold in np.unique(held)]
    back = np.argsort(np.concatenate(folds))
    found: dict[Group, list[Stand]] = {group: [] for group in groups}
    for unseen in folds:
        votes = fit_votes(words.take(np.setdiff1d(np.arange(len(held)), unseen)), groups, seed)
        for group in groups:
            found[group].append(votes.stand(words.take(unseen), group))
    return {group: _joined(stands, back) for group, stands in found.items()}


def _joined(stands: Sequence[Stand], back: IntArray) -> Stand:
    names = ("first", "second", "none", "right")
    return Stand(*(np.concatenate([getattr(each, name) for each in stands])[back] for name in names))


def _state(
    arms: Sequence[str],
    agreement: Agreement,
    own: FloatArray,
    votes: Votes,
    foresights: Mapping[tuple[Group, Group], Foresight],
) -> dict[str, object]:
    names = (*arms, "")
    strength = [*votes.strength.tolist(), float(votes.strength.mean())]
    return {
        **COLD,
        "agreement": agreement.learnt,
        "own": dict(zip(names, own.tolist(), strict=True)),
        "strength": dict(zip(names, strength, strict=True)),
        "weight": votes.weight,
        "none": votes.none.tolist(),
        "foresight": {
            foresight_key([arms[j] for j in now], [arms[j] for j in then]): found.weights.tolist()
            for (now, then), found in foresights.items()
        },
    }
