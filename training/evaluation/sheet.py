"""Sheet: what every arm answered to every query, as it is read while serving, in arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.answers import extract_answer
from router.behaviour import Likeness, asks_for_code
from router.call import Completion
from router.candidate import Candidate
from router.confidence import Evidence
from router.estimate import FloatArray
from router.query import Query
from router.replay import Recorded
from training.evaluation.grid import CORRECT_AT, Draw, Grid, IntArray
from training.fit.heard import BoolArray, Heard
from training.likeness import Remembered


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Over n queries and m arms; of several draws the first counts.

    recorded: n rows of m draws. cost_usd, shape (n, m): of each. heard: what was answered, whole. read,
    shape (n, m): whether an answer was read from a reply. programs, shape (n,): whether a query asks for one.
    likeness: which answers say the same in other letters.
    """

    arms: tuple[str, ...]
    queries: tuple[Query, ...]
    recorded: tuple[tuple[Recorded, ...], ...]
    cost_usd: FloatArray
    heard: Heard
    read: BoolArray
    programs: BoolArray
    likeness: Remembered = Remembered()  # noqa: RUF009  # frozen

    def __len__(self) -> int:
        return len(self.queries)

    @classmethod
    def of(cls, grid: Grid, correct_at: float = CORRECT_AT, likeness: Likeness | None = None) -> Sheet:
        """Where the file holds extracted answers they count, else they are read from the replies. likeness:
        is asked about the replies to each question."""
        extracted = any(draw.answer is not None for row in grid.draws for cell in row for draw in cell)
        queries = tuple(
            Query(({"role": "user", "content": text},), id=query_id)
            for text, query_id in zip(grid.texts, grid.query_ids, strict=True)
        )
        recorded = tuple(
            tuple(_recorded(query, cell[0], extracted, correct_at) for cell in row)
            for query, row in zip(queries, grid.draws, strict=True)
        )
        heard = [
            [_evidence(query, arm, draw) for arm, draw in zip(grid.arms, row, strict=True)]
            for query, row in zip(queries, recorded, strict=True)
        ]
        right = np.array([[draw.score for draw in row] for row in recorded])
        cost_usd = np.array([[cell[0].cost_usd for cell in row] for row in grid.draws])
        texts = [[draw.completion.text for draw in row] for row in recorded]
        found = Remembered.of(likeness, queries, texts)
        return cls(
            grid.arms,
            queries,
            recorded,
            cost_usd,
            Heard.of(grid.arms, heard, right, found),
            np.array([[draw.answer is not None for draw in row] for row in recorded]),
            np.array([asks_for_code(query) for query in queries]),
            found,
        )

    def draws(self, rows: IntArray, arms: Sequence[int]) -> list[tuple[str, str, str, Recorded]]:
        """Rows for ``Recording.of``, of some queries and arms; every arm is a model of its own."""
        return [
            (self.arms[j], "direct", self.queries[i].text, self.recorded[i][j]) for i in rows for j in arms
        ]


def _recorded(query: Query, draw: Draw, extracted: bool, correct_at: float) -> Recorded:
    text = draw.response if draw.response is not None else draw.answer or ""
    message: Mapping[str, str] = {"role": "assistant", "content": text}
    completion = Completion(message, "stop", draw.prompt_tokens, draw.completion_tokens)
    answer = (draw.answer or "").strip() or None if extracted else extract_answer(query, text)
    right = float(draw.score >= correct_at)
    return Recorded(completion, right, cost_usd=draw.cost_usd, extracted=True, answer=answer)


def _evidence(query: Query, arm: str, draw: Recorded) -> Evidence:
    return Evidence(0.5, (Candidate(draw.completion, draw.answer),), (None,), query, arm)
