"""Elsewhere: what the pool's models answered in other data sets; it teaches, and is not tested."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from training.rounds import normalised
from training.split import components, links_by_key

IntArray = NDArray[np.int64]
NOT_HERE = -1

_FIRST_OPTION, _SECOND_OPTION = (re.compile(rf"\(?{letter}[.):]") for letter in "AB")
_WORD = re.compile(r"\w+")
MOST_HEADING_WORDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """data_sets, texts, keys, shape (questions,). number, shape (questions,): the same where the same is
    asked. same, shape (pairs, 2): a question and a row of the grid that asks the same, ``NOT_HERE`` where
    that row has been left out.

    arms: their ids. families, shape (arms,): the pool's arm of the same model. Of each cell, shape (cells,):
    question and arm, positions; reward, as the grid's. Costs are left out: another data set has its own.
    """

    data_sets: tuple[str, ...]
    texts: tuple[str, ...]
    keys: tuple[str, ...]
    number: IntArray
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
        """Of each question, the group of the rows that ask the same; else one of its own, beside the
        grid's."""
        found = int(group.max(initial=-1)) + 1 + self.number
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
        """Questions with a cell, by data set."""
        return dict(Counter(self.data_sets[i] for i in np.unique(self.question)))


NOWHERE = Elsewhere(
    *((), (), (), np.empty(0, np.int64), np.empty((0, 2), np.int64), (), ()),
    *(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)),
)


def numbers(texts: Sequence[str], keys: Sequence[str]) -> IntArray:
    """The number of each one's question: the same where keys are, or ``core`` is, and so on from one to the
    next."""
    everyone = np.arange(len(texts))
    return components(
        len(texts), links_by_key(everyone, keys) + links_by_key(everyone, list(map(core, texts)))
    )


def core(text: str) -> str:
    """What a text asks: of one that lists options, the words of the paragraph above them; else all. Data sets
    made from one another differ in the options.

    >>> core("Which metal is liquid?\\nOptions:\\nA. iron\\nB. mercury\\nAnswer:")
    'which metal is liquid'
    """
    above = _above_options([line.strip() for line in text.splitlines()])
    return " ".join(_WORD.findall(" ".join(above).casefold())) or normalised(text)


def _above_options(lines: Sequence[str]) -> Sequence[str]:
    """The last paragraph above the last list of options, without their heading; of no list, nothing."""
    seconds = [i for i, line in enumerate(lines) if _SECOND_OPTION.match(line)]
    firsts = (
        [i for i, line in enumerate(lines[: seconds[-1]]) if _FIRST_OPTION.match(line)] if seconds else []
    )
    end = firsts[-1] if firsts else 0
    while end and (not lines[end - 1] or _is_heading(lines[end - 1])):
        end -= 1
    start = end
    while start and lines[start - 1]:
        start -= 1
    return lines[start:end]


def _is_heading(line: str) -> bool:
    return line.endswith(":") and len(line.split()) <= MOST_HEADING_WORDS
