"""Votes."""

from __future__ import annotations

import pytest
from fakes_learning import candidates
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidQuery
from router.vote import leading, tally

answers = st.lists(st.sampled_from(["7", "8", "9", None]), min_size=1, max_size=12)


def test_majority_leads() -> None:
    """The answer with the most votes leads, through its first candidate."""
    assert leading(candidates("8", "7", "9", "7")) == 1


def test_ties_go_to_the_earliest() -> None:
    """Of two answers with equal votes, the one that came first leads."""
    assert leading(candidates("8", "7", "7", "8")) == 0


def test_unextracted_does_not_vote() -> None:
    """Candidates without an extracted answer are outvoted by a single one that has it."""
    drawn = candidates(None, None, "7")
    assert tally(drawn) == {"7": 1}
    assert leading(drawn) == 2


def test_nothing_else_stands() -> None:
    """Where no candidate has an extracted answer, the first one leads."""
    assert leading(candidates(None, None)) == 0


def test_no_candidates() -> None:
    """A vote over nothing is an error, not a guess."""
    with pytest.raises(InvalidQuery):
        leading(())


@given(answers)
def test_leader_has_the_most_votes(drawn: list[str | None]) -> None:
    """Whatever was drawn, nothing has more votes than the leader, and no earlier answer as many."""
    found = candidates(*drawn)
    votes = tally(found)
    extracted = found[leading(found)].extracted
    if votes:
        assert votes[extracted] == max(votes.values())  # type: ignore[index]  # a vote exists, so it was extracted
        earlier = list(votes)[: list(votes).index(extracted)]  # type: ignore[arg-type]
        assert all(votes[each] < votes[extracted] for each in earlier)  # type: ignore[index]
