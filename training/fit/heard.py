"""Heard: what every one of a few arms answered to every query, in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from router.confidence import Evidence
from router.confidence.agreement import Agreement, leader
from router.confidence.consensus import own_inputs, reading_of
from router.estimate import FloatArray
from training.likeness import Remembered

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Arrays over n queries and m arms.

    evidence: n rows of m, their priors not known yet. right, shape (n, m): whether the leading candidate
    is right. same, shape (n, m, m): whether two arms gave the same answer, each the same as itself. readings,
    shape (n, m, readings): how each leading reply reads.
    """

    arms: tuple[str, ...]
    evidence: Sequence[Sequence[Evidence]]
    right: FloatArray
    same: BoolArray
    readings: FloatArray

    def __len__(self) -> int:
        return len(self.evidence)

    @classmethod
    def of(
        cls,
        arms: Sequence[str],
        evidence: Sequence[Sequence[Evidence]],
        right: FloatArray,
        likeness: Remembered = Remembered(),  # noqa: B008  # frozen
    ) -> Heard:
        """Read every leading reply. right, shape (n, m). likeness: which of them say the same in other
        letters."""
        return cls(
            tuple(arms),
            evidence,
            right,
            np.array([_same(row, likeness) for row in evidence], np.bool_),
            np.array([[reading_of(each) for each in row] for row in evidence]),
        )

    def take(self, rows: IntArray) -> Heard:
        """Of some of the queries."""
        evidence = [self.evidence[i] for i in rows]
        return Heard(self.arms, evidence, self.right[rows], self.same[rows], self.readings[rows])

    def inputs(self, prior: FloatArray, agreement: Agreement) -> FloatArray:
        """What each arm's own chance is told by; prior, shape (n, m): P(success) before any token. Shape
        (n, m, inputs)."""
        return np.array(
            [
                [
                    own_inputs(agreement.probability(replace(each, prior=chance)), reading)
                    for each, chance, reading in zip(row, chances, readings, strict=True)
                ]
                for row, chances, readings in zip(self.evidence, prior.tolist(), self.readings, strict=True)
            ]
        )


def _same(row: Sequence[Evidence], likeness: Remembered) -> list[list[bool]]:
    """Those without an answer agree with nobody else."""
    chosen = [each.candidates[leader(each)] for each in row]
    query = row[0].query
    pairs = likeness.pairs(query, [each.text for each in chosen]) if query else ()
    alike = {frozenset(pair) for pair in pairs}
    answers = [each.compared for each in chosen]
    return [
        [i == j or {i, j} in alike or (one is not None and one == other) for j, other in enumerate(answers)]
        for i, one in enumerate(answers)
    ]
