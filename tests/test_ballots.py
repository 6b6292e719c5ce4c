"""Ballots: who may vote, and with what weight."""

from __future__ import annotations

import pytest
from fakes_sampling import sure_candidate
from hypothesis import given
from hypothesis import strategies as st

from router.ballots import Ballots, is_valid
from router.candidate import Candidate, Verdict

PASS = Verdict.of(True, "exact", sound=True)
FAIL = Verdict.of(False, "exact", sound=True)
UNKNOWN = Verdict.unknown("exact", "cannot tell")


@pytest.mark.parametrize(
    ("candidate", "verdict", "valid"),
    [
        (sure_candidate("5"), None, True),
        (sure_candidate("5"), PASS, True),
        (sure_candidate("5"), UNKNOWN, True),
        (sure_candidate("5"), FAIL, False),
        (sure_candidate("5", finish_reason="length"), PASS, False),
        (sure_candidate(None), None, False),
    ],
    ids=["unjudged", "passed", "unknown", "failed", "cut off", "no answer"],
)
def test_what_makes_a_vote_invalid(candidate: Candidate, verdict: Verdict | None, valid: bool) -> None:
    """No answer, a reply cut off, a verdict against it; a verifier that cannot tell is none."""
    assert is_valid(candidate, verdict) is valid


def filled(*finish_reasons: str, **options: bool) -> Ballots:
    ballots = Ballots(**options)
    for i, reason in enumerate(finish_reasons):
        ballots.cast(sure_candidate(str(i), -float(i + 1), finish_reason=reason))
    return ballots


def test_a_stopping_rule_counts_only_who_may_vote() -> None:
    """A cut-off reply is no vote to it, unless nobody asked for that."""
    assert filled("length", "stop", only_valid=True).answers == [None, "1"]
    assert filled("length", "stop", only_valid=True).invalid == 1
    assert filled("length", "stop").answers == ["0", "1"]


def test_where_all_are_invalid_all_vote_but_no_rule_stops_on_it() -> None:
    """The caller gets an answer; the rule goes on looking for a valid one."""
    ballots = filled("length", "length", only_valid=True)
    assert ballots.answers == [None, None]
    assert ballots.elected(complete=True).candidate.extracted == "0"


def test_where_all_are_invalid_the_surest_still_weighs_most() -> None:
    """The filter that finds nobody leaves the weights as they are."""
    ballots = Ballots(by_confidence=True, only_valid=True)
    for extracted, logprob in (("8", -2.0), ("7", -0.1)):
        ballots.cast(sure_candidate(extracted, logprob, finish_reason="length"))
    assert ballots.elected(complete=True).candidate.extracted == "7"


@given(st.lists(st.sampled_from(["stop", "length"]), min_size=1, max_size=8))
def test_an_invalid_one_is_elected_only_where_all_are(reasons: list[str]) -> None:
    """Whatever was drawn, a valid candidate wins if there is one, and nothing drawn is lost."""
    answer = filled(*reasons, only_valid=True).elected(complete=True)
    assert (answer.candidate.completion.finish_reason == "stop") is ("stop" in reasons)
    assert len(answer.weighed) == len(answer.verdicts) == len(reasons)


def test_a_stopping_rule_counts_answers_in_their_normal_form() -> None:
    """Two notations of one number are two votes for it."""
    ballots = Ballots()
    for extracted in ("0.5", "1/2", "Paris.", "paris"):
        ballots.cast(sure_candidate(extracted))
    assert ballots.answers == ["0.5", "0.5", "paris", "paris"]
