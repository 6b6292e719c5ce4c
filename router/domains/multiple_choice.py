"""Multiple choice: one of listed choices is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from router.answers import answer_line, choice_in, final_answer, lists_choices, question_of, stated
from router.choices import chosen_letter, listed_options
from router.domains import MODEL
from router.query import Query


class MultipleChoice:
    """The answer is a letter, A to J: science examinations and the like."""

    name: ClassVar[str] = "multiple_choice"
    summary: ClassVar[str] = "one of listed choices, A to J, as in examinations of science"
    order: ClassVar[int] = 20
    verifiers: ClassVar[Sequence[str]] = ("choice", "exact", "judge")
    menu: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"strategy": "direct", "models": [MODEL]},
        {"strategy": "chain_of_thought", "models": [MODEL]},
        {"strategy": "self_consistency", "models": [MODEL], "n": [4, 8]},
        {"strategy": "cascade", "stages": [f"{MODEL}/direct", f"{MODEL}/self_consistency@8"]},
    )

    def matches(self, query: Query) -> bool:
        """It lists two choices or more, such as ``A) ...`` and ``(B) ...``."""
        return lists_choices(question_of(query))

    def extract(self, query: Query, text: str) -> str | None:
        """The one letter that is chosen; where it names several, that stated or named last; without one,
        what any reply is read for."""
        if chosen := chosen_letter(query, text, listed_options(question_of(query))):
            return chosen
        return choice_in(stated(text) or answer_line(text) or text) or final_answer(query, text)
