"""Incumbent: the bundle that serves now, beside a new predictor on rounds that neither was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from router.bundle import Bundle
from router.estimate import FloatArray
from router.menu import Menu
from training.measures import log_losses, mean_interval
from training.rounds import Round
from training.table import IntArray, features_of

LEAST_QUESTIONS = 30
"""With fewer, an interval would say more than it knows."""


@dataclass(frozen=True, slots=True, eq=False)
class Incumbent:
    """bundle: loaded for the menu. learnt_until: the time of the latest round that it learnt from, Unix
    seconds; ``-inf`` where none of the rounds can have taught it, ``None`` where that is not known."""

    bundle: Bundle
    learnt_until: float | None


def newest_questions(incumbent: Incumbent, rounds: Sequence[Round], group: IntArray) -> IntArray:
    """The numbers of the groups to compare on: of those that are new to the incumbent, the later half. The
    other half is learnt from, so that the new predictor has seen all that the incumbent has, and more.

    group, shape (rounds,): near-duplicates have the same number. A group is as old as its first round; one
    with a round of unknown time is not new.
    """
    if incumbent.learnt_until is None:
        return np.zeros(0, np.int64)
    times = np.array([-np.inf if r.created_at is None else r.created_at for r in rounds])
    first = np.full(int(group.max(initial=-1)) + 1, np.inf)
    np.minimum.at(first, group, times)
    new = np.flatnonzero(np.isfinite(first) & (first > incumbent.learnt_until))
    return new[np.argsort(first[new], kind="stable")][len(new) // 2 :]


def against_incumbent(
    incumbent: Incumbent,
    menu: Menu,
    rounds: Sequence[Round],
    quality: FloatArray,
    group: IntArray,
    seed: int = 0,
) -> dict[str, Any]:
    """Plain values for a manifest: ``version`` of the incumbent, ``rounds`` and ``questions`` compared, both
    log losses in nats, and ``gain``, the incumbent's less the new one's with its 95 % bootstrap interval
    over groups: above 0, the new one predicts better.

    rounds: new to both, of the menu's arms. quality, shape (rounds,): the new predictor's P(success) of each
    round's arm. group: see ``newest_questions``.
    """
    reward = np.array([r.reward for r in rounds])
    features = features_of([r.query for r in rounds], incumbent.bundle.extractor)
    arm = [menu.position[r.arm] for r in rounds]
    theirs = incumbent.bundle.difficulty.estimates(features).quality[np.arange(len(rounds)), arm]
    before, now = log_losses(theirs, reward), log_losses(quality, reward)
    gain = mean_interval(before - now, group, seed)
    return {
        "version": incumbent.bundle.version,
        "rounds": len(rounds),
        "questions": len(np.unique(group)),
        "log_loss": float(before.mean()),
        "log_loss_of_this": float(now.mean()),
        "gain": dict(zip(("mean", "low", "high"), gain, strict=True)),
    }
