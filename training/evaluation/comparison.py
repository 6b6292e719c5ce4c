"""Comparison: the served predictor and its rivals, trained and tested on the same parts of one grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.errors import InvalidQuery
from router.features import DEFAULT_FEATURES, Extractor
from training.evaluation.answer_aware import told_cascade
from training.evaluation.cascades import AnswerAware
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import (
    Folds,
    Part,
    fold_parts,
    left_out_groups,
    question_groups,
    split_parts,
    with_labels,
    without_tested_questions,
)
from training.evaluation.decisions import Routed, routed
from training.evaluation.grid import Grid, IntArray
from training.evaluation.learners import BASELINES, Estimates, Learner, served
from training.evaluation.report import ROUTER, report
from training.evaluation.resampling import RESAMPLES
from training.evaluation.tested import Tested

FOLDS_LEFT_OUT = Folds(1, 5)
"""Passes and folds over the tasks to leave out, where none are asked for."""

Say = Callable[[str], None]
Additional = Callable[[Corpus, Sequence[Part], Sequence[Estimates], int], Mapping[str, Sequence[Routed]]]
"""From a corpus, its parts, the served predictor's estimates on each and a seed to further routers by name,
each with its decisions on every part."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to train and test. folds: pool cross-fitting over all queries instead of the logged split.
    labels: no more training queries than this in a part. leave_out: train without the tested queries'
    tasks (or domains). encoder: the folder of a sentence encoder, whose vectors are features too."""

    folds: Folds | None = None
    labels: int | None = None
    leave_out: str | None = None
    seed: int = 0
    encoder: Path | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Their names."""
        return DEFAULT_FEATURES if self.encoder is None else (*DEFAULT_FEATURES, "embedding")

    def extractor(self) -> Extractor:
        """Of these features; ``ConfigurationError`` where the encoder cannot be used."""
        return Extractor.of(self.features, {"embedding": {"path": self.encoder}})

    @property
    def ignores_split(self) -> bool:
        """Whether the logged split plays no part."""
        return self.folds is not None or self.leave_out is not None


def compare(
    grid: Grid, protocol: Protocol, say: Say = lambda _: None, additional: Additional | None = None
) -> dict[str, Any]:
    """The report on one grid; see ``report``."""
    group = _groups(grid, protocol)
    parts = parts_of(grid, group, protocol)
    corpus = Corpus.of(grid, group, protocol.extractor())
    say(f"{len(grid)} queries, {len(grid.arms)} arms, {len(parts)} part(s) to train and test")
    learners = {
        name: learning(corpus, protocol.seed) for name, learning in {ROUTER: served, **BASELINES}.items()
    }
    estimates = _estimates(parts, learners, say)
    found = {name: _routed(grid, parts, each) for name, each in estimates.items()}
    routers: dict[str, Sequence[Routed]] = {ROUTER: found.pop(ROUTER)}
    if additional is not None:
        routers.update(additional(corpus, parts, estimates[ROUTER], protocol.seed))
    say("measuring")
    tested = Tested.of(grid, parts, group, protocol.seed)
    told = report(tested, routers, found)
    for name, each in routers.items():
        seen = [one for one in each if isinstance(one, AnswerAware)]
        if seen:
            told["routers"][name] |= told_cascade(told["routers"][name], tested, seen)
    also = {"also_learnt": list(grid.others.arms), "also_learnt_from": grid.elsewhere.counts()}
    return {**told, "protocol": {**_told(protocol), **also}}


def parts_of(grid: Grid, group: IntArray, protocol: Protocol) -> list[Part]:
    """What trains and what is tested."""
    if protocol.ignores_split:
        folds = protocol.folds or FOLDS_LEFT_OUT
        parts = without_tested_questions(fold_parts(group, folds, protocol.seed), question_groups(grid))
    else:
        parts = split_parts(grid, group, protocol.seed)
    return parts if protocol.labels is None else with_labels(parts, protocol.labels, group, protocol.seed)


def _groups(grid: Grid, protocol: Protocol) -> IntArray:
    if protocol.leave_out is None:
        return question_groups(grid)
    if len(grid.elsewhere):
        raise InvalidQuery(
            f"--leave-out {protocol.leave_out} does not go with --also-learn-from: other data sets "
            f"may hold the {protocol.leave_out}s that are left out. Give one of them."
        )
    return left_out_groups(grid, protocol.leave_out)


def _estimates(
    parts: Sequence[Part], learners: Mapping[str, Learner], say: Say
) -> dict[str, list[Estimates]]:
    """Every learner's of one part before the next part, since rivals share what they make of one."""
    found: dict[str, list[Estimates]] = {name: [] for name in learners}
    for number, part in enumerate(parts, 1):
        for name, learner in learners.items():
            say(f"part {number} of {len(parts)}: {name}")
            found[name].append(learner(part))
    return found


def _routed(grid: Grid, parts: Sequence[Part], estimates: Sequence[Estimates]) -> list[Routed]:
    return [routed(grid, part, *each) for part, each in zip(parts, estimates, strict=True)]


def _told(protocol: Protocol) -> dict[str, Any]:
    folds = protocol.folds or (FOLDS_LEFT_OUT if protocol.leave_out else None)
    return {
        "folds": None if folds is None else f"{folds.repeats}x{folds.count}",
        "labels": protocol.labels,
        "leave_out": protocol.leave_out,
        "resampled": protocol.leave_out or "question",
        "features": list(protocol.features),
        "seed": protocol.seed,
        "resamples": RESAMPLES,
    }
