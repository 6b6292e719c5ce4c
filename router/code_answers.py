"""The program in a reply, apart from the words around it."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

from router.thinking import without_thinking

MAX_CODE_CHARACTERS = 100_000
_FENCED = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_TAGGED = re.compile(r"\[(PYTHON|TESTS)\][ \t]*\n(.*?)(?:\[/\1\]|\Z)", re.DOTALL)
"""How Code Llama was taught to mark its code, and the tests that it writes beside it."""
_PYTHON = frozenset({"", "python", "python3", "py"})
_TESTS = "tests"
_BEGINS = re.compile(r"^(?:async def|def|class|import|from|@)\b", re.MULTILINE)


def extract_code(text: str, defines: str | None = None) -> str | None:
    """The Python program of a reply: of its fenced blocks the last that defines a name, where one is
    told; else the last; without any the whole text, where it is Python. ``None`` where there is none. A
    block that was cut off counts to its end.

    >>> extract_code("Here it is:\\n```python\\nprint(5)\\n```\\nIt prints 5.")
    'print(5)\\n'
    """
    text = without_thinking(text)
    if len(text) > MAX_CODE_CHARACTERS:
        return None
    blocks = [block for language, block in fenced_blocks(text) if language.lower() in _PYTHON]
    if blocks:
        return _last(blocks, defines)
    return text if text.strip() and is_python(text) else None


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a text, each as its language (empty where it tells none) and its lines; without
    any, those between ``[PYTHON]`` and ``[/PYTHON]``, and ``[TESTS]`` likewise. One that was cut off counts
    to its end.

    >>> fenced_blocks("```python\\nprint(5)\\n```")
    [('python', 'print(5)\\n')]
    """
    fenced = [(language, block) for _, language, block in _FENCED.findall(text)]
    return fenced or [(tag.lower(), block) for tag, block in _TAGGED.findall(text)]


def python_blocks(text: str) -> list[str]:
    """All Python of a reply, its examples and tests among it: the fenced blocks; without any the text from
    the first line on that begins like a program.

    >>> python_blocks("So:\\ndef one():\\n    return 1\\n")
    ['def one():\\n    return 1\\n']
    """
    text = without_thinking(text)
    if len(text) > MAX_CODE_CHARACTERS:
        return []
    fenced = [(language.lower(), block) for language, block in fenced_blocks(text)]
    if fenced:
        return [block for language, block in fenced if language in _PYTHON or language == _TESTS]
    begin = _BEGINS.search(text)
    return [text[begin.start() :]] if begin else []


def _last(blocks: Sequence[str], defines: str | None) -> str:
    if defines is None:
        return blocks[-1]
    definition = re.compile(
        rf"^(?:async def|def|class)\s+{re.escape(defines)}\b|^{re.escape(defines)}\s*[:=]", re.MULTILINE
    )
    return next((block for block in reversed(blocks) if definition.search(block)), blocks[-1])


def is_python(text: str) -> bool:
    """Whether a text can be read as Python at all."""
    return parsed(text) is not None


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a Python text, ``None`` where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes and the like in what a model wrote
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
