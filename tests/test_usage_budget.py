"""Usage and budgets: what was spent, and what may be."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.budget import UNLIMITED, Budget
from router.errors import InvalidQuery
from router.usage import NOTHING, Usage

tokens = st.integers(0, 10_000_000)
counts = st.builds(Usage, tokens, tokens, tokens, tokens, st.integers(0, 1000).map(float))
caps = st.none() | st.integers(0, 1000)
budgets = st.builds(Budget, caps, caps, caps, caps)


@given(counts, counts, counts)
def test_usages_add_up_in_any_order(a: Usage, b: Usage, c: Usage) -> None:
    """Addition is associative and commutative, and nothing is its zero."""
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + NOTHING == a


@given(counts, counts)
def test_every_field_of_a_usage_is_added(a: Usage, b: Usage) -> None:
    """No field is forgotten in a sum."""
    total = a + b
    for item in fields(Usage):
        assert getattr(total, item.name) == getattr(a, item.name) + getattr(b, item.name)
    assert total.total_tokens == total.prompt_tokens + total.completion_tokens


def test_a_usage_knows_its_cost_in_dollars() -> None:
    """Nano-dollars are billionths."""
    assert Usage(cost_nano=1_500_000_000).cost_usd == 1.5


@given(budgets, budgets)
def test_the_tightest_budget_is_at_most_either(a: Budget, b: Budget) -> None:
    """Each cap is the smaller one, no cap being the largest; the order does not matter."""
    tightest = a.tightest(b)
    assert tightest == b.tightest(a)
    assert a.tightest(UNLIMITED) == a == a.tightest(a)
    for item in fields(Budget):
        least, caps = getattr(tightest, item.name), (getattr(a, item.name), getattr(b, item.name))
        assert least in caps
        assert all(cap is None or least <= cap for cap in caps)


@given(budgets, counts)
def test_a_budget_admits_what_every_cap_admits(budget: Budget, usage: Usage) -> None:
    """Seconds are left to the clock."""
    spent = {"calls": usage.calls, "tokens": usage.total_tokens, "cost_nano": usage.cost_nano}
    within = [
        getattr(budget, name) is None or value <= getattr(budget, name) for name, value in spent.items()
    ]
    assert budget.admits(usage) == all(within)


@pytest.mark.parametrize("name", [item.name for item in fields(Budget)])
@pytest.mark.parametrize("cap", [-1, float("nan")])
def test_a_cap_below_nothing_is_refused_by_its_name(name: str, cap: float) -> None:
    """A negative cap, or one that is no number, is the caller's error."""
    with pytest.raises(InvalidQuery, match=name) as raised:
        Budget(**{name: cap})
    assert raised.value.param == name


def test_values_never_change() -> None:
    """A cap is never raised in place, nor a bill changed."""
    with pytest.raises(FrozenInstanceError):
        Budget().calls = 1
    with pytest.raises(FrozenInstanceError):
        NOTHING.calls = 1
