"""Constraints in SMT-LIB: what is read, what Z3 finds, and what a reply's values are."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import smt
from router.candidate import Verdict, composed
from router.errors import InvalidQuery
from router.query import Query
from router.smt import REMEDY, Constraints, Finding, counterexample, solve
from router.smt_text import Unreadable, read, written
from router.verifiers import make_verifier
from router.verifiers._values import value_of

SYSTEM = "(assert (= (+ x y) 10)) ; together\n(assert (= (- x y) 2))(check-sat)"
XY: Mapping[str, Any] = {"x": "Int", "y": "Int"}
HARD = "(declare-const a Int)(declare-const b Int)(declare-const c Int)" + (
    "(assert (and (> a 2) (> b 2) (> c 2)))(assert (= (+ (* a a a) (* b b b) (* c c c)) (+ x (* 9 a b c) 3)))"
    "(assert (> (* a b c) 1000000))"
)


async def rule(reply: str, constraints: str = SYSTEM, variables: Any = XY, **more: Any) -> Verdict:
    verifier = make_verifier({"type": "z3", "constraints": constraints, "variables": variables, **more})
    query = Query([{"role": "user", "content": "Find x and y."}])
    return await verifier.verify(query, composed(reply, None, (), "direct"), None)


@pytest.mark.parametrize(
    ("reply", "ruling"),
    [
        *(('{"x": 6, "y": 4}', "pass"), ("So x = 6 and y = 4.", "pass"), ("**x** = 6\n**y**: 4", "pass")),
        *(("x = 5? No: x = 6, y = 4", "pass"), ('First {"x": 1}. {"x": 6.0, "y": "4", "why": 1}', "pass")),
        *(('{"x": 6, "y": 5}', "fail"), ("x = 4, y = 6", "fail")),
        *(("x = 6", "unknown"), ("six and four", "unknown"), ('{"x": 6.5, "y": 3.5}', "unknown")),
        *(('{"x": true, "y": 4}', "unknown"), ("", "unknown"), ('{"x": [6], "y": 4}', "unknown")),
    ],
)
async def test_the_values_of_a_reply_are_checked(reply: str, ruling: str) -> None:
    """As a JSON object or as equations; what is missing or of another sort is unknown."""
    assert (await rule(reply)).ruling == ruling


async def test_a_fail_shows_its_counterexample() -> None:
    """The values, and the assertion that they violate, for the next prompt."""
    verdict = await rule("x = 6, y = 5")
    assert verdict.reason == "x = 6, y = 5 violates (= (+ x y) 10)"


@pytest.mark.parametrize(("reply", "ruling"), [("-3", "pass"), ("The answer is -3.", "pass"), ("3", "fail")])
async def test_a_single_variable_is_the_final_answer(reply: str, ruling: str) -> None:
    """It need not be named."""
    constraints = "(assert (= (* x x) 9)) (assert (< x 0))"
    assert (await rule(reply, constraints, {"x": "Int"})).ruling == ruling


async def test_sorts() -> None:
    """Reals are exact, booleans are words or JSON's own."""
    assert (await rule("1/3", "(assert (= (* 3 x) 1))", {"x": "Real"})).ruling == "pass"
    assert (await rule("0.333", "(assert (= (* 3 x) 1))", {"x": "Real"})).ruling == "fail"
    logic = "(assert (and p (not q)))", {"p": "Bool", "q": "Bool"}
    assert (await rule('{"p": true, "q": false}', *logic)).ruling == "pass"
    assert (await rule("p = true, q = true", *logic)).ruling == "fail"


async def test_without_z3_nothing_passes_and_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is an extra."""
    monkeypatch.setitem(sys.modules, "z3", None)
    verdict = await rule("x = 6, y = 4")
    assert (verdict.ruling, verdict.reason) == ("unknown", REMEDY)


async def test_what_z3_cannot_decide_in_time_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time and steps are bounded; the event loop goes on meanwhile."""
    monkeypatch.setattr(smt, "TIMEOUT_S", 0.2)
    began = time.perf_counter()
    assert (await rule("1", HARD, {"x": "Int"})).ruling == "unknown"
    assert time.perf_counter() - began < 5
    monkeypatch.setattr(smt, "RESOURCES", 1)
    assert (await rule("x = 6, y = 4")).ruling != "fail"


