"""Stopping rules: when more votes would hardly change the winner."""

from __future__ import annotations

import pytest
from fakes_learning import candidates
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from router.errors import ConfigurationError
from router.stopping import RULES, Draws, StoppingRule, next_batch
from router.stopping.adaptive_consistency import AdaptiveConsistency, draws_to_stop, stability
from router.stopping.esc import Esc
from router.stopping.never import Never
from router.stopping.value_of_information import INPUTS, ValueOfInformation, inputs
from router.vote import tally

votes = st.integers(0, 60)


@given(votes, votes)
def test_stability_is_the_beta_integral(first: int, second: int) -> None:
    """With a uniform prior, the leader's share given the votes is Beta(v1 + 1, v2 + 1), and stability
    is its mass above one half; scipy's own error is the tolerance."""
    assert stability(first, second) == pytest.approx(beta.sf(0.5, first + 1, second + 1), abs=1e-10)


@given(votes, votes)
def test_a_vote_for_the_leader_makes_it_stabler(first: int, second: int) -> None:
    """One more for the leader raises stability, one more for the second lowers it, a tie is even odds."""
    assert stability(first + 1, second) >= stability(first, second) >= stability(first, second + 1)
    assert stability(first, first) == 0.5


@given(votes, votes, st.floats(0.5, 1.0), st.integers(0, 64))
def test_a_batch_is_the_fewest_draws_that_could_end_it(
    first: int, second: int, stop_at: float, at_most: int
) -> None:
    """That many votes for the leader would be enough or are all that is left; one fewer never is."""
    batch = draws_to_stop(first, second, stop_at, at_most)
    assert 0 <= batch <= at_most
    if batch < at_most:
        assert stability(first + batch, second) >= stop_at
    if batch:
        assert stop_at == 1 or stability(first + batch - 1, second) < stop_at


@pytest.mark.parametrize("n", [2, 64, 2000])
def test_at_one_all_draws_are_made(n: int) -> None:
    """Certainty is never reached, however many votes agree and however floats round."""
    assert draws_to_stop(0, 0, 1.0, n) == n
    assert 0.5 < stability(n, 0) <= 1.0


EXAMPLES: dict[str, StoppingRule] = {
    "adaptive_consistency": AdaptiveConsistency(),
    "esc": Esc(3),
    "never": Never(),
    "value_of_information": ValueOfInformation(0.01, {"2": (0.1, 0.0, 0.0, 0.0, 0.0)}),
}
answered = st.lists(st.sampled_from(["5", "6", "7", None]), max_size=30)


def test_every_rule_has_its_example() -> None:
    """A rule that is added is held to the contract below."""
    assert set(RULES) == EXAMPLES.keys()


@pytest.mark.parametrize("name", list(EXAMPLES))
@given(answers=answered, left=st.integers(0, 12))
def test_no_rule_draws_more_than_is_left_or_after_the_decision(
    name: str, answers: list[str | None], left: int
) -> None:
    """A batch is within what is left, and nothing is drawn that could not change the winner."""
    draws = Draws(answers, left)
    batch = next_batch(EXAMPLES[name], draws)
    assert 0 <= batch <= left
    assert not (draws.decided and batch)


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_every_rule_begins(name: str) -> None:
    """Where nothing is drawn yet, each asks for a draw, and says what it is."""
    assert next_batch(EXAMPLES[name], Draws((), 8)) >= 1
    assert EXAMPLES[name].name == name
    assert RULES[name].summary
    assert RULES[name].reason


@given(answered)
def test_votes_are_those_of_the_vote(answers: list[str | None]) -> None:
    """The counts are the tally's: a draw without an answer does not vote."""
    assert Draws(answers, 1).votes == sorted(tally(candidates(*answers)).values(), reverse=True)


def test_esc_stops_at_the_first_window_that_agrees() -> None:
    """Windows of three: the first disagrees, the second agrees."""
    rule = Esc(3)
    assert rule.next_batch(Draws(["5", "5", "6"], 20)) == 3
    assert rule.next_batch(Draws(["5", "5", "6", "5", "5", "5"], 20)) == 0
    assert rule.next_batch(Draws(["5", "5", "6", "7", "7", "7"], 20)) == 0


def test_esc_fills_a_window_up_where_draws_had_no_answer() -> None:
    """Two votes of three draws leave one to be drawn before the window is read."""
    assert Esc(3).next_batch(Draws(["5", None, "5"], 20)) == 1


@given(answered, st.floats(0, 0.05), st.floats(0, 0.05))
def test_a_dearer_draw_is_never_made_where_a_cheaper_is_not(
    answers: list[str | None], one: float, other: float
) -> None:
    """The value of information falls in the price of a draw."""
    low, high = sorted((one, other))
    weights = {"2": (0.05, 0.02, -0.01, 0.01, 0.03), "8": (0.1, -0.05, 0.02, 0.0, 0.04)}
    cheap, dear = (ValueOfInformation(price, weights).next_batch(Draws(answers, 9)) for price in (low, high))
    assert dear <= cheap


def test_a_stable_vote_gains_nothing() -> None:
    """Every input has the odds of a change as its factor: at 30 to 0 votes they are gone."""
    assert max(map(abs, inputs(Draws(["5"] * 30, 10)))) < 1e-6
    assert len(inputs(Draws(["5"], 10))) == INPUTS


def test_the_gain_counts_no_more_draws_than_are_left() -> None:
    """With two draws left, thirty-two draws ahead cost two."""
    rule = ValueOfInformation(0.1, {"32": (0.5, 0.0, 0.0, 0.0, 0.0)})
    assert rule.next_batch(Draws(["5", "6"], 2)) == 1
    assert rule.next_batch(Draws(["5", "6"], 32)) == 0


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AdaptiveConsistency, {"stop_at": 0.5}),
        (Esc, {"window": 1}),
        (ValueOfInformation, {"price_per_draw": 0.1}),
        (ValueOfInformation, {"price_per_draw": 0.1, "weights": {"3": (0.0,) * INPUTS}}),
        (ValueOfInformation, {"price_per_draw": 0.1, "weights": {"2": (0.0,)}}),
        (ValueOfInformation, {"price_per_draw": -0.1, "weights": {"2": (0.0,) * INPUTS}}),
    ],
)
def test_options_that_make_no_sense_are_refused(kind: type, options: dict[str, object]) -> None:
    """Known before any request."""
    with pytest.raises(ConfigurationError):
        kind(**options)
