"""The cost-quality picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from effortwise.demonstration.comparison import Row
from effortwise.picture import name_point, picture

_LIVE, _REPLAYED = "#c2410c", "#475569"
_TITLE = "Learnt policy (served live) against fixed arms (replayed), 95 % intervals"
_COST = "cost, USD per 1,000 tasks (notional price of the embedded model)"


def draw_picture(rows: Sequence[Row], path: Path) -> None:
    """Success against cost with their intervals, as PNG and SVG beside each other."""
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
            name_point(axes, row.name, (row.cost.mean, row.success.mean), color)
        axes.set_xlim(0, 1.3 * max(row.cost.high for row in rows))  # room for the last name
        axes.set_ylim(0, 1)
