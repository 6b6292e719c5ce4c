"""Training, read from top to bottom: rounds in, a checked and measured bundle out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from router.bundle import save_bundle
from router.confidence import ConfidencePredictor
from router.errors import InvalidQuery
from router.features import Extractor
from router.menu import Menu
from router.predictors import DifficultyPredictor
from training.fit.confidence import Example, examples_of, fit_confidence
from training.fit.constant import fit_constant
from training.fit.difficulty import fit_difficulty
from training.held_out import evaluate
from training.rounds import Round
from training.split import Split, split
from training.table import Table, tabulate

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
    """Split, fit, measure; then fit the shipped predictor on the test part too.

    The metrics are those of the predictor fitted on the oldest part alone, tested on the latest; from its
    predictions there, the confidence predictor learns. kind: see ``fit_difficulty``. clip: see
    ``tabulate``. The same rounds and seed give the same bundle. ``InvalidQuery`` without any round,
    ``ConfigurationError`` for an unknown kind.
    """
    kept = _thinned([r for r in rounds if r.arm in menu], seed)
    parts = split(kept, seed)
    table = tabulate(kept, parts.groups, extractor, menu, clip)
    difficulty = fit_difficulty(table, seed, kind)
    metrics: Mapping[str, Any] = {}
    examples: Sequence[Example] = ()
    if len(parts.fit) and len(parts.test):
        fit, test, tested = table.take(parts.fit), table.take(parts.test), [kept[i] for i in parts.test]
        measured = fit_difficulty(fit, seed, kind)
        metrics = evaluate(measured, fit_constant(fit), test, tested, seed)
        examples = _examples(measured, test, tested)
    summary = _summary(difficulty.name, seed, clip, rounds, kept, parts)
    return TrainedBundle(menu, extractor, difficulty, fit_confidence(examples), metrics, summary)


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


def _examples(difficulty: DifficultyPredictor, table: Table, rounds: Sequence[Round]) -> list[Example]:
    seen, place = np.unique(table.query, return_inverse=True)
    quality = difficulty.estimates(table.features.take(seen)).quality[place, table.arm]
    prior = {r.query.id + r.arm: float(q) for r, q in zip(rounds, quality, strict=True)}
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
        "test": len(parts.test),
        "questions": int(parts.groups.max()) + 1,
        "mean_reward": float(np.mean([r.reward for r in kept])),
        "first_at": min(times, default=None),
        "last_at": max(times, default=None),
    }
