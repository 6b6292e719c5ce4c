"""Witness: a run that remembers what the request's verifier said, as only its own word is an outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.candidate import Answer, Candidate, Verdict
from router.run import Run


@dataclass(slots=True)
class WitnessedRun(Run):
    """said: the verifier's verdicts, each with the reply that it is on, of this run and those within it.

    A strategy's own judge may bear the name of the request's, and a search's verdict may be on a part of
    its answer; so a verdict's source does not tell whose word it is, and on what.
    """

    said: list[tuple[str, Verdict]] = field(default_factory=list)

    async def verify(self, candidate: Candidate) -> Verdict | None:
        """As ``Run.verify``."""
        verdict = await Run.verify(self, candidate)  # a class with slots is made anew: no super() in it
        if verdict is not None:
            self.said.append((candidate.text, verdict))
        return verdict

    def ruled(self, answer: Answer) -> bool:
        """Whether the answer's verdict is the verifier's, on that very answer."""
        text = answer.candidate.text
        return any(verdict is answer.verdict and judged == text for judged, verdict in self.said)
