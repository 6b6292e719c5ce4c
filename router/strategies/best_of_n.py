"""Best of n: draw several, keep the one that a verifier or a judge likes best (Cobbe et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from router.candidate import Answer, Candidate, Verdict
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.judge import Judge
from router.run import Run
from router.strategies import Traits
from router.templates import render


@dataclass(slots=True)
class _Pile:
    """Candidates drawn so far, and their verdicts in the same order."""

    candidates: list[Candidate]
    verdicts: list[Verdict | None]

    def best(self, *, complete: bool) -> Answer:
        """The highest reward; ties go to the earliest. An unknown verdict ranks below a failed one's
        positive reward and beside a plain fail."""
        rewards = [verdict.reward if verdict else 0.0 for verdict in self.verdicts]
        i = rewards.index(max(rewards))
        return Answer(
            self.candidates[i], self.verdicts[i], tuple(self.candidates), tuple(self.verdicts), complete
        )


@dataclass(frozen=True, slots=True)
class BestOfN:
    """At most ``n`` draws, each judged by the request's verifier, or by the model ``judge``.

    With a verifier, draws come in doubling batches (1, 1, 2, 4, ...) and the first pass ends them:
    an easy query costs one draw, and the wait grows with log2 n. With a judge, all n are drawn at
    once and the best rating wins.
    """

    name: ClassVar[str] = "best_of_n"
    summary: ClassVar[str] = "several draws, the best by verifier or judge; a pass ends it early"
    model: str
    n: int
    template: str = "direct"
    judge: str | None = None

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ConfigurationError(f"best_of_n needs n >= 2, not {self.n}.")
        render(self.template, ())  # raises where there is no such template

    @property
    def traits(self) -> Traits:
        """With a verifier, one more draw can only turn no pass into a pass."""
        verified = self.judge is None
        return Traits(
            response_format=self.template == "direct",
            needs_verifier=verified,
            more_cannot_hurt=verified,
            quotes=0 if verified else 1,
        )

    @property
    def family(self) -> str:
        """``<model>/best_of_n``, with template and judge where they are not the default."""
        template = "" if self.template == "direct" else f":{self.template}"
        judge = f":judge={self.judge}" if self.judge else ""
        return f"{self.model}/{self.name}{template}{judge}"

    @property
    def compute(self) -> float:
        """Draws at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n draws, and n judge calls where a judge is asked."""
        calls = {self.model: self.n}
        if self.judge:
            calls[self.judge] = calls.get(self.judge, 0) + self.n
        return calls

    async def answer(self, run: Run) -> Answer:
        """The best candidate."""
        pile = _Pile([], [])
        while batch := self._next_batch(pile):
            before = len(pile.candidates)
            try:
                passed = await self._draw(run, batch, pile)
            except (BackendError, OutOfCompute):
                if not pile.candidates:
                    raise
                passed = False
            if passed or len(pile.candidates) - before < batch:
                break
        return self._stop(run, pile)

    def _next_batch(self, pile: _Pile) -> int:
        drawn = len(pile.candidates)
        wanted = self.n if self.judge else max(1, drawn)
        return min(wanted, self.n - drawn)

    async def _draw(self, run: Run, batch: int, pile: _Pile) -> bool:
        async with aclosing(run.samples(self.model, batch, template=self.template)) as candidates:
            async for candidate in candidates:
                verdict = await self._verify(run, candidate)
                pile.candidates.append(candidate)
                pile.verdicts.append(verdict)
                run.offer(pile.best(complete=False))
                if self.judge is None and verdict is not None and verdict.ruling == "pass":
                    return True
        return False

    async def _verify(self, run: Run, candidate: Candidate) -> Verdict | None:
        if self.judge:
            return await Judge(self.judge).verify(run.query, candidate, run)
        return await run.verify(candidate)

    def _stop(self, run: Run, pile: _Pile) -> Answer:
        best = pile.best(complete=True)
        passed = best.verdict is not None and best.verdict.ruling == "pass"
        drawn = len(pile.candidates)
        run.note("stop", "a candidate passed" if passed else f"{drawn} of {self.n} drawn", drawn=drawn)
        complete = drawn == self.n or (passed and self.judge is None)
        return run.offer(pile.best(complete=complete))
