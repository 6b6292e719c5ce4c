"""Votes: which of several candidates a majority stands behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from router.candidate import Candidate
from router.errors import InvalidQuery


def tally(candidates: Sequence[Candidate]) -> Mapping[str, int]:
    """Votes by extracted answer, in the order of their first appearance. A candidate from which
    nothing could be extracted does not vote."""
    return Counter(c.extracted for c in candidates if c.extracted is not None)


def leading(candidates: Sequence[Candidate]) -> int:
    """The index of the first candidate with the most votes; ties go to the earliest answer. Where
    nobody votes, the first candidate stands. ``InvalidQuery`` where there is none."""
    if not candidates:
        raise InvalidQuery("A vote needs at least one candidate.")
    votes = tally(candidates)
    if not votes:
        return 0
    winner = max(votes, key=votes.__getitem__)
    return next(i for i, candidate in enumerate(candidates) if candidate.extracted == winner)
