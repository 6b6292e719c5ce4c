"""Sheet: what every arm answered to every query, as it is read while serving, in arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.answers import extract_answer, normalise
from router.call import Completion
from router.candidate import Candidate
from router.confidence import Evidence
from router.confidence.agreement import Agreement
from router.confidence.consensus import own_inputs, reading_of
from router.estimate import FloatArray
from router.query import Query
from router.replay import Recorded
from training.evaluation.grid import CORRECT_AT, Draw, Grid, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Arrays over n queries and m arms; of several draws the first counts.

    recorded: n rows of m draws. right, cost_usd, shape (n, m): whether the draw is correct, and its cost.
    same, shape (n, m): the number of the first arm that gave the same answer. readings, shape (n, m,
    readings): how each reply reads.
    """

    arms: tuple[str, ...]
    queries: tuple[Query, ...]
    recorded: tuple[tuple[Recorded, ...], ...]
    right: FloatArray
    cost_usd: FloatArray
    same: IntArray
    readings: FloatArray

    def __len__(self) -> int:
        return len(self.queries)

    @classmethod
    def of(cls, grid: Grid, correct_at: float = CORRECT_AT) -> Sheet:
        """Where the file holds extracted answers they count, else they are read from the replies."""
        extracted = any(draw.answer is not None for row in grid.draws for cell in row for draw in cell)
        queries = tuple(
            Query(({"role": "user", "content": text},), id=query_id)
            for text, query_id in zip(grid.texts, grid.query_ids, strict=True)
        )
        recorded = tuple(
            tuple(_recorded(query, cell[0], extracted, correct_at) for cell in row)
            for query, row in zip(queries, grid.draws, strict=True)
        )
        return cls(
            grid.arms,
            queries,
            recorded,
            np.array([[draw.score for draw in row] for row in recorded]),
            np.array([[cell[0].cost_usd for cell in row] for row in grid.draws]),
            np.array([_same(row) for row in recorded], np.int64),
            np.array(
                [
                    [_reading(query, draw) for draw in row]
                    for query, row in zip(queries, recorded, strict=True)
                ]
            ),
        )

    def inputs(self, rows: IntArray, prior: FloatArray, agreement: Agreement) -> FloatArray:
        """What each arm's own chance is told by; prior, shape (rows, m): P(success) before any token.
        Shape (rows, m, inputs)."""
        return np.array(
            [
                [
                    own_inputs(agreement.probability(_evidence(chance, draw)), reading)
                    for chance, draw, reading in zip(chances, self.recorded[i], self.readings[i], strict=True)
                ]
                for i, chances in zip(rows, prior.tolist(), strict=True)
            ]
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


def _evidence(prior: float, draw: Recorded, query: Query | None = None) -> Evidence:
    return Evidence(prior, (Candidate(draw.completion, draw.answer),), (None,), query)


def _reading(query: Query, draw: Recorded) -> tuple[float, ...]:
    return reading_of(_evidence(0.5, draw, query))


def _same(row: tuple[Recorded, ...]) -> list[int]:
    """Those without an answer agree with nobody."""
    first: dict[str, int] = {}
    return [
        j if draw.answer is None else first.setdefault(normalise(draw.answer), j)
        for j, draw in enumerate(row)
    ]
