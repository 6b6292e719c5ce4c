"""Off-policy value, on a simulated bandit whose true value is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from router.errors import InvalidQuery
from router.estimate import FloatArray
from training.off_policy import Logged, Value, doubly_robust, ips, snips

TRUE_REWARD = np.array([[0.2, 0.5, 0.9], [0.8, 0.4, 0.3]])  # by context and arm
TARGET = np.array([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
LOGGING = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
TRUE_VALUE = float((TARGET * TRUE_REWARD).sum(axis=1).mean())


def logged(seed: int, rounds: int = 2000) -> tuple[Logged, FloatArray, FloatArray]:
    """Rounds of the logging policy, each one's context and arm."""
    rng = np.random.default_rng(seed)
    seen = rng.integers(2, size=rounds)
    arm = np.array([rng.choice(3, p=LOGGING[context]) for context in seen])
    reward = (rng.random(rounds) < TRUE_REWARD[seen, arm]).astype(float)
    return Logged(reward, LOGGING[seen, arm], TARGET[seen, arm]), seen, arm


def robust(wrong: float) -> Callable[[int], Value]:
    """Doubly robust with predictions that are off by so much."""

    def estimate(seed: int) -> Value:
        rounds, seen, arm = logged(seed)
        predicted = TRUE_REWARD + wrong
        return doubly_robust(rounds, predicted[seen, arm], (TARGET * predicted).sum(axis=1)[seen])

    return estimate


ESTIMATORS: dict[str, Callable[[int], Value]] = {
    "ips": lambda seed: ips(logged(seed)[0]),
    "snips": lambda seed: snips(logged(seed)[0]),
    "doubly_robust": robust(0.0),
    "doubly_robust, wrong predictions": robust(0.3),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_finds_the_true_value(name: str) -> None:
    """Over many logs the mean estimate is the true value, which the interval holds about 95 times of 100."""
    values = [ESTIMATORS[name](seed) for seed in range(60)]
    assert np.mean([value.mean for value in values]) == pytest.approx(TRUE_VALUE, abs=0.01)
    assert sum(value.low <= TRUE_VALUE <= value.high for value in values) >= 52


def test_the_logged_mean_is_another() -> None:
    """The plain mean of the logged rewards is far from the target's value: there is something to correct."""
    assert abs(logged(0)[0].reward.mean() - TRUE_VALUE) > 0.1


def test_good_predictions_narrow_the_interval() -> None:
    """With right predictions, doubly robust is surer than inverse propensities alone."""
    plain, better = ESTIMATORS["ips"](1), ESTIMATORS["doubly_robust"](1)
    assert better.high - better.low < 0.8 * (plain.high - plain.low)


def test_wrong_odds_right_predictions() -> None:
    """Doubly robust stays right where the odds are wrong but the predictions are not."""
    rounds, seen, arm = logged(2, 20_000)
    mistaken = Logged(rounds.reward, np.full(len(seen), 1 / 3), rounds.target)
    found = doubly_robust(mistaken, TRUE_REWARD[seen, arm], (TARGET * TRUE_REWARD).sum(axis=1)[seen])
    assert found.mean == pytest.approx(TRUE_VALUE, abs=0.02)
    assert abs(ips(mistaken).mean - TRUE_VALUE) > 0.04


@pytest.mark.parametrize("estimate", ["ips", "snips", "doubly_robust"])
def test_rounds_of_one_question_are_no_independent_draws(estimate: str) -> None:
    """Thirty questions, each right or wrong whatever is drawn, asked twenty times: the interval holds the
    truth as often as it says, while one over rounds as if they were questions would do so half the time."""

    def value(seed: int, grouped: bool) -> Value:
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(30), 20)
        reward = (rng.random(30) < 0.5).astype(float)[group]
        target = rng.choice([0.2, 0.8], len(group))
        rounds = Logged(reward, np.full(len(group), 0.5), target, group if grouped else None)
        if estimate == "doubly_robust":
            return doubly_robust(rounds, np.full(len(group), 0.5), np.full(len(group), 0.5))
        return {"ips": ips, "snips": snips}[estimate](rounds)

    held = {
        grouped: np.mean([(v := value(seed, grouped)).low <= 0.5 <= v.high for seed in range(200)])
        for grouped in (True, False)
    }
    assert held[True] > 0.88
    assert held[False] < 0.75


def test_effective_rounds() -> None:
    """Under the logging policy itself every round counts; under another one fewer do."""
    rounds = logged(0)[0]
    same = Logged(rounds.reward, rounds.propensity, rounds.propensity)
    assert ips(same).effective_rounds == pytest.approx(2000)
    assert ips(same).mean == pytest.approx(rounds.reward.mean())
    assert ips(rounds).effective_rounds < 1000


def test_clip_bounds_the_weights() -> None:
    """A clip bounds every weight and raises the effective number of rounds."""
    rounds = logged(0)[0]
    assert rounds.weights(2.0).max() == 2.0
    assert ips(rounds, 2.0).effective_rounds > ips(rounds).effective_rounds


def test_target_that_was_never_drawn() -> None:
    """Where the target would never have done what was logged, the self-normalised value knows nothing."""
    nothing = snips(Logged(np.ones(3), np.full(3, 0.5), np.zeros(3)))
    assert (nothing.low, nothing.high, nothing.effective_rounds) == (-np.inf, np.inf, 0)


def test_refuses_what_cannot_be_weighed() -> None:
    """No rounds, or a propensity of zero, is an error."""
    with pytest.raises(InvalidQuery):
        Logged(np.zeros(0), np.zeros(0), np.zeros(0))
    with pytest.raises(InvalidQuery):
        Logged(np.ones(1), np.zeros(1), np.ones(1))
