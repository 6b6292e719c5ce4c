"""Beam search over reasoning steps, led by values (Snell et al. 2024, section 5.2; Xie et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import ClassVar

from router.candidate import Answer
from router.errors import ConfigurationError
from router.run import Run
from router.search.guide import Guide, family_of
from router.search.path import ROOT
from router.search.search import Search, best_first
from router.strategies import Traits


@dataclass(frozen=True, slots=True)
class Shape:
    """width: paths that stay of each level. depth: levels. first: steps of the first level. branch: of each
    path that goes on."""

    width: int
    depth: int
    first: int
    branch: int

    @property
    def steps(self) -> int:
        """Of all levels, where no path ends early."""
        return self.first + (self.depth - 1) * self.width * self.branch


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """Of all paths of a level the ``width`` best stay; each goes on by ``branch`` next steps, for ``depth``
    levels.

    ``n``: steps at most. Width and depth come from it where they are not given, and from what is left of the
    plan's calls where that is less (``shape_of``). All steps of a level are written at once, each is valued
    as soon as it stands. A complete path keeps its place in the beam; where all are complete, it ends.
    """

    name: ClassVar[str] = "beam_search"
    summary: ClassVar[str] = "the best partial solutions go on step by step, by judge, reward or likelihood"
    model: str
    n: int
    width: int | None = None
    depth: int | None = None
    branch: int = 2
    value: str = "judge"
    judge: str | None = None

    def __post_init__(self) -> None:
        sizes = {"n": self.n, "width": self.width, "depth": self.depth, "branch": self.branch}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ConfigurationError(f"beam_search needs {name} >= 1, not {size}.")
        self.guide()  # raises where it cannot be led so

    def shape_of(self, steps: int) -> Shape:
        """The beam for so many steps: about as wide as deep, depth = sqrt(steps / branch), to the nearest.
        What does not make another path in every level goes to the first, where the paths part.

        >>> BeamSearch("small", 32).shape_of(20)
        Shape(width=3, depth=3, first=8, branch=2)
        """
        depth = self.depth or self._depth_of(steps)
        width = self.width or max(steps // (self.branch * depth), 1)
        level = width * self.branch
        first = level if self.width else max(steps - (depth - 1) * level, level)
        return Shape(width, depth, first, self.branch)

    def _depth_of(self, steps: int) -> int:
        if self.width:
            return max(steps // (self.width * self.branch), 1)
        return max(round(sqrt(steps / self.branch)), 1)

    def guide(self) -> Guide:
        """How its steps are written and valued."""
        return Guide(self.model, self.value, self.judge, self.shape_of(self.n).depth)

    @property
    def traits(self) -> Traits:
        """See ``Guide.traits``."""
        return self.guide().traits

    @property
    def family(self) -> str:
        """``<model>/beam_search``, with the options that are not the default."""
        return family_of(self, self.model)

    @property
    def compute(self) -> float:
        """Steps at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n steps and a forced end; each step is valued."""
        return self.guide().demand(self.n + 1, self.n)

    async def answer(self, run: Run) -> Answer:
        """The best complete path."""
        search, beam = Search(run, self.guide()), [ROOT]
        left = int(min(self.n, max(self.guide().steps_within(run.calls_left), 1)))
        shape = self.shape_of(left)
        search.lost = max(min(self.shape_of(self.n).steps, self.n) - min(shape.steps, left), 0)
        for level in range(shape.depth):
            unfinished = [path for path in beam if not path.complete]
            if search.ended or not unfinished or not left:
                break
            growing = (unfinished * (self.branch if level else shape.first))[:left]
            left -= len(growing)
            grown = await search.round([partial(search.grow, path) for path in growing])
            beam = best_first([*(path for path in beam if path.complete), *grown])[: shape.width]
        return await search.conclude()