async def test_free_variables_are_solved_for() -> None:
    """Without values, a finding tells some that hold: of a claim's negation, a counter-example."""
    found = await solve(Constraints(SYSTEM, XY))
    assert (found.state, found.values) == ("sat", {"x": "6", "y": "4"})
    refuted = await solve(Constraints("(assert (> x 2)) (assert (not (> x 3)))", {"x": "Int"}))
    assert refuted == Finding("sat", {"x": "3"})
    proved = await solve(Constraints("(assert (> x 2)) (assert (not (> x 1)))", {"x": "Int"}))
    assert proved.state == "unsat"
    assert "violates (> x 2) and (not (> x 1))" in counterexample(proved, {"x": 1})


async def test_definitions_quantifiers_and_functions_are_taken() -> None:
    """The usual parts of a puzzle."""
    text = """(set-logic ALL)
    (define-fun double ((a Int)) Int (* 2 a))
    (declare-sort Person 0)(declare-const ann Person)(declare-fun age (Person) Int)
    (assert (forall ((a Int)) (=> (> a 0) (> (double a) a))))
    (assert (let ((z (+ x 1))) (= z (age ann))))
    (assert (> (age ann) 3))
    (exit)"""
    assert (await solve(Constraints(text, {"x": "Int"}), {"x": 3})).state == "sat"
    assert (await solve(Constraints(text, {"x": "Int"}), {"x": 1})).state == "unsat"


CHAIN = "(define-fun f0 ((a Int)) Int (+ a a))" + "".join(
    f"(define-fun f{i} ((a Int)) Int (f{i - 1} (f{i - 1} a)))" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('(include "/etc/passwd")', "not taken"),
        ("(set-option :timeout 0) (assert (= x 1))", "not taken"),
        ("(simplify x)", "not taken"),
        ("(declare-const w (_ BitVec 4096))(assert (= x 1))", "not known"),
        ('(assert (= (str.len "a") x))', "not known"),
        ("(assert (= y 1))", "'y' is not known"),
        ("(declare-const x Int)(assert (= x 1))", "twice"),
        ("(declare-const and Int)(assert (= x 1))", "cannot be a name"),
        (CHAIN + "(assert (= (f29 x) 1))", "written out"),
        ("(assert (= (^ x 100) 1))", "not known"),
        ("(assert (= (^ (^ (^ (^ x 64) 64) 64) 64) 1))", "written out"),
        ("(" * 200 + "x" + ")" * 200, "nested deeper"),
        ("(assert (= x 1)", "in the middle"),
        (")(", "outside a command"),
        ("x", "outside a command"),
        ("()", "empty command"),
        ("((a))", "not taken"),
        ("(assert)", "not taken"),
        ("(assert (let (x) 1))", "no pair"),
        ("(define-fun g (a) Int 1)(assert (= x 1))", "no pair"),
        ("(declare-const)", "not taken"),
        ("", "nothing"),
        ("(check-sat)", "nothing"),
        ("(assert (= x " + "1" * 50 + "))", "not known"),
        ("; " + "x" * 20_000, "characters"),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_not_known_to_end_is_refused(text: str, why: str) -> None:
    """Files, options, other theories, and short texts that stand for endless ones are mistakes."""
    with pytest.raises(InvalidQuery, match=why):
        Constraints(text, {"x": "Int"})


@pytest.mark.parametrize(
    "variables", [{}, {"x": "BitVec"}, {"x y": "Int"}, {"x)": "Int"}, ["x"], {"not": "Int"}]
)
def test_wrong_variables_are_refused(variables: Any) -> None:
    """A name that could end its declaration is no name."""
    with pytest.raises(InvalidQuery):
        make_verifier({"type": "z3", "constraints": "(assert true)", "variables": variables})


@given(st.text(alphabet="()x1 ;=assertlet\n", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes of a text, and what was read is read again alike."""
    try:
        commands = read(text, ("x",))
    except Unreadable:
        return
    assert read(" ".join(map(written, commands)), ("x",)) == commands


@pytest.mark.parametrize(
    ("said", "sort", "value"),
    [
        *(("1,200.0", "Int", 1200), (7, "Int", 7), (7.0, "Int", 7), (7.5, "Int", None), (True, "Int", None)),
        *((0.1, "Real", Fraction(1, 10)), ("-2/3", "Real", Fraction(-2, 3)), ("1/0", "Real", None)),
        *(("Yes.", "Bool", True), (False, "Bool", False), (1, "Bool", None), (None, "Int", None)),
        *(("9" * 60, "Int", None), (1e300, "Real", None), (float("nan"), "Real", None)),
    ],
)
def test_a_value_is_of_its_sort_or_none(said: Any, sort: Any, value: Any) -> None:
    """Numbers up to their notation, and of a bounded length."""
    assert value_of(said, sort) == value
