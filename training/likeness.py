"""Likeness, found once for recorded replies and remembered: what is replayed runs no program again."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from router.behaviour import Likeness, Pair
from router.query import Query

AT_ONCE = 8
"""Questions whose replies are compared at the same time."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """``Likeness`` of recorded replies. known: by question id, the pairs of replies that say the same."""

    known: Mapping[str, Set[frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, likeness: Likeness | None, queries: Sequence[Query], replies: Sequence[Sequence[str]]
    ) -> Remembered:
        """Whatever a likeness finds alike among the replies to each question; nothing without one."""
        if likeness is None:
            return cls()
        asked = [i for i, query in enumerate(queries) if likeness.concerns(query)]
        found = asyncio.run(_all(likeness, [(queries[i], replies[i]) for i in asked]))
        known: dict[str, set[frozenset[str]]] = defaultdict(set)
        for i, pairs in zip(asked, found, strict=True):
            known[queries[i].id] |= {frozenset((replies[i][one], replies[i][other])) for one, other in pairs}
        return cls(known)

    def concerns(self, query: Query) -> bool:
        """See the contract."""
        return bool(self.known.get(query.id))

    async def alike(self, query: Query, replies: Sequence[str]) -> Sequence[Pair]:
        """See the contract."""
        return self.pairs(query, replies)

    def pairs(self, query: Query, replies: Sequence[str]) -> Sequence[Pair]:
        """What ``alike`` says, at once."""
        known = self.known.get(query.id)
        if known is None:
            return ()
        numbered = itertools.combinations(enumerate(replies), 2)
        return [(i, j) for (i, one), (j, other) in numbered if frozenset((one, other)) in known]


async def _all(likeness: Likeness, asked: Sequence[tuple[Query, Sequence[str]]]) -> Sequence[Sequence[Pair]]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(query: Query, said: Sequence[str]) -> Sequence[Pair]:
        async with turns:
            return await likeness.alike(query, said)

    return await asyncio.gather(*(one(*each) for each in asked))
