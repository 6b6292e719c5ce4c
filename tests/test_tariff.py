"""Money: exact integers of nano-dollars."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from router.tariff import NANO_PER_USD, Tariff, to_nano, to_usd

tokens = st.integers(0, 10_000_000)
micro_usd = st.integers(0, 10**9)
"""List prices per million tokens, in millionths of a dollar."""


@given(tokens, tokens, micro_usd, micro_usd)
def test_money_is_an_exact_integer_rounded_up(prompt: int, completion: int, p: int, c: int) -> None:
    """A call costs its tokens times the list price, to the nano-dollar, and a fraction counts as one."""
    exact = Fraction(prompt * p + completion * c, 10**12) * NANO_PER_USD
    cost = Tariff(p / 10**6, c / 10**6).cost_nano(prompt, completion)
    assert isinstance(cost, int)
    assert 0 <= cost - exact < 1


def test_binary_fractions_do_not_show_in_a_bill() -> None:
    """Three tokens at 0.1 USD per million are 300 nano-dollars, not 301; the smallest fraction costs one."""
    assert Tariff(0.1, 0.0).cost_nano(3, 0) == 300
    assert Tariff(0.0, 0.0001).cost_nano(0, 1) == 1


@given(tokens, tokens, st.integers(0, 1000), micro_usd, micro_usd)
def test_a_bound_on_tokens_bounds_the_cost(prompt: int, completion: int, more: int, p: int, c: int) -> None:
    """Cost never falls with tokens, so a reservation for the worst case suffices."""
    tariff = Tariff(p / 10**6, c / 10**6)
    assert tariff.cost_nano(prompt, completion) <= tariff.cost_nano(prompt + more, completion)
    assert tariff.cost_nano(prompt, completion) <= tariff.cost_nano(prompt, completion + more)


@given(st.integers(0, 10**15))
def test_nano_dollars_survive_as_dollars_and_back(nano: int) -> None:
    """Up to a million dollars, money crosses interfaces in dollars without loss."""
    assert to_nano(to_usd(nano)) == nano
