"""Stopping rules: when more votes would hardly change the winner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from router.stopping import draws_to_stop, stability

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
