"""Code: a program, or a part of one, is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from router.answers import final_answer, question_of, words_of
from router.code_answers import fenced_blocks
from router.domains import MODEL
from router.query import Query

_NOUNS = frozenset(
    ("function", "functions", "program", "programs", "script", "scripts", "code", "class", "python",
     "javascript", "typescript", "java", "rust", "c++", "sql", "algorithm", "test", "tests")
)  # fmt: skip
_WANTS_CODE = re.compile(
    r"\b(?:write|implement|complete|create|fix|debug|refactor|generate|develop|optimi[sz]e)\b"
    r"(?:(?!\b(?:sentences?|stor(?:y|ies)|poem|essay|words?|paragraph|e-?mail|letter)\b)[^.?\n]){0,60}"
    r"\b(?:functions?|programs?|scripts?|code|class|python|javascript|typescript|java|rust|c\+\+|sql"
    r"|algorithm|unit tests?)(?![\w-])",
    re.IGNORECASE,
)
_BEGINS_FUNCTION = re.compile(
    r"^(?:async )?def \w+\([^\n]*:[ \t]*\n[ \t]+(?:\"\"\"|'''|pass\b|\.\.\.|#)", re.MULTILINE
)
_DEFINES = re.compile(
    r"^[ \t]*(?:async def|def|class|function|fn|func|public|interface|CREATE)\b", re.MULTILINE
)
_LOOKS_LIKE_CODE = re.compile(r"(?:async def|def|class|import|from|function|#include|package|SELECT|@)\b|@\w")


class Code:
    """The answer is the last fenced block that defines something, whole."""

    name: ClassVar[str] = "code"
    summary: ClassVar[str] = "a program or a part of one is asked for, or one is to be mended"
    order: ClassVar[int] = 30
    verifiers: ClassVar[Sequence[str]] = ("unit_tests", "program_output", "judge")
    menu: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"strategy": "direct", "models": [MODEL]},
        {"strategy": "chain_of_thought", "models": [MODEL]},
        {"strategy": "best_of_n", "models": [MODEL], "n": [4, 8]},
        {"strategy": "verify_and_refine", "models": [MODEL], "n": 4},
    )

    def matches(self, query: Query) -> bool:
        """It tells to write or mend code, or shows a function without its body."""
        question = question_of(query)
        if "def " in question and _BEGINS_FUNCTION.search(question):
            return True
        return not _NOUNS.isdisjoint(words_of(question)) and _WANTS_CODE.search(question) is not None

    def extract(self, query: Query, text: str) -> str | None:
        """The last fenced block that defines something, so that an example of its use is not taken for it;
        else the last one; a reply that is code as a whole; else what any reply is read for."""
        blocks = [block.rstrip() for _, block in fenced_blocks(text)]
        if written := [block for block in blocks if block]:
            return next((block for block in reversed(written) if _DEFINES.search(block)), written[-1])
        if blocks:
            return None
        return text if _LOOKS_LIKE_CODE.match(text) else final_answer(query, text)
