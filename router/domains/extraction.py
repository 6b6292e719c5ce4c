"""Extraction: facts as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from router.answers import final_answer, json_answer, question_of, stated, wants_json
from router.domains import MODEL
from router.query import Query

_ASKS_JSON = re.compile(
    r"(?:^|[.!?:;\n][ \t]*)(?:please )?(?:extract|reply|respond|answer|output|return|format|convert|give)\b"
    r"[^.!?:\n]{0,80}\bjson\b",
    re.IGNORECASE,
)


class Extraction:
    """The answer is a JSON value, written in one way whatever the reply's spaces and order of keys."""

    name: ClassVar[str] = "extraction"
    summary: ClassVar[str] = "facts as JSON: a response format, a JSON schema, or a prompt that asks for it"
    order: ClassVar[int] = 0
    verifiers: ClassVar[Sequence[str]] = ("json_schema", "judge")
    menu: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"strategy": "direct", "models": [MODEL]},
        {"strategy": "self_consistency", "models": [MODEL], "n": 4, "template": "direct"},
        {"strategy": "best_of_n", "models": [MODEL], "n": 4},
        {"strategy": "verify_and_refine", "models": [MODEL], "n": 3},
    )

    def matches(self, query: Query) -> bool:
        """By its response format, its verifier, or a sentence that tells to reply in JSON."""
        return wants_json(query) or _ASKS_JSON.search(question_of(query)) is not None

    def extract(self, query: Query, text: str) -> str | None:
        """The last JSON object or array. Where only the prompt asks for it, a field ``"answer"`` in it
        is the final answer, and a reply without any JSON is read as any other."""
        if wants_json(query) or query.wishes.domain == self.name:
            return json_answer(text)
        return final_answer(query, text) if stated(text) else json_answer(text) or final_answer(query, text)
