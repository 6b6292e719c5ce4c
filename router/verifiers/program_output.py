"""What the answer's program prints for given input, run in the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from router.candidate import Candidate, Verdict
from router.code_answers import extract_code
from router.errors import InvalidQuery
from router.query import Query
from router.sandbox import Limits, Program, Ran
from router.verifiers.unit_tests import NO_SANDBOX, check_timeout

if TYPE_CHECKING:
    from router.run import Run

MAX_CASES = 100
MAX_CASE_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class ProgramOutput:
    """Passes where the answer's program prints what it should for every case; the reward is the share of
    cases where it does.

    cases: each with ``stdin`` (nothing without it) and ``stdout``. Spaces at the ends of lines and blank
    lines at the end do not count. timeout_s: wall time of each case.
    """

    name: ClassVar[str] = "program_output"
    summary: ClassVar[str] = "the answer's Python program prints what it should, in the sandbox"

    cases: Sequence[Mapping[str, str]]
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        check_timeout("program_output", self.timeout_s)
        if not isinstance(self.cases, list | tuple) or not 0 < len(self.cases) <= MAX_CASES:
            raise _wrong(f"a list of 1 to {MAX_CASES} cases")
        for case in self.cases:
            _check_case(case)
        if sum(len(text) for case in self.cases for text in case.values()) > MAX_CASE_CHARACTERS:
            raise _wrong(f"of at most {MAX_CASE_CHARACTERS} characters together")

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where there is no code, no sandbox, or the sandbox fails."""
        code = extract_code(candidate.text)
        if code is None:
            return Verdict.unknown(self.name, "no code found")
        if run is None or run.sandbox is None:
            return Verdict.unknown(self.name, NO_SANDBOX)
        limits = Limits(seconds=self.timeout_s)
        programs = [Program(code, case.get("stdin", "")) for case in self.cases]
        try:
            async with asyncio.TaskGroup() as group:
                runs = [group.create_task(run.sandbox.run(program, limits)) for program in programs]
        except ExceptionGroup as failures:  # the sandbox's own; what a program does is told by its result
            return Verdict.unknown(self.name, str(failures.exceptions[0]))
        return self._judge([task.result() for task in runs])

    def _judge(self, runs: Sequence[Ran]) -> Verdict:
        problems = [_problem(ran, case["stdout"]) for ran, case in zip(runs, self.cases, strict=True)]
        failed = [(number, problem) for number, problem in enumerate(problems, 1) if problem is not None]
        if not failed:
            seconds = sum(ran.seconds for ran in runs)
            return Verdict("pass", 1.0, self.name, True, f"{len(runs)} cases passed in {seconds:.2f} s")
        number, problem = failed[0]
        return Verdict("fail", 1 - len(failed) / len(runs), self.name, True, f"case {number}: {problem}")


def _problem(ran: Ran, wanted: str) -> str | None:
    """What is wrong with a run, ``None`` where it printed what it should and ended well. What it should have
    printed is not told: a strategy that mends code shows this to the model."""
    if not ran.succeeded:
        return ran.complaint
    if _lines(ran.stdout) == _lines(wanted):
        return None
    return f"printed {ran.stdout.strip()[:120]!r}, which is not what it should"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _check_case(case: object) -> None:
    if not isinstance(case, Mapping) or "stdout" not in case or not case.keys() <= {"stdin", "stdout"}:
        raise _wrong(f"objects with stdout and, where wanted, stdin, not {case!r:.80}")
    if not all(isinstance(text, str) for text in case.values()):
        raise _wrong("objects of texts")


def _wrong(needs: str) -> InvalidQuery:
    return InvalidQuery(f"A program_output verifier's cases must be {needs}.", "effortwise.verifier.cases")
