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

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Arrays over n queries and m arms.

    evidence: n rows of m, their priors not known yet. right, shape (n, m): whether the leading candidate
    is right. same, shape (n, m): the number of the first arm that gave the same answer. readings, shape
    (n, m, readings): how each leading reply reads.
    """

    arms: tuple[str, ...]
    evidence: Sequence[Sequence[Evidence]]
    right: FloatArray
    same: IntArray
    readings: FloatArray

    def __len__(self) -> int:
        return len(self.evidence)

    @classmethod
    def of(cls, arms: Sequence[str], evidence: Sequence[Sequence[Evidence]], right: FloatArray) -> Heard:
        """Read every leading reply. right, shape (n, m)."""
        return cls(
            tuple(arms),
            evidence,
            right,
            np.array([_same(row) for row in evidence], np.int64),
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


def _same(row: Sequence[Evidence]) -> list[int]:
    """Those without an answer agree with nobody."""
    first: dict[str, int] = {}
    answers = [each.candidates[leader(each)].compared for each in row]
    return [j if answer is None else first.setdefault(answer, j) for j, answer in enumerate(answers)]
