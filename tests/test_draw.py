"""The draw: chance enters a decision in one place, and can be replayed."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from router.draw import draw, uniform

DRAWS = 4000
CONFIDENCE = 1 - 1e-6

weights = arrays(float, st.integers(1, 12), elements=st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0])).filter(
    np.any
)


@pytest.mark.parametrize("distribution", [(0.25, 0.75), (0.0, 0.5, 0.0, 0.3, 0.2, 0.0), (1.0,), (0.01, 0.99)])
def test_frequencies_follow_the_probabilities(distribution: tuple[float, ...]) -> None:
    """By Hoeffding's bound, a share of m draws is within sqrt(ln(2k / delta) / 2m) of its probability,
    for all k arms at once and up to a chance of delta = 1e-6; and the draws are seeded."""
    drawn = [draw(np.array(distribution), f"query-{i}") for i in range(DRAWS)]
    shares = np.bincount(drawn, minlength=len(distribution)) / DRAWS
    bound = sqrt(log(2 * len(distribution) / (1 - CONFIDENCE)) / (2 * DRAWS))
    assert np.abs(shares - distribution).max() <= bound


@given(weights, st.text(max_size=20))
def test_an_arm_without_probability_is_never_drawn(mass: np.ndarray, query_id: str) -> None:
    """Zero means never, at either end and in the middle."""
    assert mass[draw(mass / mass.sum(), query_id)] > 0


@pytest.mark.parametrize("chance", [0.0, 0.5, 1 - 2**-53])
def test_not_even_at_a_boundary(monkeypatch: pytest.MonkeyPatch, chance: float) -> None:
    """A number that falls exactly on the edge of an arm belongs to one that has probability."""
    monkeypatch.setattr("router.draw.uniform", lambda salt, key: chance)
    mass = np.array([0.0, 0.5, 0.0, 0.5, 0.0])
    assert draw(mass, "query") == (1 if chance < 0.5 else 3)


@given(weights, st.text(max_size=20))
def test_the_same_query_draws_the_same_arm(mass: np.ndarray, query_id: str) -> None:
    """A draw is a pure function of distribution and query id."""
    assert draw(mass / mass.sum(), query_id) == draw(mass / mass.sum(), query_id)


@given(st.text(max_size=20), st.text(max_size=20))
def test_the_uniform_number_is_below_one(salt: str, key: str) -> None:
    """It lies in [0, 1) and depends on nothing but salt and key."""
    assert 0 <= uniform(salt, key) < 1
    assert uniform(salt, key) == uniform(salt, key)


def test_salts_are_independent() -> None:
    """Two salts over the same keys correlate by less than four standard errors."""
    pairs = np.array([(uniform("arm", str(i)), uniform("variant", str(i))) for i in range(DRAWS)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / sqrt(DRAWS)


@pytest.mark.parametrize("mass", [(0.5, 0.4), (np.nan, 1.0), (0.7, 0.7), (0.0, 0.0)])
def test_what_is_no_distribution_is_refused(mass: tuple[float, ...]) -> None:
    """A policy's fault must not become a propensity on a trace."""
    with pytest.raises(ValueError, match="sum to one"):
        draw(np.array(mass), "query")
