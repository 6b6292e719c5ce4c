"""Monte Carlo tree search over reasoning steps: UCT (Kocsis & Szepesvari 2006), or adaptive branching as in
AB-MCTS (Inoue et al. 2025).

TreeQuest, the library of AB-MCTS's authors, was tried and not taken: it draws from the global random state of
numpy, so one query's decisions could not be repeated while others are made; its parallel trials do not know
of one another (no virtual loss); and what is needed of it is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from router.candidate import Answer
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run
from router.search.guide import Guide, family_of
from router.search.path import ROOT, Path
from router.search.search import Search
from router.search.tree import Adaptive, Node, Uct
from router.strategies import Traits

_BRANCHINGS = ("adaptive", "fixed")


@dataclass(frozen=True, slots=True)
class MonteCarloTreeSearch:
    """``n`` simulations, ``parallel`` of them at once.

    A simulation grows the tree by one step, and rolls out from there to an answer by a second call; the
    answer's value goes to every node above. ``branching``: ``fixed`` gives each node ``branch`` children and
    chooses among them by UCT; ``adaptive`` goes wider or deeper by Thompson sampling, and needs no
    ``branch``. The best answer of all simulations is returned.
    """

    name: ClassVar[str] = "monte_carlo_tree_search"
    summary: ClassVar[str] = "a tree of steps grown where rollouts were good; UCT or adaptive branching"
    model: str
    n: int
    branching: str = "fixed"
    depth: int = 4
    branch: int = 3
    exploration: float = 1.0
    parallel: int = 4
    value: str = "judge"
    judge: str | None = None

    def __post_init__(self) -> None:
        if self.branching not in _BRANCHINGS:
            raise ConfigurationError(
                f"Unknown branching {self.branching!r}. Known: {', '.join(_BRANCHINGS)}."
            )
        if min(self.n, self.branch, self.parallel) < 1 or not self.exploration >= 0:
            raise ConfigurationError(
                "monte_carlo_tree_search needs n, branch and parallel of 1 or more and exploration >= 0."
            )
        self.guide()  # raises where it cannot be led so

    def guide(self) -> Guide:
        """How its steps are written and its answers valued."""
        return Guide(self.model, self.value, self.judge, self.depth)

    @property
    def traits(self) -> Traits:
        """See ``Guide.traits``."""
        return self.guide().traits

    @property
    def family(self) -> str:
        """``<model>/monte_carlo_tree_search``, with the options that are not the default."""
        return family_of(self, self.model)

    @property
    def compute(self) -> float:
        """Simulations at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """A step and a rollout for each simulation, and a forced end where every rollout failed; each
        simulation is valued once."""
        return self.guide().demand(2 * self.n + 1, self.n)

    async def answer(self, run: Run) -> Answer:
        """The best answer of all simulations."""
        search, root, rule, left = Search(run, self.guide()), Node(ROOT), self._rule(run), self.n
        while left and not search.ended:
            grown = [
                parent.sprout() for _ in range(min(left, self.parallel)) if (parent := rule.select(root))
            ]
            if not grown:  # every path ends
                break
            left -= len(grown)
            await search.round([partial(_simulate, search, node) for node in grown])
        return await search.conclude()

    def _rule(self, run: Run) -> Uct | Adaptive:
        if self.branching == "fixed":
            return Uct(self.depth, self.branch, self.exploration)
        seed = int(run.chance("tree") * 2**53)
        return Adaptive(self.depth, np.random.default_rng(seed))


async def _simulate(search: Search, node: Node) -> Path:
    """The answer that a new node's rollout came to."""
    try:
        path = await search.extend(_path_above(node))
        answer = await search.weigh(path if path.complete else await search.finish(path))
    except (BackendError, OutOfCompute):
        node.withdraw()
        raise
    node.path = path
    node.credit(max(answer.rank, 0.0))
    return answer


def _path_above(node: Node) -> Path:
    above = node.parent.path if node.parent is not None else None
    return above or ROOT
