"""The program in a reply, apart from the words around it."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

MAX_CODE_CHARACTERS = 100_000
_FENCED = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_PYTHON = frozenset({"", "python", "python3", "py"})
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def extract_code(text: str, defines: str | None = None) -> str | None:
    """The Python program of a reply: of its fenced blocks the last that defines a name, where one is
    told; else the last; without any the whole text, where it is Python. ``None`` where there is none. A
    block that was cut off counts to its end.

    >>> extract_code("Here it is:\\n```python\\nprint(5)\\n```\\nIt prints 5.")
    'print(5)\\n'
    """
    text = _THOUGHT.sub("", text)
    if len(text) > MAX_CODE_CHARACTERS:
        return None
    blocks = [block for _, language, block in _FENCED.findall(text) if language.lower() in _PYTHON]
    if blocks:
        return _last(blocks, defines)
    return text if text.strip() and is_python(text) else None


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
