"""Scaling laws: the fit of quality against compute, and where more stops paying."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.sampling.scaling_law import ScalingLaw, fit_laws

COMPUTE = np.array([1, 2, 4, 8, 16, 32, 64], float)


@pytest.mark.parametrize(
    ("ceiling", "half", "exponent"), [(0.8, 4.0, 0.7), (0.95, 0.1, 0.5), (0.5, 20.0, 1.5)]
)
def test_a_curve_of_the_law_is_fitted_by_it(ceiling: float, half: float, exponent: float) -> None:
    """The grid is fine enough: no point is missed by more than a hundredth."""
    curve = ScalingLaw(ceiling, half, exponent).quality(COMPUTE)
    (law,) = fit_laws(COMPUTE, curve[None, :])
    assert np.abs(law.quality(COMPUTE) - curve).max() < 0.01


def test_the_point_of_diminishing_returns_maximises_the_net_worth() -> None:
    """Half a draw more or less is worth no more, by the law itself."""
    law = ScalingLaw(0.8, 5.0, 0.9)
    best = law.worth_up_to(0.005)

    def net(k: float) -> float:
        return float(law.quality(np.array([k]))[0]) - 0.005 * k

    assert 5 < best < 40
    assert all(net(best) >= net(k) for k in (1.0, best / 2, best * 2, 1000.0))


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 1), st.floats(0.01, 100), st.floats(0.1, 3), st.floats(1e-5, 0.1))
def test_a_higher_price_never_buys_more_compute(
    ceiling: float, half: float, exponent: float, price: float
) -> None:
    """What is worth its price at a price is so at any lower one."""
    law = ScalingLaw(ceiling, half, exponent)
    assert law.worth_up_to(2 * price) <= law.worth_up_to(price)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_a_fitted_law_rises_and_stays_a_probability(points: list[float]) -> None:
    """Whatever was measured, more compute is never predicted to hurt, and quality stays in [0, 1]."""
    (law,) = fit_laws(COMPUTE, np.array([points]))
    fitted = law.quality(np.geomspace(1, 1e6, 50))
    assert (np.diff(fitted) >= -1e-12).all()
    assert fitted.min() >= 0
    assert fitted.max() <= 1
