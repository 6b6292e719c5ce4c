"""``effortwise evaluate``: what a router learnt from traces is worth on traces that it has not seen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import orjson

from effortwise.evaluation.drawn import draw_evaluation
from effortwise.evaluation.printed import print_evaluation
from effortwise.outputs import check_writable
from effortwise.programs import likeness_of
from router.errors import InvalidQuery
from training.evaluation.answer_aware import Answers
from training.evaluation.comparison import Additional, Protocol, compare
from training.evaluation.crossfit import Folds
from training.evaluation.grid import Grid, read_grid, resolve
from training.evaluation.taught_elsewhere import Source, taught_elsewhere

Say: TypeAlias = Callable[[str], None]
LEARNT = "learnt"
"""The value of ``--answers`` that leaves the order open."""


def evaluate(
    path: Path,
    dataset: str | None,
    models: str | None,
    protocol: Protocol,
    correct_at: float,
    answers: str | None,
    also_learn: str | None,
    also_learn_from: str | None,
    json: Path | None,
    plot: Path | None,
) -> None:
    """Train, test, print; write JSON and picture where asked."""
    check_writable(json, plot)
    pool = _names(models) if models else None
    say = _progress()
    also = _names(also_learn) if also_learn else []
    grid = read_grid(path, dataset, pool, correct_at, ignore_split=protocol.ignores_split, also=also)
    grid = _taught(grid, also_learn_from, path, protocol, correct_at, say)
    found = compare(grid, protocol, say, _answers(answers, grid, correct_at, say))
    found["protocol"]["correct_at"] = correct_at
    say("done")
    print_evaluation(found)
    if json is not None:
        json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    if plot is not None:
        draw_evaluation(found, plot)


def protocol_of(
    folds: str | None, labels: int | None, leave_out: str | None, seed: int, encoder: Path | None
) -> Protocol:
    """The protocol that the options ask for."""
    return Protocol(None if folds is None else Folds.parse(folds), labels, leave_out, seed, encoder)


def _taught(
    grid: Grid, also_learn_from: str | None, path: Path, protocol: Protocol, correct_at: float, say: Say
) -> Grid:
    """The grid with what else it is to be learnt from."""
    if also_learn_from is None:
        return grid
    sources = [Source.parse(text, path) for text in _names(also_learn_from)]
    if not sources:
        raise InvalidQuery("--also-learn-from names no data set: give NAME, FILE or FILE.parquet:NAME.")
    taught = taught_elsewhere(grid, sources, correct_at, ignore_split=protocol.ignores_split)
    for name, count in taught.elsewhere.counts().items():
        say(f"{count} questions of {name} teach, too, but for what is tested")
    return taught


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _answers(answers: str | None, grid: Grid, correct_at: float, say: Say) -> Additional | None:
    """The answer-aware cascade, where it is asked for: in a learnt order, or through arms that are named
    as models are."""
    if answers is None:
        return None
    order = None if answers == LEARNT else tuple(resolve(name, grid.arms) for name in _names(answers))
    likeness = likeness_of(grid)
    if likeness is not None:
        say("programs among the answers will be run in the sandbox, to tell which do the same")
    return Answers(order, correct_at, likeness)


def _progress() -> Say:
    began = time.monotonic()
    return lambda words: print(f"{time.monotonic() - began:6.1f} s  {words}", file=sys.stderr, flush=True)
