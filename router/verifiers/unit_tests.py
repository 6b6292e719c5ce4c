"""Unit tests, run on the code of the answer in the sandbox."""

from __future__ import annotations

import ast
import inspect
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from router.candidate import Candidate, Verdict
from router.code_answers import extract_code, parsed
from router.errors import InvalidQuery, SandboxError
from router.query import Query
from router.sandbox import Limits, Program, Ran
from router.verifiers import _test_harness
from router.verifiers._test_source import obstacle

if TYPE_CHECKING:
    from router.run import Run

MAX_TESTS = 500
MAX_TEST_CHARACTERS = 200_000
MAX_TIMEOUT_S = 120.0
NO_SANDBOX = "there is no sandbox to run code in: set [sandbox] in the service's configuration"


@dataclass(frozen=True, slots=True)
class UnitTests:
    """Passes where the answer's code passes every test; the reward is the share of tests that pass.

    tests: Python with assertions, functions ``test...``, classes ``Test...`` or of ``unittest``, or a
    ``check(candidate)``; or a list of such texts, each a test of its own. One that comes to its end without
    an assertion run proves nothing: ``unknown``. They find what the code defines as their own names, and
    as the module ``answer``. entry_point: the name that the code must define, which ``check`` is called
    with. timeout_s: wall time of all tests together; what has not been reached by then has not passed.

    Code and tests share a process: a test's early exit, a printed word or a killed process never passes, but
    code that was written to deceive this very harness may.
    """

    name: ClassVar[str] = "unit_tests"
    summary: ClassVar[str] = "the answer's Python code passes unit tests in the sandbox"

    tests: str | Sequence[str]
    entry_point: str | None = None
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.entry_point is not None and not str(self.entry_point).isidentifier():
            raise _wrong("entry_point", f"a name of Python's, not {self.entry_point!r}")
        check_timeout("unit_tests", self.timeout_s)
        if not isinstance(self.tests, str | list | tuple) or not 0 < len(self._texts) <= MAX_TESTS:
            raise _wrong("tests", f"a text, or a list of 1 to {MAX_TESTS} texts")
        for test in self._texts:
            _check_test(test, self.entry_point)
        if sum(map(len, self._texts)) > MAX_TEST_CHARACTERS:
            raise _wrong("tests", f"of at most {MAX_TEST_CHARACTERS} characters together")

    @property
    def _texts(self) -> Sequence[str]:
        return (self.tests,) if isinstance(self.tests, str) else self.tests

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where there is no code, no sandbox, or the sandbox fails."""
        code = extract_code(candidate.text, self.entry_point)
        if code is None:
            return Verdict.unknown(self.name, "no code found")
        if run is None or run.sandbox is None:
            return Verdict.unknown(self.name, NO_SANDBOX)
        mark = secrets.token_hex(16)
        job = {"mark": mark, "code": code, "tests": self._texts, "entry_point": self.entry_point}
        program = Program(inspect.getsource(_test_harness), json.dumps(job))
        try:
            ran = await run.sandbox.run(program, Limits(seconds=self.timeout_s))
        except SandboxError as error:
            return Verdict.unknown(self.name, str(error))
        return self._judge(ran, _reports(ran.stdout, mark))

    def _judge(self, ran: Ran, reports: Sequence[dict[str, Any]]) -> Verdict:
        tests = [report for report in reports if "test" in report]
        failed = {report["test"] for report in tests if report["problem"] is not None}
        idle = {report["test"] for report in tests if not report["assertions"]} - failed
        passed = {report["test"] for report in tests} - failed - idle
        ended = any("end" in report for report in reports)
        if ended and len(passed) == len(self._texts):
            count = f"{len(passed)} test{'s'[: len(passed) > 1]}"
            return Verdict("pass", 1.0, self.name, True, f"{count} passed in {ran.seconds:.2f} s")
        if ended and idle and not failed:
            return Verdict.unknown(
                self.name, f"test {min(idle) + 1} came to its end without any assertion run"
            )
        share = min(len(passed), len(self._texts) - 1) / len(self._texts)
        return Verdict("fail", share, self.name, True, _reason(ran, reports))


def _check_test(test: object, entry_point: str | None) -> None:
    if not isinstance(test, str):
        raise _wrong("tests", f"texts, not {test!r:.80}")
    tree = parsed(test)
    if tree is None:
        raise _wrong("tests", f"Python, not {test[:80]!r}")
    if any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
        called = any(isinstance(node, ast.Name) and node.id == "check" for node in ast.walk(tree))
        if not called and entry_point is None:
            raise _wrong("tests", "given with an entry_point, the name that check is called with")
    if (needs := obstacle(tree, entry_point)) is not None:
        raise _wrong("tests", f"{needs}; {test[:80]!r} is not")


def _reports(stdout: str, mark: str) -> list[dict[str, Any]]:
    lines = [line for line in stdout.splitlines() if line.startswith(mark)]
    return [json.loads(line.removeprefix(mark)) for line in lines]


def _reason(ran: Ran, reports: Sequence[dict[str, Any]]) -> str:
    """The first problem, in words that help to mend the code."""
    for report in reports:
        if "code" in report:
            return f"the code does not run: {report['code']}"
        if report.get("problem") is not None:
            return f"test {report['test'] + 1}: {report['problem']}"
    return f"the tests did not come to their end: {ran.complaint or 'the code ended the process'}"


def check_timeout(verifier: str, timeout_s: object) -> None:
    """``InvalidQuery`` where it is no time that a program may take."""
    number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not number or not 0 < timeout_s <= MAX_TIMEOUT_S:  # type: ignore[operator]  # it is a number
        raise InvalidQuery(
            f"A {verifier} verifier's timeout_s must be above 0 and at most {MAX_TIMEOUT_S:g}, "
            f"not {timeout_s!r}.",
            "effortwise.verifier.timeout_s",
        )


def _wrong(option: str, needs: str) -> InvalidQuery:
    return InvalidQuery(f"A unit_tests verifier's {option} must be {needs}.", f"effortwise.verifier.{option}")
