"""Pictures of quality against cost, as every command draws them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DPI = 150


@contextmanager
def picture(path: Path, title: str, cost: str, quality: str) -> Iterator[Any]:
    """Axes to draw on, written as PNG and SVG beside each other at the end. cost, quality: the labels of
    the axes. Imports matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    try:
        yield axes
        axes.set_xlabel(cost)
        axes.set_ylabel(quality)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
        for suffix in (".png", ".svg"):
            figure.savefig(path.with_suffix(suffix), dpi=DPI)
    finally:
        plt.close(figure)


def name_point(
    axes: Any,
    name: str,
    at: tuple[float, float],
    color: str,
    *,
    before: bool = False,
    below: bool = False,
) -> None:
    """Write a name beside a point; ``before`` it, where there is no room behind; ``below`` its height, where
    a neighbour's name stands above."""
    across, side = (-6, "right") if before else (6, "left")
    offset = across, -12 if below else 6
    axes.annotate(name, at, xytext=offset, textcoords="offset points", fontsize=8, color=color, ha=side)
