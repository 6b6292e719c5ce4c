"""The ledger's arithmetic: windows, allowances and books."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ledger import Allowance, Balance, WindowKind

times = st.floats(0, 4e9)
kinds = st.sampled_from(["day", "month"])
amounts = st.integers(0, 10**15)


def unix(*date: int) -> float:
    return dt.datetime(*date, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "key"), [("day", "day:2024-02-29"), ("month", "month:2024-02"), ("total", "total")]
)
def test_a_window_is_named_by_its_date_in_utc(window: WindowKind, key: str) -> None:
    """The name is the book's key, the same on every replica."""
    allowance = Allowance("a", window=window)
    assert allowance.key(unix(2024, 2, 29, 0, 0, 0)) == allowance.key(unix(2024, 2, 29, 23, 59, 59)) == key


@pytest.mark.parametrize(
    ("window", "at", "left_s"),
    [
        ("day", (2024, 2, 29, 23, 59, 0), 60),
        ("day", (2024, 2, 29, 0, 0, 0), 86_400),
        ("month", (2024, 2, 1, 0, 0, 0), 29 * 86_400),
        ("month", (2023, 12, 31, 23, 0, 0), 3_600),
        ("month", (2024, 1, 31, 0, 0, 0), 86_400),
        ("total", (2024, 1, 31, 0, 0, 0), 86_400),
    ],
)
def test_the_seconds_until_the_window_turns(window: WindowKind, at: tuple[int, ...], left_s: float) -> None:
    """Leap days, long months and the turn of the year are counted; one that never turns says a day."""
    assert Allowance("a", window=window).seconds_left(unix(*at)) == left_s


@given(times, kinds)
def test_the_key_changes_exactly_when_the_window_turns(at: float, window: WindowKind) -> None:
    """Just before the turn it is the same book, just after it is another."""
    allowance = Allowance("a", window=window)
    left_s = allowance.seconds_left(at)
    assert 0 < left_s <= 31 * 86_400
    assert allowance.key(at + left_s - 0.01) == allowance.key(at)
    assert allowance.key(at + left_s + 0.01) != allowance.key(at)


@given(amounts, amounts, amounts)
def test_reserving_and_settling_conserve_money(spent: int, held: int, billed: int) -> None:
    """What is held is neither spent nor left; settling it releases all and charges what was billed."""
    book = Balance(spent)
    reserved = book.reserve(held)
    assert (reserved.spent_nano, reserved.reserved_nano) == (spent, held)
    assert reserved.settle(held, billed) == Balance(spent + billed)


@given(amounts, amounts, amounts)
def test_what_is_left_may_be_reserved_and_no_more(spent: int, held: int, allowance: int) -> None:
    """Never below nothing; without a cap there is no bound."""
    book = Balance(spent, held)
    left = book.left_nano(allowance)
    assert left == max(0, allowance - spent - held)
    assert book.left_nano(None) is None


def test_an_allowance_in_dollars() -> None:
    """No dollars means no cap, which is not a cap of nothing."""
    assert Allowance.of_usd("a", 0.5, "day") == Allowance("a", 500_000_000, "day")
    assert Allowance.of_usd("a", None, "day").amount_nano is None
    assert Allowance.of_usd("a", 0.0, "day").amount_nano == 0
