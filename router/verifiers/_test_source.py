"""What can be told of a test from its source alone: whether it could run, and would assert anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from router.verifiers._test_harness import asserts


def obstacle(tree: ast.Module, entry_point: str | None) -> str | None:
    """Why a test could prove nothing, as what it must be in place of that; ``None`` where it might."""
    for function in _functions(tree):
        if function.name.startswith("test") and _needed(function):
            return f"without arguments, unlike {function.name!r}: there are no fixtures"
    reached = _reached(tree, entry_point)
    if not any(isinstance(node, ast.stmt) and asserts(node) for node in reached):
        return "such that an assertion is run: at the top, in a test... function, a Test... class or check"
    return None


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _needed(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = function.args
    positional = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    return positional > 0 or any(default is None for default in given.kw_defaults)


def _reached(tree: ast.Module, entry_point: str | None) -> list[ast.AST]:
    """Every node of what is run: statements at the top, tests, and whatever these name."""
    definitions = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    waiting = [name for name, node in definitions.items() if _is_test(node, entry_point)]
    found = [part for node in tree.body if not _is_apart(node) for part in ast.walk(node)]
    waiting += _names(found)
    while waiting:
        node = definitions.pop(waiting.pop(), None)
        if node is not None:
            parts = list(ast.walk(node))
            found += parts
            waiting += _names(parts)
    return found


def _is_apart(node: ast.stmt) -> bool:
    """A definition, or what stands under ``if __name__ == "__main__"``, which is not run."""
    if isinstance(node, ast.If):
        return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _is_test(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, entry_point: str | None) -> bool:
    if isinstance(node, ast.ClassDef):
        return (node.name.startswith("Test") or bool(node.bases)) and any(
            getattr(member, "name", "").startswith("test") for member in node.body
        )
    return node.name.startswith("test") or (node.name == "check" and entry_point is not None)


def _names(parts: list[ast.AST]) -> list[str]:
    return [part.id for part in parts if isinstance(part, ast.Name)]
