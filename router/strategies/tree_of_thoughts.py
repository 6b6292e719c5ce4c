"""Tree of thoughts: propose, value, prune, and go back to a better branch (Yao et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeAlias

from router.candidate import Answer
from router.errors import ConfigurationError
from router.run import Run
from router.search.guide import Guide, family_of
from router.search.path import ROOT, Path
from router.search.search import Search, best, best_first
from router.strategies import Traits

Frontier: TypeAlias = list[Path]
"""Paths that may go on."""


def _whole_level(frontier: Frontier, width: int) -> tuple[Frontier, Frontier]:
    """Breadth first: the best of the level go on together, the others never."""
    return best_first(frontier)[:width], []


def _best_open(frontier: Frontier, width: int) -> tuple[Frontier, Frontier]:
    """Best first: the best of all open paths goes on, the others wait, to be gone back to."""
    first, *others = best_first(frontier)
    return [first], others


_SEARCHES: Mapping[str, Callable[[Frontier, int], tuple[Frontier, Frontier]]] = {
    "best_first": _best_open,
    "breadth_first": _whole_level,
}


@dataclass(frozen=True, slots=True)
class TreeOfThoughts:
    """At most ``n`` thoughts, ``branch`` from each path that goes on.

    ``search``: ``breadth_first`` goes on from the ``width`` best paths of each level at once;
    ``best_first`` from the best open path wherever it stands, so that a branch which disappoints is left
    for the best one that was left behind. A path valued below ``prune_below`` never goes on. It ends with
    the thoughts, or where no open path is worth more than a complete one that was reached.
    """

    name: ClassVar[str] = "tree_of_thoughts"
    summary: ClassVar[str] = "several thoughts a step, valued and pruned; breadth-first or best-first"
    model: str
    n: int
    search: str = "breadth_first"
    depth: int = 4
    branch: int = 3
    width: int = 2
    prune_below: float = 0.3
    value: str = "judge"
    judge: str | None = None

    def __post_init__(self) -> None:
        if self.search not in _SEARCHES:
            raise ConfigurationError(f"Unknown search {self.search!r}. Known: {', '.join(_SEARCHES)}.")
        if min(self.n, self.branch, self.width) < 1 or not 0 <= self.prune_below <= 1:
            raise ConfigurationError(
                "tree_of_thoughts needs n, branch and width of 1 or more and 0 <= prune_below <= 1."
            )
        self.guide()  # raises where it cannot be led so

    def guide(self) -> Guide:
        """How its thoughts are written and valued."""
        return Guide(self.model, self.value, self.judge, self.depth)

    @property
    def traits(self) -> Traits:
        """See ``Guide.traits``."""
        return self.guide().traits

    @property
    def family(self) -> str:
        """``<model>/tree_of_thoughts``, with the options that are not the default."""
        return family_of(self, self.model)

    @property
    def compute(self) -> float:
        """Thoughts at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n thoughts and a forced end; each thought is valued."""
        return self.guide().demand(self.n + 1, self.n)

    async def answer(self, run: Run) -> Answer:
        """The best complete path."""
        search, frontier, left = Search(run, self.guide()), [ROOT], self.n
        while frontier and left and not search.ended:
            chosen, frontier = _SEARCHES[self.search](frontier, self.width)
            growing = (chosen * self.branch)[:left]  # short of thoughts, each has its first before a second
            left -= len(growing)
            grown = await search.round([partial(search.grow, path) for path in growing])
            frontier += [path for path in grown if self._may_go_on(path)]
            if _settled(search.reached, frontier):
                break
        return await search.conclude()

    def _may_go_on(self, path: Path) -> bool:
        return not path.complete and len(path.steps) < self.depth and path.rank >= self.prune_below


def _settled(reached: Sequence[Path], frontier: Frontier) -> bool:
    return bool(reached and frontier) and best(reached).rank >= best(frontier).rank
