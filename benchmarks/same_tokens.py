"""A strategy beside plain sampling of as many tokens, paired over the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.estimate import FloatArray

RESAMPLES = 4000
ONE_CALL = "direct"


@dataclass(frozen=True, slots=True)
class Measured:
    """One task by one strategy at one budget, in calls. plain: plain sampling, the bar for the others.
    reward: 0 or 1. wall_s: seconds, beside others on the same machine."""

    task: str
    entry: str
    budget: int
    checked: bool
    plain: bool
    reward: float
    tokens: int
    calls: int
    wall_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One strategy at one budget over all tasks; arrays of shape (tasks,)."""

    entry: str
    budget: int
    checked: bool
    plain: bool
    reward: FloatArray
    tokens: FloatArray
    calls: FloatArray
    wall_s: FloatArray


def print_table(measured: Sequence[Measured]) -> None:
    """Markdown: each strategy at each budget, and what it gains on plain sampling of as many tokens."""
    rows = rows_of(measured)
    if not rows:
        print("No task has been run by every strategy at every budget yet.")
        return
    print(f"{len(rows[0].reward)} tasks; 95 % intervals by bootstrap over tasks\n")
    print("| strategy | calls at most | success | tokens | calls | wall s | against plain, same tokens |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        low, high = interval(row.reward)
        gain = "(the bar)" if row.plain else _gain(row, [each for each in rows if each.plain])
        print(
            f"| {row.entry} | {row.budget} | {row.reward.mean():.3f} ({low:.3f} to {high:.3f}) | "
            f"{row.tokens.mean():.0f} | {row.calls.mean():.1f} | {_seconds(row.wall_s)} | {gain} |"
        )


def _seconds(wall_s: FloatArray) -> str:
    """The median; nothing where none was measured."""
    return f"{np.median(wall_s):.2f}" if wall_s.any() else "-"


def rows_of(measured: Sequence[Measured]) -> list[Row]:
    """Over the tasks that every strategy has run at every budget."""
    kinds = dict.fromkeys((each.entry, each.budget, each.checked, each.plain) for each in measured)
    found = {(each.task, each.entry, each.budget): each for each in measured}
    tasks = [
        task
        for task in dict.fromkeys(each.task for each in measured)
        if all((task, entry, budget) in found for entry, budget, _, _ in kinds)
    ]
    rows = []
    for entry, budget, checked, plain in kinds if tasks else ():
        runs = [found[task, entry, budget] for task in tasks]
        arrays = [
            np.array([getattr(run, name) for run in runs], float)
            for name in ("reward", "tokens", "calls", "wall_s")
        ]
        rows.append(Row(entry, budget, checked, plain, *arrays))
    return sorted(rows, key=lambda row: (row.checked, not row.plain, row.entry, row.budget))


def _gain(row: Row, plain: Sequence[Row]) -> str:
    paired = row.reward - bar(row, plain)
    low, high = interval(paired)
    return f"{paired.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def bar(row: Row, plain: Sequence[Row]) -> FloatArray:
    """What plain sampling of as many tokens earns of each task, shape (tasks,): the better of its
    templates, between its two neighbouring budgets by their mean tokens; its largest where that is less.
    A single plain call is where each begins."""
    first = [each for each in plain if each.entry == ONE_CALL][:1]
    curves: dict[str, list[Row]] = {}
    for each in plain:
        if each.checked == row.checked and each.entry != ONE_CALL:
            curves.setdefault(each.entry, list(first)).append(each)
    return max((_at(row.tokens.mean(), curve) for curve in curves.values()), key=lambda earned: earned.mean())


def _at(tokens: float, curve: Sequence[Row]) -> FloatArray:
    ladder = sorted(curve, key=lambda row: row.tokens.mean())
    means = np.array([row.tokens.mean() for row in ladder])
    position = float(np.interp(tokens, means, np.arange(len(ladder))))
    below, share = int(position), position % 1
    above = min(below + 1, len(ladder) - 1)
    mixed: FloatArray = (1 - share) * ladder[below].reward + share * ladder[above].reward
    return mixed


def interval(values: FloatArray) -> tuple[float, float]:
    """95 % of the mean, by bootstrap over tasks."""
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
