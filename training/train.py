"""Training, read from top to bottom: rounds in, a checked and measured bundle out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.behaviour import Likeness
from router.bundle import save_bundle
from router.confidence import ConfidencePredictor
from router.errors import InvalidQuery
from router.estimate import FloatArray
from router.features import Extractor
from router.menu import Menu
from router.newcomers import Widened
from router.predictors import DifficultyPredictor, Estimator
from training.cascade_confidence import fit_cascades
from training.fit.confidence import Example, examples_of, fit_confidence
from training.fit.constant import fit_constant
from training.fit.difficulty import fit_difficulty
from training.folds import MOST_CROSSED
from training.held_out import estimates_by_round, evaluate
from training.incumbent import LEAST_QUESTIONS, Incumbent, against_incumbent, newest_questions
from training.likeness import in_their_forms
from training.logged_arms import narrowed, taught_by
from training.parallel import side_by_side
from training.rounds import Round
from training.split import IntArray, split
from training.table import Table, tabulate

MOST_QUESTIONS = 120_000
"""Of more questions, so many are drawn at random, each with all of its rounds: what a question's words cost
to read and to keep is most of what training takes."""
MOST_MEASURED = 100_000
"""The measured predictor, which does not serve, is fitted on no more rounds, and tested on a quarter."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedBundle:
    """What training made. menu: the arms that were learnt. metrics: see ``evaluate``, empty where no round
    could be held out. summary: on what, how much and with what it was trained."""

    menu: Menu
    extractor: Extractor
    difficulty: DifficultyPredictor
    confidence: ConfidencePredictor
    metrics: Mapping[str, Any]
    summary: Mapping[str, Any]

    def estimator(self, menu: Menu) -> Estimator:
        """The difficulty predictor for a menu that may hold arms that were not learnt."""
        if len(self.menu) == len(menu):
            return self.difficulty
        return Widened.of(self.difficulty, self.menu, menu)

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
    incumbent: Incumbent | None = None,
    likeness: Likeness | None = None,
) -> TrainedBundle:
    """Split, fit, measure; then fit the shipped predictor on the test part too.

    Rounds of arms that are not on the menu teach what makes a question hard, as many as there is room for
    beside the menu's own; they are neither measured on nor counted. Of the menu, the bundle knows the arms of
    whose family there is a round: to a service that offers the others they are new (``router.newcomers``).

    The metrics are those of the predictor fitted on the oldest part alone, tested on the latest; from its
    predictions there, the confidence predictor learns. Where the stages of the menu's cascades answered the
    same questions, it also learns what agreement across arms is worth. kind: see ``fit_difficulty``. clip:
    see ``tabulate``. incumbent: the bundle that serves now: the metrics' ``incumbent`` compares it with what
    is fitted on all but the latest questions, on those. likeness: tells which answers say the same in other
    letters, as the service that goes by the bundle has it told. The same rounds and seed give the same
    bundle. ``InvalidQuery`` without any round of the menu, ``ConfigurationError`` for an unknown kind.
    """
    kept = in_their_forms(_thinned(rounds, menu, seed), likeness, seed)
    taught = taught_by(menu, kept)
    known = Menu(tuple(arm for arm in taught if arm.id in menu))
    own = np.array([r.arm in menu for r in kept])
    parts = split(kept, seed, counted=own)
    table = tabulate(kept, parts.groups, extractor, taught, clip).judged_on(len(known))
    metrics: Mapping[str, Any] = {}
    examples: Sequence[Example] = ()
    old = _at_most(parts.fit, parts.groups, MOST_MEASURED, seed)
    late = _at_most(parts.test[own[parts.test]], parts.groups, MOST_MEASURED // 4, seed)
    tables = [table, *([table.take(old)] if len(old) and len(late) else [])]
    pieces = [partial(_fitted, each, known, seed, kind) for each in tables]
    difficulty, *measured = side_by_side(pieces, large=len(table) > MOST_CROSSED)
    if measured:
        test, tested = replace(table.take(late), menu=known), [_offered(kept[i], menu, known) for i in late]
        metrics = evaluate(measured[0], narrowed(fit_constant(tables[1]), known), test, tested, seed)
        quality = _own_quality(measured[0], test)
        examples = _examples(quality, tested)
    if incumbent is not None:
        metrics = {**metrics, "incumbent": _compared(incumbent, kept, own, table, menu, known, seed, kind)}
    agreement = fit_confidence(examples)
    confidence = fit_cascades(kept, table, menu, agreement, kind, seed, likeness) or agreement
    summary = {
        "kind": difficulty.name,
        "confidence": confidence.name,
        "seed": seed,
        "clip": clip,
        **_summary([r for r in kept if r.arm in menu], len(rounds) - len(kept), parts.groups[own]),
        **_times(kept),
        "of_other_arms": int((~own).sum()),
        "fit": len(old),
        "test": len(late),
    }
    return TrainedBundle(known, extractor, difficulty, confidence, metrics, summary)


def _fitted(table: Table, known: Menu, seed: int, kind: str) -> DifficultyPredictor:
    return narrowed(fit_difficulty(table, seed, kind), known)


def _compared(
    incumbent: Incumbent,
    kept: Sequence[Round],
    own: NDArray[np.bool_],
    table: Table,
    menu: Menu,
    known: Menu,
    seed: int,
    kind: str,
) -> dict[str, Any] | None:
    """``None`` with too few questions that are new to the incumbent."""
    newest = np.isin(table.group, newest_questions(incumbent, kept, table.group))
    compared = np.flatnonzero(newest & own)
    if len(np.unique(table.group[compared])) < LEAST_QUESTIONS:
        return None
    fitted = _fitted(table.take(np.flatnonzero(~newest)), known, seed, kind)
    test = replace(table.take(compared), menu=known)
    rounds = [kept[int(i)] for i in compared]
    return against_incumbent(incumbent, menu, rounds, _own_quality(fitted, test), test.group, seed)


def _offered(r: Round, menu: Menu, known: Menu) -> Round:
    """A round with the odds of the known arms only."""
    if r.propensities is None or len(known) == len(menu):
        return r
    return replace(r, propensities=tuple(r.propensities[menu.position[arm.id]] for arm in known))


def _thinned(rounds: Sequence[Round], menu: Menu, seed: int) -> Sequence[Round]:
    """The menu's rounds of no more than ``MOST_QUESTIONS`` questions; of others, drawn at random, as many as
    still fit into what is crossed out of fold."""
    own = [r for r in rounds if r.arm in menu]
    if not own:
        raise InvalidQuery(
            "There is no round to train on: no trace has an outcome, its prompt kept whole, and an arm "
            "of this menu."
        )
    rng = np.random.default_rng(seed)
    questions = list(dict.fromkeys(r.question_key for r in own))
    if len(questions) > MOST_QUESTIONS:
        chosen = {questions[i] for i in rng.choice(len(questions), MOST_QUESTIONS, replace=False)}
        own = [r for r in own if r.question_key in chosen]
    others = [r for r in rounds if r.arm not in menu]
    room = max(MOST_CROSSED - len(own), 0)
    if len(others) > room:
        others = [others[i] for i in np.sort(rng.choice(len(others), room, replace=False))]
    return own + others


def _at_most(rows: IntArray, groups: IntArray, count: int, seed: int) -> IntArray:
    """Rounds of groups drawn at random, each group whole, no more than ``count`` unless one group is."""
    if len(rows) <= count:
        return rows
    drawn = np.random.default_rng(seed).permutation(int(groups.max()) + 1)[groups[rows]]
    sizes = np.bincount(drawn).cumsum()
    picked: IntArray = rows[
        drawn <= max(int(np.searchsorted(sizes, count, side="right")) - 1, int(drawn.min()))
    ]
    return picked


def _own_quality(difficulty: DifficultyPredictor, table: Table) -> FloatArray:
    """P(success) of each round's arm, shape (rounds,)."""
    return np.asarray(estimates_by_round(difficulty, table).quality[np.arange(len(table)), table.arm])


def _examples(quality: FloatArray, rounds: Sequence[Round]) -> list[Example]:
    prior = {r.query.id + r.arm: float(q) for r, q in zip(rounds, quality, strict=True)}
    return examples_of(rounds, lambda r: prior[r.query.id + r.arm])


def _summary(kept: Sequence[Round], left_out: int, groups: IntArray) -> dict[str, Any]:
    return {
        "rounds": len(kept),
        "left_out": left_out,
        "questions": len(np.unique(groups)),
        "mean_reward": float(np.mean([r.reward for r in kept])),
    }


def _times(kept: Sequence[Round]) -> dict[str, float | None]:
    """Of all that was learnt from; ``None`` where the time of some is not known."""
    times = [r.created_at for r in kept]
    known = [time for time in times if time is not None]
    whole = len(known) == len(times)
    return {"first_at": min(known) if whole else None, "last_at": max(known) if whole else None}
