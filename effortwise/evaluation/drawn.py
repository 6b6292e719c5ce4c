"""The picture of a report: the frontier between what needs no look at the question and the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from effortwise.picture import name_point, picture

Points: TypeAlias = Sequence[Mapping[str, float]]

_ROUTER, _ARM = "#c2410c", "#475569"
_OTHER_ROUTERS = ("#15803d", "#7e22ce", "#be185d", "#a16207")
_CURVES = {
    "oracle": ("oracle (hindsight)", "#a8a29e", ":"),
    "random_mix": ("random mix", "#475569", "--"),
    "shuffled": ("shuffle of the router's choices", "#fdba74", "-"),
    "plain": ("TF-IDF + logistic", "#0369a1", "-"),
}


def draw_evaluation(report: Mapping[str, Any], path: Path) -> None:
    """Quality against cost, as PNG and SVG beside each other."""
    title = f"{report['dataset']}: {report['n_test']} tested queries, 95 % intervals"
    with picture(path, title, "cost, USD per 1,000 queries", "quality") as axes:
        for name, (label, color, style) in _CURVES.items():
            _line(axes, report["baselines"][name]["frontier"], label, color, style)
        for (name, found), color in zip(report["routers"].items(), _OTHER_ROUTERS, strict=False):
            _line(axes, found["frontier"], name, color, "-")
        _band(axes, report["router"]["frontier"])
        right = 1150 * max(arm["cost_usd"] for arm in report["arms"])
        for arm in report["arms"]:
            at = 1000 * arm["cost_usd"], arm["quality"]
            axes.plot(*at, "o", color=_ARM)
            name_point(axes, arm["arm"], at, _ARM, before=at[0] > right / 2)
        axes.set_xlim(0, right)
        axes.legend(loc="lower right", fontsize=8)


def _line(
    axes: Any, points: Sequence[Mapping[str, float]], label: str, color: str | None, style: str
) -> None:
    inside = _by_cost(points)
    costs = [1000 * point["cost_usd"] for point in inside]
    axes.plot(costs, [point["quality"] for point in inside], style, color=color, label=label, linewidth=1.2)


def _band(axes: Any, points: Points) -> None:
    inside = _by_cost(points)
    costs = [1000 * point["cost_usd"] for point in inside]
    low, high = [point["low"] for point in inside], [point["high"] for point in inside]
    axes.fill_between(costs, low, high, color=_ROUTER, alpha=0.15, linewidth=0)
    axes.plot(costs, [point["quality"] for point in inside], color=_ROUTER, label="effortwise", linewidth=1.8)


def _by_cost(points: Points) -> list[Mapping[str, float]]:
    return sorted(points, key=lambda point: point["cost_usd"])
