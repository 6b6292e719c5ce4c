"""What runs in the sandbox around a candidate's code: a script of its own, which reads its job from
its standard input and reports line by line, each line behind a mark that only the job tells.

The code under test shares the process, as tests need it to. It finds neither the mark in a file or
argument nor the input, and what it prints goes nowhere; ending the process early leaves reports out.
"""

import json
import os
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

_MOST_CHARACTERS = 300


def main() -> None:
    """Load the code, run each test, report each, and the end."""
    job = json.load(sys.stdin)
    report = _reporter(job.pop("mark"))
    end = os._exit
    namespace = _module().__dict__
    sources = {"answer.py": job["code"]}
    problem = _problem_of(lambda: _execute(job["code"], "answer.py", namespace), sources)
    if problem is None and job["entry_point"] not in (None, *namespace):
        problem = f"it defines no {job['entry_point']!r}"
    if problem is not None:
        report({"code": problem})
        end(0)
    for number, test in enumerate(job["tests"]):
        run = partial(_run, test, namespace, job["entry_point"])
        report({"test": number, "problem": _problem_of(run, {**sources, "tests.py": test})})
    report({"end": True})
    end(0)  # threads that the code left behind are not waited for


def _reporter(mark: str) -> Callable[[dict[str, Any]], None]:
    """Writes to what was the standard output, by functions taken before the code can replace them."""
    write, dumps, output = os.write, json.dumps, os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)

    def report(what: dict[str, Any]) -> None:
        write(output, f"\n{mark} {dumps(what)}\n".encode())

    return report


def _module() -> types.ModuleType:
    module = types.ModuleType("answer")
    sys.modules["answer"] = sys.modules["solution"] = module
    return module


def _execute(source: str, name: str, namespace: dict[str, Any]) -> None:
    exec(compile(source, name, "exec"), namespace)  # noqa: S102  # to run it is the point


def _run(test: str, code: dict[str, Any], entry_point: str | None) -> None:
    """A test's statements, then what it defines to be run: ``check(candidate)``, functions named
    ``test...``, and classes of ``unittest``."""
    namespace = dict(code)
    _execute(test, "tests.py", namespace)
    new = {name: value for name, value in namespace.items() if value is not code.get(name)}
    if entry_point is not None and callable(new.get("check")):
        new["check"](code[entry_point])
    for name, value in new.items():
        if name.startswith("test") and isinstance(value, types.FunctionType):
            value()
    if "unittest" in sys.modules:
        _run_classes(list(new.values()))


def _run_classes(values: list[Any]) -> None:
    import unittest

    for value in values:
        if (
            isinstance(value, type)
            and issubclass(value, unittest.TestCase)
            and value is not unittest.TestCase
        ):
            result = unittest.defaultTestLoader.loadTestsFromTestCase(value).run(unittest.TestResult())
            for test, trace in (*result.failures, *result.errors):
                raise AssertionError(f"{test.id()}: {trace.strip().splitlines()[-1]}")


def _problem_of(work: Callable[[], None], sources: dict[str, str]) -> str | None:
    """What is wrong with it, ``None`` where nothing is; an early exit is a problem like any other."""
    try:
        work()
    except BaseException as error:
        return f"{_words(error)[:_MOST_CHARACTERS]}{_place(error, sources)[:_MOST_CHARACTERS]}"
    return None


def _words(error: BaseException) -> str:
    try:
        said = str(error)
    except BaseException:
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _place(error: BaseException, sources: dict[str, str]) -> str:
    """The last line of code or tests that the error came through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        lines = sources.get(trace.tb_frame.f_code.co_filename, "").splitlines()
        if trace.tb_lineno <= len(lines):
            place = f", at: {lines[trace.tb_lineno - 1].strip()}"
        trace = trace.tb_next
    return place


if __name__ == "__main__":
    main()
