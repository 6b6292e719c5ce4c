"""``effortwise allocate``: how many samples for which query, and when to stop, on recorded samples."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console

from effortwise.allocation.picture import draw_allocation
from effortwise.allocation.tables import show_allocation
from effortwise.outputs import check_writable
from router.errors import InvalidQuery
from training.evaluation.crossfit import Folds, Part, fold_parts
from training.folds import folds
from training.sampling.allocation_report import best_of_k, majority_vote
from training.sampling.samples import Samples, read_samples
from training.sampling.stopping import Wanted
from training.sampling.stopping_report import stopping_section
from training.sampling.vote_paths import ORDERS, vote_paths

LEAST_TEST_SERIES = 1000
"""With fewer series in the logged test split, all are tested in turn."""
FOLDS = Folds(5, 5)
LEAST_VOTE = 3
LEAST_GROUPS = 10
"""Distinct questions that can be learnt from at all."""


def allocate(
    path: Path,
    dataset: str | None,
    models: str | None,
    folds: str | None,
    at_most: int,
    prices: str,
    fewer: str,
    correct_at: float,
    json: Path | None,
    plot: Path | None,
    seed: int,
) -> None:
    """Print what was measured; write it as JSON and as a picture where wanted."""
    check_writable(json, plot)
    if at_most < LEAST_VOTE:
        raise InvalidQuery(f"--at-most takes {LEAST_VOTE} or more: a vote of two is the first one's.")
    samples = read_samples(path, _names(dataset), _names(models) or None, correct_at)
    wanted = Wanted(_numbers("prices", prices, 0.0), _numbers("fewer", fewer, 1.0))
    report = _report(samples, Folds.parse(folds) if folds else None, at_most, wanted, seed)
    show_allocation(Console(width=max(Console().width, 120)), report)
    if json is not None:
        json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    if plot is not None:
        draw_allocation(report, plot)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


_EXAMPLES = {"prices": "0.0005,0.0025", "fewer": "3,6"}


def _numbers(option: str, text: str, above: float) -> list[float]:
    try:
        found = [float(each) for each in _names(text)]
    except ValueError:
        found = []
    if not found or not all(isfinite(each) and each > above for each in found):
        raise InvalidQuery(
            f"--{option} takes numbers above {above:g} with commas, such as {_EXAMPLES[option]}, "
            f"not {text!r}."
        )
    return list(dict.fromkeys(found))


def _report(samples: Samples, folds: Folds | None, at_most: int, wanted: Wanted, seed: int) -> dict[str, Any]:
    budgeted = samples.of_length(samples.typical)
    voters = samples.of_length(min(at_most, samples.typical)).with_answers()
    report: dict[str, Any] = {
        "dataset": samples.dataset,
        "series": len(samples),
        "questions": len(set(samples.group.tolist())),
        "arms": sorted({each.arm for each in samples.series}),
        "protocol": _protocol(budgeted, folds),
        "orders": ORDERS,
        "seed": seed,
        "dropped": dict(budgeted.dropped),
        "missing": _missing(samples, voters),
        "in_advance": {"best_of_k": best_of_k(budgeted, _parts(budgeted, folds, seed), seed)},
        "stopping": {},
    }
    if len(voters) and min(at_most, samples.typical) > 2:
        _add_votes(report, voters, folds, min(at_most, samples.typical), wanted, seed)
    return report


def _add_votes(
    report: dict[str, Any],
    voters: Samples,
    folds: Folds | None,
    draws: int,
    wanted: Wanted,
    seed: int,
) -> None:
    """Both questions for a majority vote, with invalid answers out of it and in it."""
    parts = _parts(voters, folds, seed)
    report["dropped_votes"] = dict(voters.dropped)
    for name, some in (("filtered", voters.series), ("unfiltered", [s.unfiltered() for s in voters.series])):
        print(f"stopping, {name} ...", file=sys.stderr)
        paths = vote_paths(some, draws, seed)
        if name == "filtered":
            report["in_advance"]["vote"] = majority_vote(voters, paths, parts, seed)
        report["stopping"][name] = stopping_section(voters, paths, parts, wanted.of(draws), seed)


def _parts(samples: Samples, folds: Folds | None, seed: int) -> Sequence[Part]:
    groups = len(set(samples.group.tolist()))
    if groups < LEAST_GROUPS:
        raise InvalidQuery(
            f"{samples.dataset} has {groups} distinct questions with enough samples: at least {LEAST_GROUPS} "
            "are needed to learn from some and test on others."
        )
    test = np.array([each.test for each in samples.series])
    if folds is None and test.sum() >= LEAST_TEST_SERIES:
        return [_split(samples, test, seed)]
    _, group = np.unique(samples.group, return_inverse=True)
    return fold_parts(group.astype(np.int64), folds or FOLDS, seed)


def _split(samples: Samples, test: Any, seed: int) -> Part:
    """The logged split; training rows whose question has a near-duplicate in test are not used."""
    tested = set(samples.group[test].tolist())
    apart = np.array([group not in tested for group in samples.group.tolist()])
    train = np.flatnonzero(~test & apart)
    held = folds(samples.group[train], seed)
    return Part(train, np.flatnonzero(test), held, held)


def _protocol(samples: Samples, folds: Folds | None) -> str:
    if folds is None and sum(each.test for each in samples.series) >= LEAST_TEST_SERIES:
        return "split"
    used = folds or FOLDS
    return f"{used.repeats}x{used.count}"


def _missing(samples: Samples, voters: Samples) -> list[str]:
    """What could not be computed, and why."""
    told = []
    if not len(voters):
        told.append("no extracted answers: best-of-k only, no votes and no stopping rules")
    elif samples.typical <= 2:
        told.append("no more than two draws a query: a vote of two is the first one's")
    unknown = [
        name
        for name in ("cost_usd", "completion_tokens")
        if any(getattr(each, name) is None for each in samples.series)
    ]
    return told + [f"{name} is unknown for some series: cost is counted in samples" for name in unknown]
