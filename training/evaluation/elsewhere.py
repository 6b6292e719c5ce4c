"""Elsewhere: what the pool's models answered in other data sets; it teaches, and is not tested."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from training.rounds import normalised

IntArray = NDArray[np.int64]
NOT_HERE = -1

_OPTIONS = re.compile(r"\n[ \t]*(?:options:?\s*)?\(?A[.):][ \t](?=.*?\n[ \t]*\(?B[.):][ \t])", re.S | re.I)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """data_sets, texts, keys, shape (questions,). same, shape (pairs, 2): a question and a row of the grid
    that asks the same, ``NOT_HERE`` where that row has been left out.

    arms: their ids. families, shape (arms,): the pool's arm of the same model. Of each cell, shape (cells,):
    question and arm, positions; reward, as the grid's. Costs are left out: another data set has its own.
    """

    data_sets: tuple[str, ...]
    texts: tuple[str, ...]
    keys: tuple[str, ...]
    same: IntArray
    arms: tuple[str, ...]
    families: tuple[str, ...]
    question: IntArray
    arm: IntArray
    reward: FloatArray

    def __len__(self) -> int:
        return len(self.question)

    def teaching(self, rows: IntArray) -> IntArray:
        """The cells that may teach where these rows of the grid do: those of questions that no other row
        asks."""
        asked_by_others = self.same[~np.isin(self.same[:, 1], rows), 0]
        return np.flatnonzero(~np.isin(self.question, asked_by_others))

    def groups(self, group: IntArray) -> IntArray:
        """Of each question, the group of a row that asks the same; else one of its own, beside the grid's."""
        found = int(group.max(initial=-1)) + 1 + np.arange(len(self.texts))
        here = self.same[self.same[:, 1] != NOT_HERE]
        found[here[:, 0]] = group[here[:, 1]]
        return found

    def take(self, rows: IntArray) -> Elsewhere:
        """Beside some of the grid's rows, numbered as these are: the same but for what the others ask."""
        back = {int(row): i for i, row in enumerate(rows)}
        same = self.same.copy()
        same[:, 1] = [back.get(int(row), NOT_HERE) for row in self.same[:, 1]]
        return replace(self, same=same)

    def counts(self) -> dict[str, int]:
        """Questions by data set."""
        return {name: self.data_sets.count(name) for name in dict.fromkeys(self.data_sets)}


NOWHERE = Elsewhere(
    (), (), (), np.empty((0, 2), np.int64), (), (), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
)


def same_questions(asked: Sequence[tuple[str, str]], rows: Sequence[tuple[str, str]]) -> IntArray:
    """Pairs of positions, shape (pairs, 2): what was asked elsewhere and here, as text and key, is the same
    where the keys are or where ``core`` is."""
    here: Mapping[str, set[int]] = defaultdict(set)
    for row, (text, key) in enumerate(rows):
        here[key].add(row)
        here[core(text)].add(row)
    pairs = [
        (question, row)
        for question, (text, key) in enumerate(asked)
        for row in sorted(here.get(key, set()) | here.get(core(text), set()))
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def core(text: str) -> str:
    """What a text asks: of one that lists options, the words above them, behind the last blank line; else
    all. Data sets made from one another differ in the options.

    >>> core("Which metal is liquid?\\nA. iron\\nB. mercury\\nAnswer:")
    'which metal is liquid'
    """
    listed = list(_OPTIONS.finditer(text))
    asked = text[: listed[-1].start()].rpartition("\n\n")[2] if listed else ""
    return " ".join(_WORD.findall(asked.casefold())) or normalised(text)
