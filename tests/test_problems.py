"""The table from errors to HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router import errors
from serving import problems
from serving.problems import problem_of

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "golden" / "errors.jsonl").read_text().splitlines()
]


def tree(root: type[Exception] = errors.EffortwiseError) -> Iterator[type[Exception]]:
    """The classes of the tree as ``router.errors`` defines them."""
    if root.__module__ == errors.__name__:
        yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['raises']}-{case['arguments'][1:2]}")
def test_golden_errors(case: dict[str, Any]) -> None:
    """Each error gets its recorded status, headers and body."""
    problem = problem_of(getattr(errors, case["raises"])(*case["arguments"]))
    assert (problem.status, problem.headers) == (case["status"], case["headers"])
    assert json.loads(problem.content) == problem.body == case["reply"]


@pytest.mark.parametrize("kind", set(tree()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_its_own_line(kind: type[Exception]) -> None:
    """No error of the tree falls to the line of another, and each has a golden case."""
    assert kind in problems._RULES
    assert kind.__name__ in {case["raises"] for case in CASES}


def test_a_new_error_takes_its_parents_line() -> None:
    """An error that a plug-in derives is told as the one it derives from."""

    class Flooded(errors.StoreError):
        pass

    assert problem_of(Flooded("x")).status == 503


@pytest.mark.parametrize("error", [ValueError("/etc/secret"), KeyError("sk-1"), RuntimeError("stack")])
def test_foreign_errors_tell_nothing(error: Exception) -> None:
    """An error that is not of the tree is a 500 without its words."""
    problem = problem_of(error)
    assert (problem.status, problem.code) == (500, "internal_error")
    assert str(error).encode() not in problem.content


@pytest.mark.parametrize("status", range(300, 600))
def test_our_key_is_never_the_callers_fault(status: int) -> None:
    """No upstream status becomes a 401 or 403 for the caller, whose own key was accepted."""
    problem = problem_of(errors.BackendRefused("words", status))
    assert problem.status in (400, 429, 502)


def test_the_upstreams_words_on_our_key_are_not_told() -> None:
    """What an upstream says of the service's key stays with the operator."""
    for status in (401, 403):
        assert b"sk-123" not in problem_of(errors.BackendRefused("bad key sk-123", status)).content


@pytest.mark.parametrize(
    ("wait_s", "header"), [(0.0, "0"), (0.2, "1"), (60, "60"), (-3, "0"), (float("inf"), None)]
)
def test_retry_after_is_whole_seconds_rounded_up(wait_s: float, header: str | None) -> None:
    """Who comes back then is not too early; a window that never turns names no time."""
    assert problem_of(errors.AllowanceExhausted("x", wait_s)).headers.get("retry-after") == header
