"""Incumbent: the bundle that serves now, beside a new predictor on rounds that neither was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
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


def against_incumbent(
    incumbent: Bundle,
    menu: Menu,
    rounds: Sequence[Round],
    quality: FloatArray,
    group: IntArray,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Plain values for a manifest: ``version`` of the incumbent, ``rounds`` and ``questions`` compared, both
    log losses in nats, and ``gain``, the incumbent's less the new one's with its 95 % bootstrap interval
    over groups: above 0, the new one predicts better. ``None`` where fewer than ``LEAST_QUESTIONS`` tested
    questions are new to the incumbent.

    incumbent: loaded for ``menu``. rounds: tested ones, of its arms. quality, shape (rounds,): the new
    predictor's P(success) of each round's arm. group, shape (rounds,): near-duplicates have the same number.
    """
    rows = _unseen(incumbent, rounds, group)
    questions = len(np.unique(group[rows]))
    if questions < LEAST_QUESTIONS:
        return None
    some = [rounds[i] for i in rows]
    reward = np.array([r.reward for r in some])
    features = features_of([r.query for r in some], incumbent.extractor)
    arm = [menu.position[r.arm] for r in some]
    theirs = incumbent.difficulty.estimates(features).quality[np.arange(len(some)), arm]
    before, now = log_losses(theirs, reward), log_losses(quality[rows], reward)
    gain = mean_interval(before - now, group[rows], seed)
    return {
        "version": incumbent.version,
        "rounds": len(rows),
        "questions": questions,
        "log_loss": float(before.mean()),
        "log_loss_of_this": float(now.mean()),
        "gain": dict(zip(("mean", "low", "high"), gain, strict=True)),
    }


def _unseen(incumbent: Bundle, rounds: Sequence[Round], group: IntArray) -> IntArray:
    """Rounds later than all that the incumbent learnt from, none of their near-duplicates being earlier.
    What learnt from recorded draws, which have no times, has seen nothing of what was served."""
    summary = incumbent.manifest.get("summary") or {}
    last_at = summary.get("last_at")
    learnt_until = -np.inf if last_at is None else float(last_at)
    times = np.array([-np.inf if r.created_at is None else r.created_at for r in rounds])
    first = np.full(int(group.max(initial=-1)) + 1, np.inf)
    np.minimum.at(first, group, times)
    return np.flatnonzero(first[group] > learnt_until)
