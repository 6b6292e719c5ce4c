"""The cost-quality picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from effortwise.demonstration.comparison import Row

_LIVE, _REPLAYED = "#c2410c", "#475569"


def draw_picture(rows: Sequence[Row], path: Path) -> None:
    """Success against cost with their intervals, as PNG and SVG beside each other."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
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
        at = row.cost.mean, row.success.mean
        axes.annotate(row.name, at, xytext=(6, 6), textcoords="offset points", fontsize=8, color=color)
    axes.set_xlabel("cost, USD per 1,000 tasks (notional price of the embedded model)")
    axes.set_ylabel("success on fresh tasks")
    axes.set_xlim(0, 1.3 * max(row.cost.high for row in rows))  # room for the last name
    axes.set_ylim(0, 1)
    axes.set_title("Learnt policy (served live) against fixed arms (replayed), 95 % intervals", fontsize=10)
    axes.grid(alpha=0.25)
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)
