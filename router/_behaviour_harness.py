"""What runs in the sandbox around a reply's program to see what it does: a script of its own, which reads
its job from its standard input and reports line by line, each line behind a mark that only the job tells.

The program shares the process. Ending it early, or printing, leaves reports out and adds none.
"""

import ast
import copy
import doctest
import hashlib
import inspect
import itertools
import json
import os
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any

MOST_INPUTS = 8
"""Recorded of one program's own examples."""
MOST_INPUT_CHARACTERS = 2_000
MOST_STEPS = 100_000
"""Lines that one call may run: a count, and no time, so that the same program always comes as far."""
_MOST_LINES = 400
_MOST_ITEMS = 1_000
_MOST_DEPTH = 8
_LONG = 200

Namespace = dict[str, Any]
Arguments = tuple[Any, ...]


class OutOfSteps(BaseException):
    """A call ran too many lines."""


def main() -> None:
    """Load the program, record what its examples call it with, and report what it does with each input."""
    job = json.load(sys.stdin)
    report = _reporter(job["mark"])
    program = Source(job["blocks"], job["question"])
    name = program.function
    if name is not None:
        own = recorded(program, name)
        report({"function": name, "inputs": own})
        for text in dict.fromkeys((*own, *job["inputs"])):
            report({"input": text, "output": output(program, name, text)})
    os._exit(0)  # threads that the program left behind are not waited for


def _reporter(mark: str) -> Callable[[dict[str, Any]], None]:
    """Writes to what was the standard output, by functions taken before the program can replace them."""
    write, dumps, out = os.write, json.dumps, os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)

    def report(what: dict[str, Any]) -> None:
        write(out, f"\n{mark} {dumps(what)}\n".encode())

    return report


class Source:
    """A program's statements: those that define something, and those that show how it is used.

    function: the name of what is compared: the function that the examples call first, else the last one
    that no other of them calls; ``None`` where none is defined.
    """

    def __init__(self, blocks: Sequence[str], question: str) -> None:
        read = [statement for block in blocks for statement in _statements(block)]
        functions = {each.name: each for each in read if isinstance(each, ast.FunctionDef)}
        shown = [each for each in read if not _defines(each, functions)]
        self.definitions = [_compiled(each) for each in read if _defines(each, functions)]
        examples = (*shown, *_docstring_examples(functions), *_statements(question, doctests_only=True))
        self.usage = [_compiled(each) for each in examples]
        self.function = _compared(functions, shown)

    def namespace(self) -> Namespace:
        """What the definitions make of a new one."""
        found: Namespace = {"__name__": "__main__"}
        for code in self.definitions:
            attempt(exec, code, found)
        return found


def _statements(text: str, *, doctests_only: bool = False) -> list[ast.stmt]:
    """Those of a block; of a session with ``>>>`` those that were typed; of one that was cut off those
    before the cut."""
    typed = _doctests(text) if ">>>" in text else []
    if doctests_only:
        return typed
    if not typed or _read(text) is not None:  # what was typed stands in a docstring then
        return _parsed(text)
    return [*_parsed(text.partition(">>>")[0]), *typed]


def _doctests(text: str) -> list[ast.stmt]:
    try:
        examples = doctest.DocTestParser().get_examples(inspect.cleandoc(text))
    except ValueError:
        return []
    return [statement for each in examples for statement in _parsed(each.source)]


def _parsed(text: str) -> list[ast.stmt]:
    lines = text.splitlines()[:_MOST_LINES]
    texts = ("\n".join(lines[:end]) for end in range(len(lines), 0, -1))
    return next((read for each in texts if (read := _read(each)) is not None), [])


