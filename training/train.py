"""Training, read from top to bottom: rounds in, a checked and measured bundle out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from router.bundle import save_bundle
from router.confidence import ConfidencePredictor
from router.errors import ConfigurationError, InvalidQuery
from router.features import Extractor
from router.menu import Menu
from router.predictors import DifficultyPredictor
from training.evaluate import estimates_of, evaluate
from training.fit.boosted import fit_boosted
from training.fit.confidence import examples_of, fit_confidence
from training.fit.constant import fit_constant
from training.fit.logistic import fit_logistic
from training.rounds import Round
from training.split import Split, split
from training.table import Table, tabulate

KINDS = ("auto", "constant", "logistic", "boosted")

LEAST_ROUNDS = 60
"""Below, ``auto`` is the constant predictor: nothing about the queries can be told from so few."""
LEAST_ROUNDS_BOOSTED = 2_000
"""From here on, ``auto`` is the boosted predictor; between the two it is the logistic one."""
MOST_ROUNDS = 20_000
"""More rounds than this are thinned at random, so that training fits the memory of a small machine."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedBundle:
    """What training made. metrics: see ``evaluate``, empty where no round could be held out. summary: on
    what, how much and with what it was trained."""

    menu: Menu
    extractor: Extractor
    difficulty: DifficultyPredictor
    confidence: ConfidencePredictor
    metrics: Mapping[str, Any]
    summary: Mapping[str, Any]

    def save(self, folder: Path) -> str:
        """Write the bundle; returns its version."""
        return save_bundle(
            folder,
            self.menu,
            self.extractor,
            self.difficulty,
            self.confidence,
            metrics=self.metrics,
            summary=self.summary,
        )


def train(
    rounds: Sequence[Round],
    menu: Menu,
    extractor: Extractor,
    kind: str = "auto",
    seed: int = 0,
    *,
    clip: float | None = None,
) -> TrainedBundle:
    """Split, fit, calibrate, measure; then fit the shipped predictor on the test part too.

    The metrics are those of the predictor fitted on the oldest part alone, tested on the latest. The
    shipped one has the same calibration part, of rounds that it has not been fitted on. clip: see
    ``tabulate``. The same rounds and seed give the same bundle. ``InvalidQuery`` without any round,
    ``ConfigurationError`` for an unknown kind.
    """
    kept = _thinned([r for r in rounds if r.arm in menu], seed)
    parts = split(kept, seed)
    kind = _kind(kind, kept, parts)
    table = tabulate(kept, parts.groups, extractor, menu, clip)
    fit, calibrate, test = (table.take(part) for part in (parts.fit, parts.calibrate, parts.test))
    metrics: Mapping[str, Any] = {}
    if len(fit) and len(test):
        measured = _fit(kind, fit, calibrate, seed)
        metrics = evaluate(measured, fit_constant(fit), test, [kept[i] for i in parts.test], seed)
    shipped = table.take(np.sort(np.concatenate((parts.fit, parts.test))))
    difficulty = fit_constant(table) if kind == "constant" else _fit(kind, shipped, calibrate, seed)
    confidence = fit_confidence(_examples(difficulty, calibrate, [kept[i] for i in parts.calibrate]))
    summary = _summary(kind, seed, clip, rounds, kept, parts)
    return TrainedBundle(menu, extractor, difficulty, confidence, metrics, summary)


def _thinned(rounds: Sequence[Round], seed: int) -> Sequence[Round]:
    if not rounds:
        raise InvalidQuery(
            "There is no round to train on: no trace has an outcome, its prompt kept whole, and an arm "
            "of this menu."
        )
    if len(rounds) <= MOST_ROUNDS:
        return rounds
    chosen = np.random.default_rng(seed).choice(len(rounds), MOST_ROUNDS, replace=False)
    return [rounds[i] for i in np.sort(chosen)]


def _kind(kind: str, rounds: Sequence[Round], parts: Split) -> str:
    """What to fit: as asked, or by the number of rounds; always the constant where all rounds are of one
    near-duplicate question, of which nothing could be held out."""
    if kind not in KINDS:
        raise ConfigurationError(f"Unknown predictor {kind!r} to train. Known: {', '.join(KINDS)}.")
    if parts.groups.max() == 0:
        return "constant"
    if kind != "auto":
        return kind
    if len(rounds) < LEAST_ROUNDS:
        return "constant"
    return "boosted" if len(rounds) >= LEAST_ROUNDS_BOOSTED else "logistic"


def _fit(kind: str, fit: Table, calibrate: Table, seed: int) -> DifficultyPredictor:
    if kind == "constant":
        return fit_constant(fit)
    return fit_boosted(fit, calibrate, seed) if kind == "boosted" else fit_logistic(fit, calibrate, seed)


def _examples(difficulty: DifficultyPredictor, table: Table, rounds: Sequence[Round]) -> Any:
    estimates = estimates_of(difficulty, table)
    prior = {
        r.query.id + r.arm: float(estimates[int(query)].quality[arm])
        for r, query, arm in zip(rounds, table.query, table.arm, strict=True)
    }
    return examples_of(rounds, lambda r: prior[r.query.id + r.arm])


def _summary(
    kind: str, seed: int, clip: float | None, rounds: Sequence[Round], kept: Sequence[Round], parts: Split
) -> dict[str, Any]:
    times = [r.created_at for r in kept if r.created_at is not None]
    return {
        "kind": kind,
        "seed": seed,
        "clip": clip,
        "rounds": len(kept),
        "left_out": len(rounds) - len(kept),
        "fit": len(parts.fit),
        "calibrate": len(parts.calibrate),
        "test": len(parts.test),
        "questions": int(parts.groups.max()) + 1,
        "mean_reward": float(np.mean([r.reward for r in kept])),
        "first_at": min(times, default=None),
        "last_at": max(times, default=None),
    }
