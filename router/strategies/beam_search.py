"""Beam search over reasoning steps, led by values (Snell et al. 2024, section 5.2; Xie et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from router.candidate import Answer
from router.errors import ConfigurationError
from router.run import Run
from router.search.guide import Guide, family_of
from router.search.path import ROOT
from router.search.search import Search, best_first
from router.strategies import Traits


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """Of all paths of a level the ``n`` best stay; each goes on by ``branch`` next steps, to ``depth`` steps.

    The first level has n * branch first steps. All steps of a level are written at once, each is valued as
    soon as it stands. A complete path keeps its place in the beam; where all are complete, it ends.
    """

    name: ClassVar[str] = "beam_search"
    summary: ClassVar[str] = "the best partial solutions go on step by step, by judge, reward or likelihood"
    model: str
    n: int
    depth: int = 3
    branch: int = 2
    value: str = "judge"
    judge: str | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or self.branch < 1:
            raise ConfigurationError(
                f"beam_search needs n >= 1 and branch >= 1, not {self.n} and {self.branch}."
            )
        self.guide()  # raises where it cannot be led so

    def guide(self) -> Guide:
        """How its steps are written and valued."""
        return Guide(self.model, self.value, self.judge, self.depth)

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
        """Paths in the beam."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n * branch * depth steps and a forced end; each step is valued."""
        steps = self.n * self.branch * self.depth
        return self.guide().demand(steps + 1, steps)

    async def answer(self, run: Run) -> Answer:
        """The best complete path."""
        search, beam = Search(run, self.guide()), [ROOT]
        for level in range(self.depth):
            unfinished = [path for path in beam if not path.complete]
            if search.ended or not unfinished:
                break
            growing = unfinished * (self.branch if level else self.n * self.branch)
            grown = await search.round([partial(search.grow, path) for path in growing])
            beam = best_first([*(path for path in beam if path.complete), *grown])[: self.n]
        return await search.conclude()
