"""What runs in the sandbox around a reply's program to see what it does: a script of its own, which reads
its job from its standard input and reports line by line, each line behind a mark that only the job tells.

The program shares the process. Ending it early, or printing, leaves reports out and adds none; one that was
written to deceive this very harness may.
"""

import ast
import contextlib
import copy
import doctest
import hashlib
import inspect
import io
import itertools
import json
import os
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, FrameType
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
_EXACT = 1e15
"""Below it a whole number is one in floating point, too."""

Namespace = dict[str, Any]
Arguments = tuple[Any, ...]


class OutOfSteps(BaseException):
    """A call ran too many lines."""


class Incomparable(Exception):
    """A value that cannot be told from another by its text."""


def main() -> None:
    """Load the program, record what its examples call it with, and report what it does with each input: its
    own, then those of the job, by their numbers."""
    job = json.load(sys.stdin)
    report = _reporter(job.pop("mark"))
    program = Source(job["blocks"], job["question"])
    if program.function is not None:
        own = recorded(program, program.function)
        report({"function": program.function, "inputs": own})
        for number, text in enumerate(dict.fromkeys((*own, *job["inputs"]))):
            report({"number": number, "output": output(program, program.function, text)})
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
    """A program's statements in their order, and behind them the examples of docstrings and the question.

    function: the name of what is compared: the function that the program's own use of it calls first, else
    the last one that no other of them calls; ``None`` where none is defined. Its tests and main parts are
    use.
    """

    def __init__(self, blocks: Sequence[str], question: str) -> None:
        read = [statement for block in blocks for statement in _statements(block)]
        functions = {each.name: each for each in read if isinstance(each, ast.FunctionDef)}
        self.function = _compared(functions, [each for each in read if _shows(each)] or read)
        examples = (*_docstring_examples(functions), *_statements(question, doctests_only=True))
        self.statements = [(_compiled(each), _shows(each)) for each in read]
        self.examples = [_compiled(each) for each in examples]

    def namespace(self) -> Namespace:
        """What all but the mere use of the program makes of a new one."""
        found: Namespace = {"__name__": "__main__"}
        for code, shows in self.statements:
            if not shows:
                attempt(exec, code, found)
        return found


def _statements(text: str, *, doctests_only: bool = False) -> list[ast.stmt]:
    """Those of a block; of a session with ``>>>`` those that were typed; of one that was cut off those
    before the cut."""
    typed = _doctests(text) if ">>>" in text else []
    if doctests_only:
        return typed
    if not typed or _is_python(text):  # what was typed stands in a docstring then
        return _parsed(text)
    return [*_parsed(text.partition(">>>")[0]), *typed]


def _doctests(text: str) -> list[ast.stmt]:
    try:
        examples = doctest.DocTestParser().get_examples(inspect.cleandoc(text))
    except ValueError:
        return []
    return [statement for each in examples for statement in _parsed(each.source)]


def _parsed(text: str) -> list[ast.stmt]:
    """The statements before the first line that is no Python."""
    lines = text.splitlines()[:_MOST_LINES]
    while lines:
        try:
            return ast.parse("\n".join(lines)).body
        except SyntaxError as error:
            del lines[max(min(error.lineno or 1, len(lines)) - 1, 0) :]
        except (ValueError, RecursionError, MemoryError):
            break
    return []


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _shows(statement: ast.stmt) -> bool:
    """Whether it shows the program's use and changes nothing that its functions may need."""
    if isinstance(statement, ast.If):
        return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))
    return isinstance(statement, ast.Expr | ast.Assert)


def _compared(functions: dict[str, ast.FunctionDef], shown: Sequence[ast.stmt]) -> str | None:
    own = [name for name in functions if name != "main" and not name.startswith("test")] or list(functions)
    helpers = {called for name in own for called in _called([functions[name]]) if called != name}
    whole = [name for name in own if name not in helpers] or own
    use = [each for each in shown if not isinstance(each, ast.FunctionDef | ast.ClassDef)]
    return next((name for name in _called(use) if name in whole), whole[-1] if whole else None)


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


def _compiled(statement: ast.stmt) -> CodeType:
    """Nothing where it is none by itself, such as an ``await`` outside a function."""
    try:
        return compile(ast.Module([statement], []), "answer.py", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return compile("", "answer.py", "exec")


def recorded(program: Source, name: str) -> list[str]:
    """The arguments with which the program's examples and the question's call the function, not with which it
    calls itself, each as the text of a tuple."""
    namespace: Namespace = {"__name__": "__main__"}
    found: dict[str, None] = {}

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        under_way = 0

        def recorder(*arguments: Any, **named: Any) -> Any:
            nonlocal under_way
            text = None if under_way else _written(function, arguments, named)
            if text is not None and len(found) < MOST_INPUTS:
                found[text] = None
            under_way += 1
            try:
                return function(*arguments, **named)
            finally:
                under_way -= 1

        return recorder

    for code in (*(code for code, _ in program.statements), *program.examples):
        before = namespace.get(name)
        attempt(exec, code, namespace)
        now = namespace.get(name)
        if now is not before and callable(now):
            namespace[name] = watched(now)
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
    nothing, what it made of its arguments; else what it printed. One that fails begins with ``!``. Each input
    finds the program as new."""
    function: Any = program.namespace().get(name)
    random.seed(0)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        made, problem = attempt(_made, function, text)
    if problem is not None:
        return f"!{problem}"
    said = printed.getvalue().strip()
    return _short(f"printed {said}" if made == "None" and said else str(made))


def _made(function: Callable[..., Any], text: str) -> str:
    arguments = ast.literal_eval(text)
    given = copy.deepcopy(arguments)
    returned = canonical(function(*given))
    if returned != "None" or canonical(given) == canonical(arguments):
        return returned
    return f"changed {canonical(given)}"


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
        found = work(*arguments)
    except BaseException as error:
        return None, type(error).__name__
    finally:
        sys.settrace(None)
    return (found, None) if left >= 0 else (None, OutOfSteps.__name__)  # it may have been caught


def canonical(value: Any, depth: int = 0) -> str:
    """A value's text, the same for values that a caller would take for the same: lists and tuples, numbers
    to nine digits, sets and mappings in any order, iterators by what they give. ``Incomparable`` for what is
    too large, and for what has no text of its own."""
    if depth > _MOST_DEPTH:
        raise Incomparable
    if isinstance(value, bool | str | bytes | complex) or value is None:
        return repr(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(_each(value, depth))) + "}"
    if isinstance(value, dict):
        items = _few(value.items())
        return "{" + ",".join(sorted(":".join(_each(item, depth)) for item in items)) + "}"
    if isinstance(value, Iterable):
        return "[" + ",".join(_each(value, depth)) + "]"
    return _object(value, depth)


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else f"{value:.9g}"


def _object(value: Any, depth: int) -> str:
    if fields := getattr(value, "__dict__", None):
        return type(value).__name__ + canonical(fields, depth + 1)
    if callable(value) or getattr(type(value), "__repr__", None) is object.__repr__:
        raise Incomparable
    return repr(value)


def _each(values: Iterable[Any], depth: int) -> list[str]:
    return [canonical(value, depth + 1) for value in _few(values)]


def _few(values: Iterable[Any]) -> list[Any]:
    found = list(itertools.islice(values, _MOST_ITEMS + 1))
    if len(found) > _MOST_ITEMS:
        raise Incomparable
    return found


def _short(text: str) -> str:
    if len(text) <= _LONG:
        return text
    return f"{text[:_LONG]}... {hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


if __name__ == "__main__":
    main()
