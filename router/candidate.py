"""Candidate, Verdict and Answer: what a strategy weighs and what it returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from router.answers import normalise
from router.call import Completion
from router.usage import NOTHING, Usage

Ruling: TypeAlias = Literal["pass", "fail", "unknown"]

PASSES_AT = 0.5
"""From which number of a rating or reward model on an answer passes, where nobody says otherwise."""

_normal = lru_cache(maxsize=4096)(normalise)  # a vote reads each answer again at every draw


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible answer.

    extracted: the final answer without its reasoning, as it is written; ``None`` where nothing could be
    extracted. template: the prompt template that it came from. form: what it is compared by in place of its
    letters, where a ``Likeness`` found other candidates that say the same.
    """

    completion: Completion
    extracted: str | None
    template: str = "direct"
    form: str | None = None

    @property
    def text(self) -> str:
        """The reply's whole text."""
        return self.completion.text

    @property
    def compared(self) -> str | None:
        """The final answer in its normal form: two candidates say the same where these are equal, and
        everything that counts or compares answers goes by it."""
        if self.form is not None:
            return self.form
        return None if self.extracted is None else _normal(self.extracted)

    @property
    def mean_logprob(self) -> float | None:
        """Mean natural log-probability of the reply's tokens, of those that it is told of; ``None`` where
        the backend told none."""
        tokens = (self.completion.logprobs or {}).get("content") or ()
        told = [float(token["logprob"]) for token in tokens if token.get("logprob") is not None]
        return sum(told) / len(told) if told else None


def in_one_form(candidates: Sequence[Candidate], pairs: Sequence[tuple[int, int]]) -> list[Candidate]:
    """The same candidates with one form for those of a pair, which say the same in other letters, and for
    whoever is linked to them by further pairs or by equal letters."""
    alike = {i for pair in pairs for i in pair}
    forms = [
        each.text if each.compared is None and i in alike else each.compared
        for i, each in enumerate(candidates)
    ]
    places = list(enumerate(forms))
    equal = [(i, j) for i, one in places for j, other in places[:i] if one is not None and one == other]
    first = linked(len(candidates), [*equal, *pairs])
    return [replace(each, form=forms[i]) for each, i in zip(candidates, first, strict=True)]


def linked(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Of each of some things the number of the first that it is linked to by pairs, directly or through
    others; its own where there is none before it.

    >>> linked(4, [(1, 3), (2, 3)])
    [0, 1, 1, 1]
    """
    number = list(range(count))
    for i, j in pairs:
        low, high = sorted((number[i], number[j]))
        number = [low if each == high else each for each in number]
    return number


def composed(text: str, extracted: str | None, parts: Sequence[Completion], template: str) -> Candidate:
    """A candidate that a strategy put together itself; its tokens are those of its parts."""
    completion = Completion(
        {"role": "assistant", "content": text},
        "stop",
        sum(part.prompt_tokens for part in parts),
        sum(part.completion_tokens for part in parts),
    )
    return Candidate(completion, extracted, template)


_NO_ANSWER = "no final answer found"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verifier's word on one candidate.

    reward: in [0, 1]; a pure check gives 0 or 1. ruling: ``unknown`` where the verifier could not
    tell (it failed, or nothing could be extracted to check): never a pass. sound: a pass of this
    verifier means that the answer is right, not only well-formed. usage: what the judging cost.
    """

    ruling: Ruling
    reward: float
    source: str
    sound: bool = False
    reason: str = ""
    usage: Usage = NOTHING

    @classmethod
    def of(cls, passed: bool, source: str, *, sound: bool, reason: str = "") -> Verdict:
        """The verdict of a check that either holds or not."""
        return cls("pass" if passed else "fail", float(passed), source, sound, reason)

    @classmethod
    def rewarded(cls, number: float, source: str, pass_at: float = PASSES_AT) -> Verdict:
        """The verdict of a rating on any scale: a pass from ``pass_at`` on, the reward cut to [0, 1]."""
        return cls("pass" if number >= pass_at else "fail", min(max(number, 0.0), 1.0), source)

    @property
    def settles(self) -> bool:
        """Whether it ends a search: a pass that means that the answer is right, or above which nothing
        could rank."""
        return self.ruling == "pass" and (self.sound or self.reward >= 1)

    @classmethod
    def unknown(cls, source: str, reason: str) -> Verdict:
        """The verdict of a verifier that could not tell."""
        return cls("unknown", 0.0, source, reason=reason)

    @classmethod
    def without_answer(cls, source: str) -> Verdict:
        """The verdict where there is no final answer to check: unknown of a part of an answer, which may yet
        come to one; wrong where nothing follows (``lacks_answer``)."""
        return cls.unknown(source, _NO_ANSWER)

    @property
    def lacks_answer(self) -> bool:
        """Whether it is unknown because there was no final answer."""
        return self.ruling == "unknown" and self.reason == _NO_ANSWER


@dataclass(frozen=True, slots=True)
class Answer:
    """What a strategy returns: the chosen candidate, its verdict if it was judged, all candidates and
    verdicts that were weighed (for whoever must judge how sure it is), and whether the strategy got
    to its end (``complete``) or gave its best so far."""

    candidate: Candidate
    verdict: Verdict | None = None
    weighed: Sequence[Candidate] = ()
    verdicts: Sequence[Verdict | None] = ()
    complete: bool = True
