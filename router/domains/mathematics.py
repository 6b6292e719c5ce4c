"""Mathematics: a number or an expression is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from router.answers import final_answer, question_of, wants_number, words_of
from router.domains import MODEL
from router.query import Query

_WORDS = frozenset(
    ("solve", "simplify", "evaluate", "factorise", "factorize", "integral", "derivative", "equation",
     "equations", "polynomial", "prime", "primes", "probability", "remainder", "perimeter", "hypotenuse",
     "integer", "integers", "digits", "average", "percentage", "twice")
)  # fmt: skip
_PHRASES = (" total", "half as", "times as", "number of", "sum of", "price of", "cost of", "value of")
_LATEX = re.compile(
    r"\\(?:frac|sqrt|sum|int|cdot|times|leq?|geq?|pi|boxed|left|angle|begin|overline)\b"
    r"|\$[^$\s]{1,3}\$|\$[^$\n]{1,200}[\\^_=+][^$\n]{0,200}\$"
)


class Mathematics:
    """Arithmetic, word problems, algebra: the answer is what stands in ``\\boxed{}`` or behind
    ``Answer:``, else the last number where one is asked for."""

    name: ClassVar[str] = "mathematics"
    summary: ClassVar[str] = "a number or an expression is asked for"
    order: ClassVar[int] = 50
    verifiers: ClassVar[Sequence[str]] = ("symbolic", "numeric", "exact", "program_output", "judge")
    menu: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"strategy": "direct", "models": [MODEL]},
        {"strategy": "chain_of_thought", "models": [MODEL]},
        {"strategy": "self_consistency", "models": [MODEL], "n": [4, 8, 16]},
        {"strategy": "program_of_thought", "models": [MODEL]},
        {"strategy": "cascade", "stages": [f"{MODEL}/direct", f"{MODEL}/self_consistency@8"]},
    )

    def matches(self, query: Query) -> bool:
        """It asks how many, gives a sum to do, or is written in mathematics."""
        question = question_of(query)
        return (
            not _WORDS.isdisjoint(words_of(question))
            or any(phrase in question for phrase in _PHRASES)
            or (("$" in question or "\\" in question) and _LATEX.search(question) is not None)
            or wants_number(question)
        )

    def extract(self, query: Query, text: str) -> str | None:
        """The stated answer, else the last number where the question wants one."""
        return final_answer(query, text)
