"""Likeness, found once for recorded replies and remembered: what is replayed runs no program again."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np

from router.behaviour import Likeness, Pair, asks_for_code
from router.candidate import in_one_form
from router.query import Query
from training.rounds import Round

MOST_COMPARED = 500
"""Of more questions or rounds whose answers must be run to be compared, so many are drawn at random."""
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
        asked = [i for i, query in enumerate(queries) if asks_for_code(query)]
        found = asyncio.run(_all(likeness, [(queries[i], replies[i]) for i in asked]))
        known: dict[str, set[frozenset[str]]] = defaultdict(set)
        for i, pairs in zip(asked, found, strict=True):
            known[queries[i].id] |= {frozenset((replies[i][one], replies[i][other])) for one, other in pairs}
        return cls(known)

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


def in_their_forms(rounds: Sequence[Round], likeness: Likeness | None, seed: int = 0) -> Sequence[Round]:
    """With one form for those candidates of a round that say the same, as a vote sees them while serving; of
    more rounds than ``MOST_COMPARED`` whose candidates must be run, those that are left out keep one."""
    if likeness is None:
        return rounds
    drawn = [i for i, r in enumerate(rounds) if len(r.candidates) > 1 and asks_for_code(r.query)]
    compared = thinned(drawn, MOST_COMPARED, seed)
    replies = [[each.text for each in rounds[i].candidates] for i in compared]
    found = Remembered.of(likeness, [rounds[i].query for i in compared], replies)
    formed, whole = list(rounds), set(compared)
    for i in drawn:
        r = rounds[i]
        pairs = found.pairs(r.query, [each.text for each in r.candidates])
        kept = in_one_form(r.candidates, pairs) if i in whole else r.candidates[:1]
        formed[i] = replace(r, candidates=tuple(kept))
    return formed


def thinned(numbers: Sequence[int], most: int, seed: int) -> Sequence[int]:
    """At most so many of them, drawn at random, in their order."""
    if len(numbers) <= most:
        return numbers
    return sorted(np.random.default_rng(seed).choice(numbers, most, replace=False).tolist())


async def _all(likeness: Likeness, asked: Sequence[tuple[Query, Sequence[str]]]) -> Sequence[Sequence[Pair]]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(query: Query, said: Sequence[str]) -> Sequence[Pair]:
        async with turns:
            return await likeness.alike(query, said)

    return await asyncio.gather(*(one(*each) for each in asked))
