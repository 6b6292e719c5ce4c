"""Fit of the difficulty predictor: as much capacity as there are rounds to learn from."""

from __future__ import annotations

from router.errors import ConfigurationError
from router.predictors import DifficultyPredictor
from training.fit.boosted import fit_boosted, fit_boosted_if_better
from training.fit.constant import fit_constant
from training.fit.logistic import fit_logistic
from training.table import Table

KINDS = ("auto", "constant", "logistic", "boosted")

LEAST_ROUNDS = 60
"""Below, ``auto`` is the constant predictor: nothing about the queries can be told from so few."""
LEAST_ROUNDS_BOOSTED = 2_000
"""From here on, ``auto`` is the boosted predictor, if trees help; between the two it is the logistic one."""


def fit_difficulty(table: Table, seed: int = 0, kind: str = "auto") -> DifficultyPredictor:
    """The predictor of a table, fitted and calibrated on all of its rounds, the calibration out of fold.

    kind: one of ``KINDS``; ``auto`` goes by the number of rounds. It is always the constant predictor where
    all rounds are of one group, of which nothing could be held out. The same table and seed give the
    same predictor. ``ConfigurationError`` for an unknown kind.
    """
    if kind not in KINDS:
        raise ConfigurationError(f"Unknown predictor {kind!r} to train. Known: {', '.join(KINDS)}.")
    few = len(table) < (LEAST_ROUNDS if kind == "auto" else 1)
    if kind == "constant" or few or (table.group == table.group[0]).all():
        return fit_constant(table)
    if kind == "auto" and len(table) >= LEAST_ROUNDS_BOOSTED:
        return fit_boosted_if_better(table, seed)
    return fit_boosted(table, seed) if kind == "boosted" else fit_logistic(table, seed)
