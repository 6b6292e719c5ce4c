"""What runs in the sandbox around a candidate's code: a script of its own, which reads its job from
its standard input and reports line by line, each line behind a mark that only the job tells.

The code under test shares the process, as tests need it to. It finds neither the mark in a file or
argument nor the input, and what it prints goes nowhere; ending the process early leaves reports out.
"""

import ast
import asyncio
import inspect
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
        executed: list[None] = []
        run = partial(_run, test, namespace, job["entry_point"], executed)
        problem = _problem_of(run, {**sources, "tests.py": test})
        report({"test": number, "problem": problem, "assertions": len(executed)})
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


def _execute(source: str | ast.Module, name: str, namespace: dict[str, Any]) -> None:
    exec(compile(source, name, "exec"), namespace)  # noqa: S102  # to run it is the point


def _run(test: str, code: dict[str, Any], entry_point: str | None, executed: list[None]) -> None:
    """A test's statements, then what it defines to be run: ``check(candidate)``, functions named
    ``test...``, classes named ``Test...`` and those of ``unittest``. executed: grows by each assertion."""
    namespace = {**code, _COUNTED: lambda: executed.append(None)}
    before = dict(namespace)
    _execute(_Counted().counted(test), "tests.py", namespace)
    new = {name: value for name, value in namespace.items() if value is not before.get(name)}
    if entry_point is not None and callable(new.get("check")):
        _finish(new["check"](code[entry_point]))
    for name, value in new.items():
        if name.startswith("test") and isinstance(value, types.FunctionType):
            _finish(value())
        elif isinstance(value, type) and value.__module__ == code["__name__"]:
            _run_class(value)


def _run_class(value: type) -> None:
    if "unittest" in sys.modules and issubclass(value, sys.modules["unittest"].TestCase):
        _run_unittest(value)
    elif value.__name__.startswith("Test"):
        for name in [name for name in dir(value) if name.startswith("test")]:
            one = value()
            _finish(getattr(one, "setup_method", _nothing)())
            _finish(getattr(one, name)())
            _finish(getattr(one, "teardown_method", _nothing)())


def _nothing() -> None:
    """A class need not set anything up."""


def _finish(result: Any) -> None:
    """What a test returns may be its work still to be done."""
    if inspect.iscoroutine(result):
        asyncio.run(result)
    elif inspect.isgenerator(result):
        for _ in result:
            pass


def _run_unittest(value: type) -> None:
    import unittest

    result = unittest.defaultTestLoader.loadTestsFromTestCase(value).run(unittest.TestResult())
    for test, trace in (*result.failures, *result.errors):
        raise AssertionError(f"{test.id()}: {trace.strip().splitlines()[-1]}")


_COUNTED = "__assertion_executed__"


class _Counted(ast.NodeTransformer):
    """Puts a call that counts before every assertion. Lines keep their numbers."""

    def counted(self, test: str) -> ast.Module:
        """The syntax tree of a test that counts."""
        tree: ast.Module = self.visit(ast.parse(test, "tests.py"))
        return ast.fix_missing_locations(tree)

    def generic_visit(self, node: ast.AST) -> Any:
        super().generic_visit(node)
        if not isinstance(node, ast.stmt) or not asserts(node):
            return node
        call = ast.Expr(ast.Call(ast.Name(_COUNTED, ast.Load()), [], []))
        return [ast.copy_location(call, node), node]


def asserts(node: ast.stmt) -> bool:
    """Whether a statement is an assertion: ``assert``, a call of ``assert...`` or ``raises``, or a branch
    that raises."""
    if isinstance(node, ast.Expr | ast.With | ast.AsyncWith):
        heads = [node.value] if isinstance(node, ast.Expr) else [item.context_expr for item in node.items]
        return any(
            isinstance(part, ast.Call) and _names_assertion(part) for head in heads for part in ast.walk(head)
        )
    if isinstance(node, ast.If | ast.Try):
        return any(isinstance(part, ast.Raise) for part in ast.walk(node))
    return isinstance(node, ast.Assert)


def _names_assertion(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    return name.startswith("assert") or name == "raises"


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
