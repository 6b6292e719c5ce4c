"""The printed tables of a report. Money is shown as USD per 1,000 queries, quality in percent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

Report = Mapping[str, Any]

BY_RULE = " †"

TABLE_WIDTH = 116
BASELINES = {
    "knn": "kNN",
    "logistic": "logistic",
    "mlp": "MLP",
    "plain": "TF-IDF + LR",
}
POINTS = {"at_equal_quality": "equal", "at_minus_1": "-1 point", "at_98": "98 %"}


def print_evaluation(report: Report) -> None:
    """Every table, to standard output."""
    console = Console(width=max(Console().width, TABLE_WIDTH))
    console.print(_headline(report))
    routers = _routers(report)
    for table in (_arms(report), _equal_cost(routers), _savings(routers), _lifts(routers)):
        console.print(table)
    if report["apgr"] is not None:
        console.print(_pairs(routers))
    console.print(_calibration(report["calibration"]))
    console.print(_fine_print(report))


def _routers(report: Report) -> dict[str, Report]:
    """The report's own router, additional ones, and those it is compared with."""
    own = {
        **report["router"],
        "apgr": report["apgr"],
        "apgr_interval": report["apgr_interval"],
        "cpt": report["cpt"],
    }
    compared = {title: report["baselines"][name] for name, title in BASELINES.items()}
    return {"effortwise": own, **report["routers"], **compared}


def _headline(report: Report) -> str:
    protocol = report["protocol"]
    how = f"{protocol['folds']} folds over all queries" if protocol["folds"] else "the logged split"
    if protocol["leave_out"]:
        how += f", no {protocol['leave_out']} on both sides"
    left_out = ", ".join(f"{count} {reason}" for reason, count in report["dropped"].items() if count)
    return (
        f"{report['dataset']}: trained on {report['n_train']} queries, tested on {report['n_test']} ({how})"
        + (f"; left out: {left_out}" if left_out else "")
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(columns[0], no_wrap=True)
    for name in columns[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _arms(report: Report) -> Table:
    table = _table("Without looking at the question", "way of answering", "USD per 1,000", "quality", "95 %")
    baselines = report["baselines"]
    rows = [(each["arm"], each) for each in report["arms"]]
    rows += [
        (f"best single: {baselines['best_single']['arm']}", baselines["best_single"]),
        (f"cheapest: {baselines['cheapest']['arm']}", baselines["cheapest"]),
        ("random mix at best single's cost", baselines["random_mix"]),
        ("oracle (hindsight)", baselines["oracle"]),
    ]
    for name, point in rows:
        table.add_row(name, _usd(point), _percent(point["quality"]), _range(point))
    return table


def _equal_cost(routers: Mapping[str, Report]) -> Table:
    table = _table(
        "For what best single costs",
        *("router", "USD per 1,000", "quality (95 %)", "over best single (95 %)", "read off test"),
    )
    for name, found in routers.items():
        point = found["at_equal_cost"]
        table.add_row(
            name + _mark(point),
            _usd(point),
            f"{_percent(point['quality'])} ({_range(point)})",
            _difference(point["over_best_single"]),
            _percent(found["read_off_test"]["at_equal_cost"]),
        )
    return table


def _savings(routers: Mapping[str, Report]) -> Table:
    table = _table(
        "Saved against best single, at a wanted quality",
        *("router", "wanted", "saved (95 %)", "over best single (95 %)", "came", "read off test"),
    )
    for name, found in routers.items():
        for key, title in POINTS.items():
            point = found[key]
            table.add_row(
                name + _mark(point),
                title,
                f"{_percent(point['saving'])} ({_range(point)})",
                _difference(point["over_best_single"]),
                "met" if point["met"] else "missed",
                _percent(found["read_off_test"][key]),
            )
    return table


def _lifts(routers: Mapping[str, Report]) -> Table:
    table = _table(
        "Lift over the shuffle of its own choices",
        "router", "at half of best single's cost", "at its largest", "mix to oracle closed",
    )  # fmt: skip
    for name, found in routers.items():
        lift = found["lift_over_shuffle"]
        table.add_row(
            name, _difference(lift), _difference(lift["at_largest"]), _percent(found["share_closed"])
        )
    return table


def _pairs(routers: Mapping[str, Report]) -> Table:
    table = _table("Two models, as RouteLLM measures", "router", "APGR", "95 %", "CPT 20", "CPT 50", "CPT 80")
    for name, found in routers.items():
        if found.get("apgr") is not None:
            shares = [_percent(found["cpt"][level]) for level in ("20", "50", "80")]
            bounds = found["apgr_interval"]
            table.add_row(
                name, f"{found['apgr']:.3f}", f"{bounds['low']:.3f} to {bounds['high']:.3f}", *shares
            )
    return table


def _calibration(found: Report) -> Table:
    table = _table("P(success) on the tested queries", "arm", "ECE", "debiased", "95 %", "Brier", "AUROC")
    for name, each in [*((arm["arm"], arm) for arm in found["arms"]), ("all arms", found["pooled"])]:
        table.add_row(
            name,
            f"{each['ece']:.3f}",
            f"{each['ece_debiased']:.3f}",
            f"{each['low']:.3f} to {each['high']:.3f}",
            f"{each['brier']:.3f}",
            "-" if each["auroc"] is None else f"{each['auroc']:.3f}",
        )
    return table


def _fine_print(report: Report) -> str:
    protocol = report["protocol"]
    rule = _rule(each[name] for each in report["routers"].values() for name in POINTS)
    return (
        "Prices were chosen on training queries, out of fold. Read off test: with hindsight, so flattered.\n"
        "* best single itself. Shuffle: the router's own choices, dealt to the queries at random."
        f"{rule}\n"
        f"95 %: paired bootstrap over {protocol['resampled']}s, {protocol['resamples']} resamples."
    )


def _usd(point: Report) -> str:
    return f"{1000 * point['cost_usd']:.4g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %".replace("-0.0 ", "0.0 ")


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _range(point: Report) -> str:
    return f"{100 * point['low']:.1f} to {100 * point['high']:.1f}"


def _difference(found: Report) -> str:
    return f"{_points(found['mean'])} ({_points(found['low'])} to {_points(found['high'])})"


def _mark(point: Report) -> str:
    """Where best single answers in the router's place, or a rule, in half of the parts at least."""
    if point["fell_back"] >= 0.5:
        return " *"
    return BY_RULE if _is_by_rule(point) else ""


def _is_by_rule(point: Report) -> bool:
    """Whether a rule of agreement answers in half of the parts at least."""
    return 2 * sum(rule is not None for rule in point["rules"]) >= len(point["rules"])


def _rule(points: Iterable[Report]) -> str:
    """The rule that answers in the most parts of the points that are marked so, "" where there are none."""
    told = Counter(
        f"{' > '.join(rule['stages'])}, {_enough(rule)}"
        for point in points
        if _mark(point) == BY_RULE
        for rule in point["rules"]
        if rule is not None
    )
    return f"\n† a rule of agreement, mostly {told.most_common(1)[0][0]}." if told else ""


def _enough(rule: Report) -> str:
    whose = " with the first" if rule["whose"] == "first" else ""
    return f"until {rule['agree']} agree{whose}"
