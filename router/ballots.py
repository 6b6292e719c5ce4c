"""Ballots: the candidates of a vote, which of them may vote, and with what weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from router.candidate import Answer, Candidate, Verdict
from router.vote import confidence_weights, leading


@dataclass(slots=True)
class Ballots:
    """Votes cast so far, in the order of drawing.

    by_confidence: weighed by log-probability where the backend tells it. only_valid: a candidate without
    an answer, cut off by its token cap, or judged wrong has no vote, as long as another has one.
    """

    by_confidence: bool = False
    only_valid: bool = False
    candidates: list[Candidate] = field(default_factory=list)
    verdicts: list[Verdict | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.candidates)

    def cast(self, candidate: Candidate, verdict: Verdict | None = None) -> None:
        """Add a candidate."""
        self.candidates.append(candidate)
        self.verdicts.append(verdict)

    @property
    def answers(self) -> list[str | None]:
        """The final answers for a stopping rule, in their normal form; ``None`` for a candidate that has no
        vote."""
        pairs = zip(self.candidates, self._may_vote, strict=True)
        return [each.compared if valid else None for each, valid in pairs]

    @property
    def invalid(self) -> int:
        """How many have no vote."""
        return self.answers.count(None)

    @property
    def weights(self) -> Sequence[float]:
        """Of each candidate's vote: its confidence or 1, and 0 where it has none."""
        voting = self._may_vote
        if not any(voting):
            voting = [True] * len(self)
        each = confidence_weights(self.candidates) if self.by_confidence else [1.0] * len(self)
        return [weight if valid else 0.0 for weight, valid in zip(each, voting, strict=True)]

    @property
    def _may_vote(self) -> list[bool]:
        if not self.only_valid:
            return [True] * len(self)
        return [is_valid(*pair) for pair in zip(self.candidates, self.verdicts, strict=True)]

    def elected(self, *, complete: bool) -> Answer:
        """The leading answer's first candidate, beside all that were drawn."""
        chosen = leading(self.candidates, self.weights)
        return Answer(
            self.candidates[chosen],
            self.verdicts[chosen],
            tuple(self.candidates),
            tuple(self.verdicts),
            complete,
        )


def is_valid(candidate: Candidate, verdict: Verdict | None) -> bool:
    """Whether a candidate has an answer, came to its own end, and was not judged wrong."""
    whole = candidate.completion.finish_reason != "length"
    return candidate.extracted is not None and whole and (verdict is None or verdict.ruling != "fail")
