"""Pictures of an allocation report: quality against mean samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effortwise.allocation.tables import method_name
from effortwise.picture import name_point, picture

_COLORS = {
    "uniform": "#475569",
    "fixed": "#475569",
    "learned": "#c2410c",
    "ours": "#c2410c",
    "oracle": "#15803d",
    "adaptive_consistency": "#1d4ed8",
    "esc": "#7e22ce",
}


def draw_allocation(report: Mapping[str, Any], path: Path) -> None:
    """A PNG (and SVG) of the allocation in advance at ``path``, and one of the stopping rules, where there
    are any, beside it with ``_stopping`` in its name."""
    title = f"{report['dataset']}: samples allocated in advance, best of k"
    with picture(path, title, "mean samples per query", "share of queries with a right sample") as axes:
        lines = report["in_advance"]["best_of_k"]["frontier"]
        for name in ("uniform", "learned", "oracle"):
            budgets, quality = zip(*lines[name], strict=True)
            axes.plot(budgets, quality, color=_COLORS[name], label=name)
        axes.set_xscale("log")
        axes.legend(fontsize=8)
    if "filtered" in report["stopping"]:
        _draw_stopping(report, path.with_name(f"{path.stem}_stopping{path.suffix}"))


def _draw_stopping(report: Mapping[str, Any], path: Path) -> None:
    section = report["stopping"]["filtered"]
    title = f"{report['dataset']}: stopping rules of a vote of at most {section['draws']}"
    with picture(path, title, "mean samples per query", "share of queries answered right") as axes:
        for name, points in section["frontier"].items():
            _, drawn, right = zip(*sorted(points, key=lambda point: point[1]), strict=True)
            axes.plot(drawn, right, "o-", markersize=3, color=_COLORS[name], label=name.replace("_", " "))
        for name, found in section["methods"].items():
            at = found["draws"]["mean"], found["quality"]["mean"]
            if name.startswith("ours"):
                axes.plot(*at, "D", color=_COLORS["ours"])
                name_point(axes, method_name(name), at, _COLORS["ours"])
            elif name in ("adaptive_consistency", "esc"):
                axes.plot(*at, "D", color=_COLORS[name], label=method_name(name))
        axes.set_xscale("log")
        axes.legend(fontsize=8)
