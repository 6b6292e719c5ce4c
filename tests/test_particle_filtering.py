"""Particle filtering: weights, resampling, and who is the answer."""

from __future__ import annotations

from collections import Counter
from math import ceil, floor

import numpy as np
import pytest
from fakes import Upstream
from fakes_search import path_in, searched, steps_of, unending, writer
from hypothesis import given
from hypothesis import strategies as st

from router.errors import ConfigurationError
from router.strategies.particle_filtering import ParticleFiltering, odds, systematic

values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(values=values, count=st.integers(1, 16), offset=st.floats(0, 1, exclude_max=True))
def test_offspring_differ_from_their_expectation_by_less_than_one(
    values: list[float], count: int, offset: float
) -> None:
    """Systematic resampling: floor(n w) or ceil(n w) of each, n in all."""
    weights = odds(values)
    offspring = Counter(systematic(weights, count, offset))
    assert sum(offspring.values()) == count
    for i, weight in enumerate(weights):
        expected = count * float(weight)
        assert floor(expected - 1e-6) <= offspring[i] <= ceil(expected + 1e-6)


def test_resampling_is_unbiased() -> None:
    """Over all offsets, each particle has n w offspring on average."""
    weights = odds([0.2, 0.5, 0.9])
    drawn = [i for offset in np.linspace(0, 1, 1000, endpoint=False) for i in systematic(weights, 4, offset)]
    shares = np.bincount(drawn) / len(drawn)
    assert shares == pytest.approx(weights, abs=1e-3)


@given(values=values)
def test_weights_are_odds(values: list[float]) -> None:
    """They sum to one, and keep the order of the values."""
    weights = odds(values)
    assert weights.sum() == pytest.approx(1.0)
    assert all(np.diff(weights[np.argsort(values)]) >= 0)


def test_the_better_half_takes_the_place_of_the_worse() -> None:
    """A particle of value 0.99 has 891 times the odds of each of three of 0.1: it takes three places of
    four at least."""
    upstream = Upstream(writer(unending, lambda prompt: "10" if "step 3" in prompt else "1"))
    searched(ParticleFiltering("small", 4, depth=2), upstream)
    above = Counter(path_in(call) for call in steps_of(upstream))
    assert (above.total(), above[""]) == (8, 4)
    assert above["step 3"] >= 3


def test_all_particles_move_at_once_and_stop_where_they_are_complete() -> None:
    """A step and a value for each level; the number of levels is bounded."""
    upstream = Upstream(writer(unending))
    _, _, seconds = searched(ParticleFiltering("small", 8, depth=3), upstream, verifier=None)
    assert seconds == pytest.approx(2 * 3 + 1)
    done = Upstream(writer(lambda path, number: f"Answer: {number}"))
    _, _, seconds = searched(ParticleFiltering("small", 8, depth=3), done, verifier=None)
    assert seconds == pytest.approx(2)


@pytest.mark.parametrize(("choose", "answer"), [("value", "8"), ("vote", "7")])
def test_the_answer_is_the_best_particle_or_the_weighted_vote(choose: str, answer: str) -> None:
    """Two of value 0.6 outvote one of 0.9."""

    def step(path: str, number: int) -> str:
        return "So:\nAnswer: 8" if number == 1 else f"Way {'abc'[number - 2]}:\nAnswer: 7"

    def rating(prompt: str) -> str:
        return "9" if "Answer: 8" in prompt else "6" if "Answer: 7" in prompt else "0"

    upstream = Upstream(writer(step, rating, plain="nothing"))
    chosen, _, _ = searched(ParticleFiltering("small", 3, choose=choose), upstream, verifier=None)
    assert chosen.candidate.extracted == answer


def test_a_query_is_resampled_the_same_way_twice() -> None:
    """Chance is the query's own."""

    def paths(query_id: str) -> list[str]:
        upstream = Upstream(writer(unending, lambda prompt: str(sum(map(ord, prompt)) % 7 + 2)))
        searched(ParticleFiltering("small", 6, depth=3), upstream, id=query_id)
        return [path_in(call) for call in steps_of(upstream)]

    assert paths("a") == paths("a")
    assert len({tuple(paths(query_id)) for query_id in "abcdefgh"}) > 1


@pytest.mark.parametrize(("n", "choose", "told"), [(1, "vote", "n >= 2"), (4, "first", "value, vote")])
def test_wrong_options_name_the_remedy(n: int, choose: str, told: str) -> None:
    """At the start."""
    with pytest.raises(ConfigurationError, match=told):
        ParticleFiltering("small", n, choose=choose)


def test_the_weighted_vote_counts_answers_in_their_normal_form() -> None:
    """One half in two notations outvotes a surer three."""

    def step(path: str, number: int) -> str:
        return ["Answer: 3", "First:\nAnswer: 1/2", "Then:\nAnswer: 0.5"][number - 1]

    def rating(prompt: str) -> str:
        return "9" if "Answer: 3" in prompt else "6" if "Answer: " in prompt else "0"

    upstream = Upstream(writer(step, rating, plain="nothing"))
    chosen, _, _ = searched(ParticleFiltering("small", 3, choose="vote"), upstream, verifier=None)
    assert chosen.candidate.extracted == "1/2"
