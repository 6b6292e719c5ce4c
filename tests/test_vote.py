"""Votes."""

from __future__ import annotations

from math import e, log

import pytest
from fakes_learning import candidates
from fakes_sampling import sure_candidate
from hypothesis import given
from hypothesis import strategies as st

from router.call import Completion
from router.candidate import Candidate
from router.errors import InvalidQuery
from router.vote import WEIGHT_TEMPERATURE, confidence_weights, leading, tally, weighed

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


def test_weights_can_outvote_a_majority() -> None:
    """Two doubtful votes lose to a sure one, and a weight of 0 is no vote."""
    drawn = candidates("8", "8", "7", "9")
    assert weighed(drawn, [0.4, 0.5, 1.0, 0.0]) == {"8": 0.9, "7": 1.0}
    assert leading(drawn, [0.4, 0.5, 1.0, 0.0]) == 2


def test_the_first_candidate_with_a_vote_stands_for_its_answer() -> None:
    """One that may not vote is not shown for an answer that another gave validly."""
    assert leading(candidates("7", "8", "7"), [0.0, 0.0, 1.0]) == 2


def test_without_any_weight_all_vote() -> None:
    """No vote at all would leave no answer."""
    assert leading(candidates("7", "8", "8"), [0.0, 0.0, 0.0]) == 1


def test_a_reply_more_probable_by_the_temperature_weighs_e_times_as_much() -> None:
    """The softmax over the probability per token, whatever the length of the reply."""
    low, high = log(0.5), log(0.5 + WEIGHT_TEMPERATURE)
    first, second = confidence_weights([sure_candidate("7", low, low, low), sure_candidate("8", high)])
    assert second / first == pytest.approx(e)


@given(st.lists(st.none() | st.floats(-50, 0), min_size=1, max_size=8))
def test_weights_are_positive_and_one_in_the_mean(logprobs: list[float | None]) -> None:
    """A reply that tells nothing weighs as much as an average one that does."""
    drawn = [sure_candidate("7") if each is None else sure_candidate("7", each) for each in logprobs]
    weights = confidence_weights(drawn)
    assert all(weight > 0 for weight in weights)
    assert sum(weights) == pytest.approx(len(weights))
    assert all(weight == 1 for weight, told in zip(weights, logprobs, strict=True) if told is None)


def test_answers_vote_in_their_normal_form() -> None:
    """Two notations of one number, or two spellings of one name, are one answer; what leads is shown as it
    was written."""
    drawn = candidates("0.5", "3", "1/2", "Paris", "3", " paris.", r"\frac{1}{2}")
    assert tally(drawn) == {"0.5": 3, "3": 2, "paris": 2}
    assert weighed(drawn, [0.1, 1, 0.2, 1, 1, 1, 0.3]) == pytest.approx({"0.5": 0.6, "3": 2, "paris": 2})
    three = candidates("3", "1/2", "0.50")
    assert three[leading(three)].extracted == "1/2"


def test_a_token_without_a_log_probability_is_left_out() -> None:
    """Backends leave some out, or send null; the mean is of the others."""
    tokens = [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": None}, {"token": "c"}]
    for told, mean in ((tokens, -1.0), (tokens[1:], None)):
        message = {"role": "assistant", "content": "7"}
        drawn = Candidate(Completion(message, "stop", 10, 3, {"content": told}), "7")
        assert drawn.mean_logprob == mean
        assert confidence_weights([drawn]) == [1.0]
