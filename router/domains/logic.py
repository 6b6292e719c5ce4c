"""Logic: whether something follows, who lies, what is true."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from router.answers import final_answer, question_of, words_of
from router.domains import MODEL
from router.query import Query

_WORDS = frozenset(("knave", "knaves", "syllogism", "tautology", "satisfiable", "propositional", "premise"))
_HINTS = frozenset(
    ("valid", "follow", "follows", "equivalent", "consistent", "only", "premises", "table", "truth", "lying",
     "lies", "lie")
)  # fmt: skip
"""Without any of these there is nothing to look for."""
_LOGICAL = re.compile(
    r"\b(?:if and only if|truth[- ]table|following premises|tells? the truth|is lying"
    r"|(?:conclusion|argument|statement|logical(?:ly)?)\b.{0,40}\b(?:valid|follows?|equivalent|consistent))\b",
    re.IGNORECASE,
)
_TRUTH_VALUE = re.compile(
    r"(yes|no|true|false|valid|invalid|satisfiable|unsatisfiable|unknown)(?=[,.;:!]|\s*$|\s+[-–—])",
    re.IGNORECASE,
)


class Logic:
    """The answer is a truth value, one of named alternatives, or a short statement."""

    name: ClassVar[str] = "logic"
    summary: ClassVar[str] = "whether something follows, who lies, what is true"
    order: ClassVar[int] = 40
    verifiers: ClassVar[Sequence[str]] = ("z3", "exact", "judge")
    menu: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"strategy": "direct", "models": [MODEL]},
        {"strategy": "chain_of_thought", "models": [MODEL]},
        {"strategy": "self_consistency", "models": [MODEL], "n": [4, 8]},
        {"strategy": "formal_check", "models": [MODEL], "language": "smt"},
    )

    def matches(self, query: Query) -> bool:
        """It speaks of premises, validity, satisfiability, liars, and the like."""
        question = question_of(query)
        words = words_of(question)
        return not _WORDS.isdisjoint(words) or (
            not _HINTS.isdisjoint(words) and _LOGICAL.search(question) is not None
        )

    def extract(self, query: Query, text: str) -> str | None:
        """The stated answer; of one that begins with a truth value ("Yes, because ...") that alone."""
        answer = final_answer(query, text)
        leading = _TRUTH_VALUE.match(answer) if answer else None
        return leading[1] if leading else answer