def _read(text: str) -> list[ast.stmt] | None:
    try:
        return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _defines(statement: ast.stmt, functions: Iterable[str]) -> bool:
    """Whether it defines something, and does not already use what is defined."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return not any(isinstance(node, ast.Name) and node.id in functions for node in ast.walk(statement))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return isinstance(statement, kinds)


def _compared(functions: dict[str, ast.FunctionDef], shown: Sequence[ast.stmt]) -> str | None:
    helpers = {called for name, each in functions.items() for called in _called([each]) if called != name}
    whole = [name for name in functions if name not in helpers] or list(functions)
    return next((name for name in _called(shown) if name in whole), whole[-1] if whole else None)


def _called(statements: Iterable[ast.AST]) -> list[str]:
    return [
        node.func.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]


def _docstring_examples(functions: dict[str, ast.FunctionDef]) -> list[ast.stmt]:
    told = [ast.get_docstring(each) or "" for each in functions.values()]
    return [statement for text in told for statement in _statements(text, doctests_only=True)]


def _compiled(statement: ast.stmt) -> Any:
    return compile(ast.Module([statement], []), "answer.py", "exec")


def recorded(program: Source, name: str) -> list[str]:
    """The arguments with which the program's examples and the question's call the function, each as the
    text of a tuple."""
    namespace = program.namespace()
    function = namespace.get(name)
    found: dict[str, None] = {}

    def recorder(*arguments: Any, **named: Any) -> Any:
        text = _written(function, arguments, named)
        if text is not None and len(found) < MOST_INPUTS:
            found[text] = None
        return function(*arguments, **named)  # type: ignore[misc]  # it is called as the program calls it

    namespace[name] = recorder
    for code in program.usage:
        attempt(exec, code, namespace)
    return list(found)


def _written(function: Any, arguments: Arguments, named: Namespace) -> str | None:
    """``None`` for arguments that are no plain values, or too long ones."""
    try:
        if named:
            bound = inspect.signature(function).bind(*arguments, **named)
            if bound.kwargs:
                return None
            arguments = bound.args
        text = repr(arguments)
        return text if len(text) <= MOST_INPUT_CHARACTERS and ast.literal_eval(text) == arguments else None
    except Exception:
        return None


def output(program: Source, name: str, text: str) -> str:
    """What a function makes of arguments, in one form for whatever is equal: what it returns; where that is
    nothing, what it made of its arguments. One that fails begins with ``!``. Each input finds the program as
    new."""
    function = program.namespace().get(name)
    arguments = ast.literal_eval(text)
    given = copy.deepcopy(arguments)
    random.seed(0)
    returned, problem = attempt(lambda: canonical(function(*given)))  # type: ignore[misc]  # a failure is told
    if problem is not None:
        return f"!{problem}"
    if returned == "None" and canonical(given) != canonical(arguments):
        return _short(f"changed {canonical(given)}")
    return _short(str(returned))


def attempt(work: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """What it returns within the steps allowed, or else the kind of what it raised."""
    left = MOST_STEPS

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise OutOfSteps
        return count

    sys.settrace(count)
    try:
        return work(*arguments), None
    except BaseException as error:
        return None, type(error).__name__
    finally:
        sys.settrace(None)


def canonical(value: Any, depth: int = 0) -> str:
    """A value's text, the same for values that a caller would take for the same: lists and tuples, numbers
    to nine digits, sets and mappings in any order, iterators by what they give."""
    if depth > _MOST_DEPTH:
        return "..."
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | float):
        return str(value) if isinstance(value, int) else f"{value:.9g}".removesuffix(".0")
    if isinstance(value, str | bytes | complex):
        return repr(value)
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(_each(value, depth))) + "}"
    if isinstance(value, dict):
        items = sorted(f"{canonical(k, depth + 1)}:{canonical(v, depth + 1)}" for k, v in value.items())
        return "{" + ",".join(items[:_MOST_ITEMS]) + "}"
    if isinstance(value, Iterable):
        return "[" + ",".join(_each(value, depth)) + "]"
    fields = getattr(value, "__dict__", None)
    return type(value).__name__ + (canonical(fields, depth + 1) if fields else "")


def _each(values: Iterable[Any], depth: int) -> list[str]:
    return [canonical(value, depth + 1) for value in itertools.islice(values, _MOST_ITEMS)]


def _short(text: str) -> str:
    if len(text) <= _LONG:
        return text
    return f"{text[:_LONG]}... {hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


if __name__ == "__main__":
    main()
