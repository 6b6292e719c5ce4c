"""Comparing what a model wrote with a known value: equal however it is put, and never for ever."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fakes import Upstream, ask, run_of
from hypothesis import given, settings
from hypothesis import strategies as st

from router.candidate import composed
from router.errors import InvalidQuery
from router.verifiers import make_verifier
from router.verifiers._expression import evaluable

QUESTION = "What is the number? Solve it."
MOST_S = 5.0


async def rule(reference: Any, reply: str, **more: Any) -> str:
    verifier = make_verifier({"type": "numeric", "reference": reference, **more})
    run = run_of(Upstream(), ask(QUESTION))
    return (await verifier.verify(run.query, composed(reply, None, (), "direct"), run)).ruling


@pytest.mark.parametrize(
    "expression",
    [
        "9^{9^9}", "9**9**9", "(((9^9)^9)^9)^9", "9^{99999999}", "9^{9/0.0000001}", "2^{1/(1-0.99999999)}",
        r"\frac{9^{9^9}}{2}", r"\gcd(9^{9^9},3)", r"\binom{10^9}{10^8}", r"9^{9^9} \mod 7", "99999!",
        r"\sum_{k=1}^{9} k", "{9}^{9}^{9}", r"9^{\sqrt{9^{9}}}",
    ],
)  # fmt: skip
async def test_what_could_take_for_ever_is_not_begun(expression: str) -> None:
    """However few powers it has: as an answer it is unknown, whatever the reference looks like; as a
    reference it is refused."""
    began = time.monotonic()
    assert await rule(r"\sqrt{2}", rf"\boxed{{{expression}}}") == "unknown"
    with pytest.raises(InvalidQuery, match="reference"):
        make_verifier({"type": "numeric", "reference": expression})
    assert time.monotonic() - began < MOST_S


_ATOMS = st.sampled_from(["9", "99", "0.01", "x", r"\pi", "2"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("{0[0]}^{{{0[1]}}}".format),
        st.tuples(inner, inner).map("({0[0]})^{{{0[1]}}}".format),
        st.tuples(inner, inner).map(r"\frac{{{0[0]}}}{{{0[1]}}}".format),
        st.tuples(inner, inner).map("({0[0]} + {0[1]})".format),
        st.tuples(st.sampled_from(["sqrt", "exp", "log", "tan"]), inner).map(r"\{0[0]}{{({0[1]})}}".format),
    ),
    max_leaves=8,
)


@given(expression=_EXPRESSIONS, reference=_EXPRESSIONS.filter(evaluable))
@settings(max_examples=60, deadline=MOST_S * 1000)
async def test_every_expression_is_decided_in_time(expression: str, reference: str) -> None:
    """Powers of powers, fractions and functions in any nesting, on either side."""
    assert await rule(reference, rf"\boxed{{{expression}}}") in ("pass", "fail", "unknown")


@pytest.mark.parametrize(
    ("reference", "answer", "ruling"),
    [
        (r"\sqrt{8}", r"2\sqrt{2}", "pass"),
        (r"\sqrt{8}", "3", "fail"),
        ("x^2+2x+1", "(x+1)^2", "pass"),
        ("x^2+2x+1", "(x+2)^2", "fail"),
        (r"2\sin(x)\cos(x)", r"\sin(2x)", "pass"),
        ("1/3", "0.333333", "pass"),
        ("1/3", "0.333", "fail"),
        (r"50\%", r"\frac12", "pass"),
        ("[1, 2)", "[1,2)", "pass"),
        ("[1, 2)", "(1,2)", "fail"),
        ("{3, 5}", r"\{5,3\}", "pass"),
        (5, r"\{3,5\}", "fail"),
        (r"(0,9) \cup (9,36)", r"(9,36) \cup (0,9)", "pass"),
        ("x^2=4", "x^2-4=0", "pass"),
        ("x>3", "3<x", "pass"),
        (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1&\frac42\end{pmatrix}", "pass"),
        (5, "x=5", "pass"),
        ("|x|", "x", "unknown"),
        ("x>3", r"x \in (3,\infty)", "unknown"),
        (r"e^{i\pi}", "-1", "unknown"),
    ],
)
async def test_equal_is_equal_however_it_is_put(reference: Any, answer: str, ruling: str) -> None:
    """Numbers, formulas, sets, intervals, matrices and relations; what cannot be told is unknown."""
    assert await rule(reference, rf"\boxed{{{answer}}}") == ruling


@pytest.mark.parametrize(
    "reply",
    [
        "Answer: not 5", "Answer: 3 or 5", "Answer: between 3 and 5", "Answer: {3, 5}", "Answer: 3, 5",
        "Answer: 5 is not right", "It isn't 5", r"Answer: 2\sqrt{5}", r"\boxed{3 \text{ or } 5}",
        "I have it down to 3 or 5.", "Answer: neither 3 nor 5",
    ],
)  # fmt: skip
async def test_a_number_among_others_or_denied_is_no_answer(reply: str) -> None:
    """The last number of a line is the answer only where the line says so."""
    assert await rule(5, reply) != "pass"


@pytest.mark.parametrize(
    "reply",
    ["Answer: not 3 but 5", "2 + 3 = 5", "Answer: 5 apples", "The numbers 2 and 3 add up to 5.", "$5"],
)
async def test_a_number_that_is_said_is_the_answer(reply: str) -> None:
    """Other numbers before it do not matter."""
    assert await rule(5, reply) == "pass"
