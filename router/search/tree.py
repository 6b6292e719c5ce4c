"""Tree: the nodes of a Monte Carlo tree search, and how a simulation finds where to grow it.

Nodes under way count as visits that brought nothing (virtual loss, Chaslot et al. 2008), so that parallel
simulations part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from router.search.path import Path

_PRIOR = 0.5
"""Jeffreys' prior of a Beta posterior, Beta(1/2, 1/2)."""


@dataclass(slots=True, eq=False)
class Node:
    """A path in the tree. path: ``None`` while its last step is being written. visits, total: simulations
    through it, and the sum of their values; those under way are in visits only. own: the value of its own
    simulation."""

    path: Path | None
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0
    own: float = 0.0

    def sprout(self) -> Node:
        """A new child, under way."""
        child = Node(None, self)
        self.children.append(child)
        for node in child.lineage():
            node.visits += 1
        return child

    def credit(self, value: float) -> None:
        """The value of this node's own simulation has come."""
        self.own = value
        for node in self.lineage():
            node.total += value

    def withdraw(self) -> None:
        """This node's own simulation failed: nothing of it stays."""
        for node in self.lineage():
            node.visits -= 1
        if self.parent is not None:
            self.parent.children.remove(self)

    def lineage(self) -> Iterator[Node]:
        """This node and those above it, up to the root."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def can_grow(self, depth: int) -> bool:
        """Whether another step may follow."""
        return self.path is not None and not self.path.complete and len(self.path.steps) < depth


@dataclass(frozen=True, slots=True)
class Uct:
    """Upper confidence bounds applied to trees (Kocsis & Szepesvari 2006): a node first gets ``branch``
    children; then the child with the highest mean + exploration * sqrt(ln N / n) is entered."""

    depth: int
    branch: int
    exploration: float

    def select(self, node: Node) -> Node | None:
        """The node under ``node`` that grows; ``None`` where none may."""
        if not node.can_grow(self.depth):
            return None
        if len(node.children) < self.branch:
            return node
        for child in sorted(node.children, key=self._bound, reverse=True):
            if (found := self.select(child)) is not None:
                return found
        return None

    def _bound(self, child: Node) -> float:
        above = child.parent.visits if child.parent is not None else 1
        return child.total / child.visits + self.exploration * math.sqrt(math.log(above) / child.visits)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Wider or deeper by Thompson sampling, AB-MCTS-A of Inoue et al. 2025 (arXiv 2503.04412), on Beta
    posteriors with Jeffreys' prior.

    At each node a draw from the values that new children began with (wider) meets one from the values of
    all simulations below its children (deeper). Where deeper wins, each child draws from the simulations
    through it, and the highest is entered.
    """

    depth: int
    chance: np.random.Generator

    def select(self, node: Node) -> Node | None:
        """The node under ``node`` that grows; ``None`` where none may."""
        if not node.can_grow(self.depth):
            return None
        deeper = [child for child in node.children if child.can_grow(self.depth)]
        if not deeper or self._goes_wider(node):
            return node
        return self.select(max(deeper, key=lambda child: self._drawn(child.total, child.visits)))

    def _goes_wider(self, node: Node) -> bool:
        began = sum(child.own for child in node.children)
        went_on = sum(child.visits - 1 for child in node.children)
        below = sum(child.total - child.own for child in node.children)
        return self._drawn(began, len(node.children)) >= self._drawn(below, went_on)

    def _drawn(self, total: float, count: int) -> float:
        return float(self.chance.beta(_PRIOR + total, _PRIOR + max(count - total, 0.0)))
