"""Task: a prompt whose answer can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.query import Query, Wishes

MAX_COMPLETION_TOKENS = 96
TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt with a known answer.

    id: family and place in its space. difficulty: 1 (easy) to 3. reference: the right answer, or what
    it must hold, as text. check: the verifier specification that knows the answer: it judges
    afterwards. verifier: the specification that a client could truly send with the request, knowing
    no answer; ``None`` where it has none.
    """

    id: str
    family: str
    domain: str
    difficulty: int
    prompt: str
    reference: str
    check: Mapping[str, Any]
    verifier: Mapping[str, Any] | None = None

    def query(self) -> Query:
        """The task as a request, as a client would send it."""
        return Query(
            [{"role": "user", "content": self.prompt}],
            parameters={"temperature": TEMPERATURE},
            max_completion_tokens=MAX_COMPLETION_TOKENS,
            wishes=Wishes(verifier=self.verifier),
        )
