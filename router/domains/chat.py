"""Open chat: whatever is of no other domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from router.answers import final_answer
from router.domains import MODEL
from router.query import Query


class Chat:
    """An answer in words. A short reply can be compared with others; a long one is no final answer."""

    name: ClassVar[str] = "chat"
    summary: ClassVar[str] = "open questions and tasks, answered in words; what is of no other domain"
    order: ClassVar[int] = 100
    verifiers: ClassVar[Sequence[str]] = ("judge", "reward_model", "regex")
    menu: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"strategy": "direct", "models": [MODEL]},
        {"strategy": "best_of_n", "models": [MODEL], "n": 4, "judge": MODEL},
        {"strategy": "verify_and_refine", "models": [MODEL], "n": 3},
    )

    def matches(self, query: Query) -> bool:
        """Every query that nothing before it recognised."""
        return True

    def extract(self, query: Query, text: str) -> str | None:
        """The stated answer, the word or number that the question asks for, or a short text itself."""
        return final_answer(query, text)
