"""The cost-quality picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from effortwise.demonstration.comparison import Row
from effortwise.picture import name_point, picture

_LIVE, _REPLAYED = "#c2410c", "#475569"
_TITLE = "Learnt policy (served live) against fixed arms (replayed), 95 % intervals"
_LETTER, _LINE = 0.0075, 0.035
"""A letter's width and a line's height, as parts of the axes."""
_COST = "cost, USD per 1,000 tasks (notional price of the embedded model)"


def draw_picture(rows: Sequence[Row], path: Path) -> None:
    """Success against cost with their intervals, as PNG and SVG beside each other."""
    right = 1.3 * max(row.cost.high for row in rows)  # room for the last name
    below = _below(rows, right)
    with picture(path, _TITLE, _COST, "success on fresh tasks") as axes:
        for row in rows:
            color = _LIVE if row.live else _REPLAYED
            axes.errorbar(
                row.cost.mean,
                row.success.mean,
                xerr=[[row.cost.mean - row.cost.low], [row.cost.high - row.cost.mean]],
                yerr=[[row.success.mean - row.success.low], [row.success.high - row.success.mean]],
                fmt="D" if row.live else "o",
                color=color,
                ecolor=color,
                elinewidth=0.8,
                alpha=0.9,
                capsize=2,
            )
            name_point(axes, row.name, (row.cost.mean, row.success.mean), color, below=row.name in below)
        axes.set_xlim(0, right)
        axes.set_ylim(0, 1)


def _below(rows: Sequence[Row], right: float) -> set[str]:
    """The names that stand below their points, since one that was placed before stands above."""
    placed: list[tuple[float, float, float]] = []
    below = set()
    for row in sorted(rows, key=lambda row: row.cost.mean):
        start = row.cost.mean / right
        end = start + _LETTER * len(row.name)
        above, under = row.success.mean + _LINE, row.success.mean - _LINE
        taken = any(left < end and start < other and abs(y - above) < _LINE for left, other, y in placed)
        placed.append((start, end, under if taken else above))
        if taken:
            below.add(row.name)
    return below
