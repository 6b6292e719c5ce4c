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
from router.reading import READINGS
from training.fit.foresight import Foresight, fit_foresight, pairs_of
from training.fit.heard import Heard, IntArray
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
    heard: Heard,
    prior: FloatArray,
    held: IntArray,
    orders: Sequence[Sequence[int]],
    agreement: Agreement,
    seed: int = 0,
) -> ConsensusFit:
    """Fitted on what was heard of n queries and m arms.

    prior: P(success) before any token, out of fold, shape (n, m). held, shape (n,): the fold that holds
    each query out. orders: in which the arms may be asked, any of them left out.
    """
    inputs, right = heard.inputs(prior, agreement), heard.right
    words = Words(_out_of_fold(inputs, right, held), heard.same, right)
    groups = sorted({group for order in orders for group in groups_of(order)}, key=lambda g: (len(g), g))
    pairs = {pair for order in orders for pair in pairs_of(order)}
    stands = _stands(words, groups, held, seed)
    foresights = {
        (now, then): fit_foresight(
            stands[now], stands[tuple(sorted(now + then))], prior[:, list(then)].max(axis=1), held
        )
        for now, then in sorted(pairs)
    }
    own = fit_own_chance(inputs, right)
    learnt = _state(heard.arms, agreement, own, fit_votes(words, groups, seed), foresights)
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
    usual = float(votes.strength.mean())
    return {
        **COLD,
        "agreement": agreement.learnt,
        "own": {**dict(zip(arms, own.tolist(), strict=True)), "": _unheard(votes, usual)},
        "strength": {**dict(zip(arms, votes.strength.tolist(), strict=True)), "": usual},
        "weight": votes.weight,
        "further": votes.further,
        "none": votes.none.tolist(),
        "gain": {
            foresight_key([arms[j] for j in now], [arms[j] for j in then]): found.weights.tolist()
            for (now, then), found in foresights.items()
        },
    }


def _unheard(votes: Votes, strength: float) -> list[float]:
    """Of an arm that was not heard among the others: alone, it is as sure as ``agreement`` says."""
    weight = votes.weight or 1.0
    return [(float(votes.none.sum()) - strength) / weight, 1 / weight, *[0.0] * len(READINGS)]
