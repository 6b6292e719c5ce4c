"""Statements: what holds, what fails with which counter-example, and what cannot be told."""

from __future__ import annotations

import pytest
from sandboxes import best_sandbox

from router.candidate import Verdict
from router.errors import SandboxError
from router.sandbox import Ran, Scripted
from router.statements import Language, Statement, equations, smt

FACTS = "(declare-const x Int)\n(assert (= (+ x 2) 5))\n"


@pytest.mark.parametrize(
    "claim",
    [
        "2 + 3 = 5",
        "x = 3\n2*x + 1 = 7",
        "2(x + 1) == 2x + 2  # for every x",
        "0.1 + 0.2 == 0.3",
        "x = 2\n1 < x <= 2 < 4",
        "sin(x)^2 + cos(x)^2 = 1",
        "N = 6\nN/4 == 3/2",
    ],
)
def test_true_relations_hold(claim: str) -> None:
    """Numbers, definitions, identities, chains, and names that SymPy uses itself."""
    assert equations.ruling(claim) == "holds"


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ("2 + 3 = 6", "the left side is 5, the right side 6"),
        ("x = 3\nx = 4", "the left side is 3, the right side 4"),
        ("x**2 == 4", "not for x = 3"),
        ("x < 3", "not for x = 3"),
        ("1/3 == 0.333", "the left side is 1/3"),
        ("2 + 2 = 4\n2 < 1", "2 < 1"),
    ],
)
def test_false_relations_fail_with_a_counter_example(claim: str, why: str) -> None:
    """Both sides, or values for which it is wrong."""
    ruling = equations.ruling(claim)
    assert ruling.startswith("fails: ")
    assert why in ruling


@pytest.mark.parametrize("claim", ["", "x = 3", "it is five", "x^2 >= 0", "a.__class__ == 3", "2 + 3", "= 3"])
def test_what_cannot_be_told_is_unknown(claim: str) -> None:
    """Nothing but definitions, prose, what SymPy cannot decide: never a pass."""
    assert equations.ruling(claim).startswith("unknown: ")


@pytest.mark.parametrize(
    ("claim", "ruling"),
    [
        (f"{FACTS}(assert (not (= x 3)))\n(check-sat)\n(get-value (x))", "holds"),
        ("(declare-const p Bool)(assert (not (or p (not p))))", "holds"),
        (f"{FACTS}(assert (not (= x 4)))", "fails: a counter-example is [x = 3]"),
        (f"{FACTS}(assert (= x 9))\n(assert (not (= x 3)))", "fails: the facts contradict each other"),
        ("(declare-const x Int)", "unknown: nothing was asserted"),
    ],
)
def test_a_claim_follows_from_its_facts_or_not(claim: str, ruling: str) -> None:
    """Its denial contradicts the facts, which must not contradict each other; commands are passed over."""
    assert smt.ruling(claim) == ruling


@pytest.mark.parametrize(
    ("language", "text", "ruling"),
    [
        ("equations", "2 + 3 = 5", "pass"),
        ("equations", "2 + 3 = 6", "fail"),
        ("equations", "2 + = 6", "unknown"),
        ("smt", f"{FACTS}(assert (not (= x 3)))", "pass"),
        ("smt", "(assert (nonsense", "unknown"),
    ],
)
async def test_the_scripts_run_by_themselves(language: Language, text: str, ruling: str) -> None:
    """In a real sandbox, without the project around them; one that crashes has said nothing."""
    verdict = await Statement(language, text).check(best_sandbox())
    assert (verdict.ruling, verdict.sound) == (ruling, False)


@pytest.mark.parametrize(
    "ran",
    [
        Ran("holds\n", exit_code=1),
        Ran("holds\n", exit_code=None, ended="timeout"),
        Ran(""),
        Ran("unknown: this could not be decided"),
        Ran("it holds"),
    ],
)
async def test_a_check_that_did_not_end_well_is_unknown(ran: Ran) -> None:
    """Cut off, silent or unsure: never a pass."""
    assert (await Statement("smt", "...").check(Scripted([ran]))).ruling == "unknown"


async def test_a_sandbox_that_cannot_run_is_unknown() -> None:
    """Its error is the reason."""
    verdict = await Statement("smt", "...").check(Scripted(error=SandboxError("no bwrap")))
    assert verdict == Verdict.unknown("statement", "no bwrap")
