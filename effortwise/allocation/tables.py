"""Tables of an allocation report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = {
    "adaptive_consistency": "Adaptive-Consistency 0.95",
    "esc": "ESC, window 5",
}


def show_allocation(console: Console, report: Mapping[str, Any]) -> None:
    """Print the report's tables, and what could not be computed."""
    console.print(
        f"{report['dataset']}: {report['series']} series of {len(report['arms'])} arms over "
        f"{report['questions']} distinct questions, protocol {report['protocol']}"
    )
    for reason, count in {**report["dropped"], **report.get("dropped_votes", {})}.items():
        console.print(f"  left out {count}: {reason}")
    for reason in report["missing"]:
        console.print(f"  {reason}")
    for name, section in report["in_advance"].items():
        console.print(_advance(name, section))
    if "online" in report["in_advance"]["best_of_k"]:
        console.print(_online(report["in_advance"]["best_of_k"]["online"]))
    for name, section in report["stopping"].items():
        console.print(_stopping(name, section))
        console.print(
            f"ours promoted in {_promoted(section)} of parts; {section['replayed']['equal']} of "
            f"{section['replayed']['votes']} votes came out the same, replayed through the served strategy"
        )


def _advance(name: str, section: Mapping[str, Any]) -> Table:
    title = f"in advance, {name}: quality at equal mean budget ({section['series']} series)"
    table = _table(title, "samples", "uniform", "learned", "gain, 95 %", "saved, 95 %", "at least one each",
                   "oracle", "oracle saves", "closed")  # fmt: skip
    for point in section["points"]:
        learned, closed = point["learned"], point["share_closed"]
        table.add_row(
            f"{point['budget']:g}",
            f"{point['uniform']['quality']:.3f}",
            f"{learned['quality']:.3f}",
            _signed(learned["gain"]),
            _shares(learned["saved"]),
            f"{point['learned_one_each']['quality']:.3f}",
            f"{point['oracle']['quality']:.3f}",
            f"{point['oracle']['saved']['mean']:.0%}",
            "-" if closed is None else f"{closed:.2f}",
        )
    return table


def _online(points: Any) -> Table:
    table = _table("another setting, online: a verifier is asked on the way, the first pass ends it",
                   "at most", "quality", "samples drawn", "saved")  # fmt: skip
    for point in points:
        drawn = point["draws"]["mean"]
        saved = f"{1 - drawn / point['at_most']:.0%}"
        table.add_row(f"{point['at_most']}", f"{point['quality']:.3f}", f"{drawn:.2f}", saved)
    return table


def _stopping(name: str, section: Mapping[str, Any]) -> Table:
    title = f"when to stop, {name}: votes of at most {section['draws']} ({section['series']} series)"
    table = _table(title, "rule", "quality", "95 %", "samples", "fewer", "points lost against all, 95 %",
                   "points on Adaptive-Consistency, 95 %")  # fmt: skip
    for method, found in section["methods"].items():
        quality = found["quality"]
        table.add_row(
            method_name(method),
            f"{quality['mean']:.4f}",
            f"{quality['low']:.3f} to {quality['high']:.3f}",
            f"{found['draws']['mean']:.2f}",
            f"{found['fewer_than_all']:.1f}x",
            _points(found["loss_against_all"]),
            _points(found["gain_on_adaptive_consistency"]),
        )
    return table


def method_name(method: str) -> str:
    """For a reader."""
    return NAMES.get(method, method.replace("_at_", ", price ").replace("_", " "))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if not i else "right", no_wrap=not i)
    return table


def _promoted(section: Mapping[str, Any]) -> str:
    return " and ".join(f"{share:.0%}" for share in section["promoted"].values())


def _signed(found: Mapping[str, float]) -> str:
    return f"{found['mean']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def _shares(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.0%} ({found['low']:.0%} to {found['high']:.0%})"


def _points(found: Mapping[str, float]) -> str:
    return f"{100 * found['mean']:+.2f} ({100 * found['low']:+.2f} to {100 * found['high']:+.2f})"
