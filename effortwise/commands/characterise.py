"""``effortwise characterise``: scaling curves of quality against compute, and where more stops paying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from effortwise.outputs import check_writable
from effortwise.picture import picture
from router.errors import InvalidQuery
from training.interchange import read_rows
from training.sampling.characterise import Characterised, Curve, characterise, curves_of, ladders_of
from training.sampling.samples import read_samples

MOST_DRAWN = 8
"""A picture of more curves than this cannot be read: those of most queries are drawn."""
FOREVER = 1e5
"""Compute beyond any that was tried."""


def characterise_file(
    path: Path,
    datasets: Sequence[str],
    models: Sequence[str] | None,
    prices: tuple[float, float],
    json: Path | None,
    plot: Path | None,
    seed: int,
) -> None:
    """Print the table; write it as JSON and as a picture where wanted. prices: quality units per US dollar,
    and per draw where costs are unknown."""
    check_writable(json, plot)
    if not all(isfinite(price) and price >= 0 for price in prices):
        raise InvalidQuery("Prices must be 0 or more.", "price")
    found = characterise(_curves(path, datasets, models, seed), *prices, seed)
    values = [each.as_values() for each in found]
    _show(values)
    if json is not None:
        json.write_bytes(orjson.dumps({"file": path.name, "curves": values}, option=orjson.OPT_INDENT_2))
    if plot is not None:
        _draw(found, plot)


def _curves(path: Path, datasets: Sequence[str], models: Sequence[str] | None, seed: int) -> list[Curve]:
    """Of every data set that is named, or of all."""
    rows = [{**row, "dataset": row.get("dataset") or path.stem} for row in read_rows([path])]
    known = sorted({row["dataset"] for row in rows})
    if unknown := [name for name in datasets if name not in known]:
        raise InvalidQuery(f"{path} holds no data set {unknown[0]!r}. It holds: {', '.join(known)}.")
    named = datasets or known
    found = [curve for name in named for curve in _of_one(path, rows, name, models, seed, len(named) > 1)]
    if not found:
        raise InvalidQuery(
            f"{path} holds nothing to characterise: no arm with several samples of one query, no strategy at "
            "three amounts of compute, over five queries or more."
        )
    return found


def _of_one(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    dataset: str,
    models: Sequence[str] | None,
    seed: int,
    several: bool,
) -> list[Curve]:
    """several: the data set's name stands before the domain's."""
    wanted = [
        row
        for row in rows
        if row["dataset"] == dataset and (models is None or any(name in str(row["model"]) for name in models))
    ]
    found = ladders_of(wanted)
    with suppress(InvalidQuery):  # it has no arm of these names, or none of several draws
        found = [*curves_of(read_samples(path, [dataset], models), seed), *found]
    if not several:
        return found
    return [replace(curve, domain=_labelled(dataset, curve.domain)) for curve in found]


def _labelled(dataset: str, domain: str) -> str:
    return dataset if domain in ("", dataset) else f"{dataset}: {domain}"


def _show(values: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="quality(k) = ceiling / (1 + (half / k)^exponent), k in draws; 95 % intervals")
    table.add_column("domain", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("strategy", no_wrap=True)
    for name in ("queries", "quality at 1", "at most", "ceiling", "half at k", "misfit", "worth up to k"):
        table.add_column(name, justify="right")
    for each in values:
        table.add_row(*_cells(each))
    Console(width=max(Console().width, 140)).print(table)


def _cells(each: Mapping[str, Any]) -> list[str]:
    first, last, law = each["points"][0], each["points"][-1], each["law"]
    return [
        each["domain"],
        each["model"],
        each["strategy"],
        str(each["queries"]),
        f"{first['quality']:.3f}",
        f"{last['quality']:.3f} at {last['compute']:.0f}",
        _interval(law["ceiling"], "{:.2f}"),
        _interval(law["half"], "{:.3g}"),
        f"{law['largest_residual']:.3f}",
        _interval(each["worth_up_to"], "{:.0f}"),
    ]


def _interval(value: Mapping[str, float], form: str) -> str:
    middle, low, high = (
        form.format(value[key]) if value[key] < FOREVER else "beyond" for key in ("value", "low", "high")
    )
    return f"{middle} ({low} to {high})"


def _draw(found: Sequence[Characterised], path: Path) -> None:
    import numpy as np

    drawn = sorted(found, key=lambda each: -len(each.curve.quality))[:MOST_DRAWN]
    with picture(path, "Quality against compute, measured and fitted", "draws (log)", "quality") as axes:
        axes.set_xscale("log", base=2)
        for each in drawn:
            curve, measured = each.curve, each.curve.quality.mean(axis=0)
            fine = np.geomspace(curve.compute[0], curve.compute[-1], 100)
            laws = np.stack([law.quality(fine) for law in each.resampled])
            (line,) = axes.plot(fine, each.law.quality(fine), linewidth=1.2)
            color = line.get_color()
            axes.fill_between(fine, *np.quantile(laws, (0.025, 0.975), axis=0), color=color, alpha=0.12)
            axes.plot(curve.compute, measured, "o", markersize=3, color=color)
            line.set_label(f"{curve.domain}: {curve.model}, {curve.strategy}")
        axes.legend(fontsize=6, loc="best")
