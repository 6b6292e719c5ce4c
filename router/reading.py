"""Reading: what a reply's look and length tell of its chance to be right, before any second opinion."""

from __future__ import annotations

import re
from functools import lru_cache
from math import log1p

from router.answers import normalise
from router.arithmetic import equations

READINGS = (
    "extracted",
    "log_characters",
    "log_lines",
    "log_answer_characters",
    "cut",
    "log_equations",
    "equations_per_number",
    "mistaken",
    "log_mistakes",
    "number",
    "whole",
    "negative",
    "log_magnitude",
    "asked",
    "worked_out",
    "worked_out_last",
    "unused_share",
    "log_new_numbers",
    "fractions",
    "log_doubts",
    "repeated_share",
    "log_question_characters",
    "tokens_told",
    "log_completion_tokens",
)
"""The names of the numbers that ``read`` gives, in order."""

READ_CHARACTERS = 1_500
"""Of a longer reply its end is read, and as much of the question's."""
_DOUBTS = frozenset(
    ("actually", "approximately", "assume", "assumed", "assuming", "can't", "cannot", "recheck", "however",
     "let's", "maybe", "might", "mistake", "must", "perhaps", "probably", "re-evaluate", "rounded",
     "rounding", "seems", "unclear", "wait")
)  # fmt: skip
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_ENDED = re.compile(r"[.!?\d`)}\]\"$*%]\s*$")
_KEPT = 512


@lru_cache(maxsize=_KEPT)  # a reply is weighed again after every further stage
def read(question: str, reply: str, extracted: str | None, completion_tokens: int = 0) -> tuple[float, ...]:
    """The numbers of ``READINGS``, for a question, a reply to it and the answer extracted from that.

    completion_tokens: what the reply was billed, hidden reasoning among it: a model that thinks longer than
    it does for most questions is wrong more often. 0 where nobody counted, which is no short reply.
    """
    ending, asked = reply[-READ_CHARACTERS:], question[-READ_CHARACTERS:]
    lines = [line for line in ending.splitlines() if line.strip()]
    return (
        float(extracted is not None),
        log1p(len(reply)),
        log1p(len(lines)),
        log1p(len(extracted or "")),
        float(bool(reply) and not _ENDED.search(reply[-20:])),
        *_numeric(ending, asked, extracted),
        log1p(sum(map(_DOUBTS.__contains__, ending.lower().replace(",", " ").split()))),
        1 - len(set(lines)) / len(lines) if lines else 0.0,
        log1p(len(question)),
        float(completion_tokens > 0),
        log1p(completion_tokens) if completion_tokens > 0 else 0.0,
    )


def _numeric(reply: str, question: str, extracted: str | None) -> tuple[float, ...]:
    given, stated = _numbers(question), _numbers(reply)
    found = equations(reply)
    results = [equation.right for equation in found]
    mistakes = sum(not equation.holds for equation in found)
    answer = _value(normalise(extracted)) if extracted is not None else None
    return (
        log1p(len(found)),
        len(found) / (1 + len(given)),
        float(mistakes > 0),
        log1p(mistakes),
        *_shape(answer),
        float(answer in given),
        float(any(_same(result, answer) for result in results)),
        float(bool(results) and _same(results[-1], answer)),
        1 - len(given & stated) / len(given) if given else 0.0,
        log1p(len(stated - given - set(results))),
        float(any(value % 1 for value in stated)),
    )


def _shape(answer: float | None) -> tuple[float, float, float, float]:
    """Whether it is a number, a whole one, a negative one; log of its magnitude."""
    if answer is None:
        return 0.0, 0.0, 0.0, 0.0
    return 1.0, float(answer % 1 == 0), float(answer < 0), log1p(abs(answer))


def _numbers(text: str) -> set[float]:
    values = (_value(written.replace(",", "")) for written in _NUMBER.findall(text))
    return {value for value in values if value is not None}


def _value(text: str) -> float | None:
    try:
        value = float(text.rstrip("%"))
    except ValueError:
        return None
    return value if abs(value) < 1e15 else None


def _same(result: float, answer: float | None) -> bool:
    return answer is not None and abs(result - answer) <= 0.006
