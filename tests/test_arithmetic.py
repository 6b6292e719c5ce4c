"""Arithmetic: the equations of a text, worked out again."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.arithmetic import MOST_EQUATIONS, Equation, equations, value_of


def held(text: str) -> list[bool]:
    return [equation.holds for equation in equations(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She has 3 + 4 = 7 apples.", [True]),
        ("She has 3 + 4 = 8 apples.", [False]),
        ("That is 16 - 3 = <<16-3=13>>13 eggs.", [True, True]),
        ("That is 16 - 3 = <<16-3=14>>14 eggs.", [False, False]),
        ("9 * $2 = $18, and 18 / 4 = 4.5.", [True, True]),
        ("(80 + 55 + 100) / 3 = 235 / 3 = 78.33", [True, True]),
        ("5 boxes * 12 eggs/box = 60 eggs", [True]),
        ("25% of it: 0.25 * 40 = 10, or 40 * 25% = 10", [True, True]),
        ("4 / 20 = 20%", [True]),
        ("3 x 4 = 12 and 3 × 4 = 13", [True, False]),
        ("2000 \\* 0.75 = $1,500", [True]),
        ("1/3 = 0.33", [True]),
    ],
)
def test_equations_are_checked_as_models_write_them(text: str, expected: list[bool]) -> None:
    """Units, currencies, percentages, rounding and calculators' marks are read; a wrong result shows."""
    assert held(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x = 5",
        "2x + 3 = 11",
        "a = 3 + y",
        "x^2 - 5 = 4",
        "f(3) = 9",
        "\\frac{1}{2} + 1 = 7",
        "if a == b",
        "= 5",
        "5 =",
        "",
    ],
)
def test_what_is_no_plain_arithmetic_is_left_alone(text: str) -> None:
    """Variables, powers, functions and LaTeX say nothing."""
    assert held(text) == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-2 - -3", 1),
        ("2(3 + 4)", 14),
        ("1,000 / 8", 125),
        ("8 / 2 / 2", 2),
    ],
)
def test_values_follow_the_usual_rules(expression: str, value: float) -> None:
    """Products before sums, from the left, parentheses first."""
    assert value_of(expression) == pytest.approx(value)


@pytest.mark.parametrize("expression", ["", "2 +", "(2", "2)", "1 / 0", "two", "2 ** 3", "((((((", "1 2"])
def test_what_has_no_value_is_none(expression: str) -> None:
    """Broken expressions and a division by zero raise nothing."""
    assert value_of(expression) is None


@given(st.integers(-999, 999), st.sampled_from("+-*"), st.integers(0, 999))
def test_right_results_hold_and_others_do_not(left: int, operator: str, right: int) -> None:
    """Whatever the numbers are."""
    result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    assert held(f"We get {left} {operator} {right} = {result} in all.") == [True]
    assert held(f"We get {left} {operator} {right} = {result + 7 + abs(result)} in all.") == [False]


@given(st.text("0123456789.,+-*/=()<>% x\\\n", max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever a model writes: no more equations come out than are stated or read, each holds or does not,
    and one that follows on a line of its own is found all the same."""
    found = equations(text)
    assert len(found) <= min(text.count("="), MOST_EQUATIONS)
    assert all(equation.holds in (True, False) for equation in found)
    followed = equations(f"{text}\n2 + 3 = 5")
    assert followed == [*found, Equation(5.0, 5.0)] or len(followed) == MOST_EQUATIONS


@pytest.mark.parametrize(
    "text", ["1+" * 20_000 + "=3", "=" * 20_000, "(" * 20_000 + "=1", "1 a=" * 10_000, "<<" * 20_000]
)
def test_hostile_text_costs_no_time(text: str) -> None:
    """Text made to be slow to read is read within a fraction of a second."""
    began = time.perf_counter()
    equations(text)
    assert time.perf_counter() - began < 0.5
