"""Self-consistency: several chains, one vote (Wang et al. 2022), stopped when the vote is stable."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from router.candidate import Answer, Candidate
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run
from router.stopping import draws_to_stop, stability
from router.strategies import Traits
from router.templates import render
from router.vote import leading, tally


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """At most ``n`` draws; the most frequent extracted answer wins.

    Draws come in parallel batches. After each, Adaptive-Consistency stops when the leader's
    stability reaches ``stop_at``, or when the draws that are left could not change the winner; a batch
    is as large as the fewest draws that could reach it, so none is wasted. ``stop_at = 1`` draws all n
    at once.
    """

    name: ClassVar[str] = "self_consistency"
    summary: ClassVar[str] = "vote over several draws, stopped when the vote is stable"
    model: str
    n: int
    template: str = "chain_of_thought"
    stop_at: float = 0.95

    def __post_init__(self) -> None:
        if self.n < 2 or not 0.5 < self.stop_at <= 1:
            raise ConfigurationError(
                f"self_consistency needs n >= 2 and 0.5 < stop_at <= 1, not {self.n} and {self.stop_at}."
            )
        render(self.template, ())  # raises where there is no such template

    @property
    def traits(self) -> Traits:
        """A vote may fall with more draws, where most draws are wrong."""
        return Traits(response_format=self.template == "direct")

    @property
    def family(self) -> str:
        """``<model>/self_consistency``, with the template where it is not chain of thought."""
        variant = "" if self.template == "chain_of_thought" else f":{self.template}"
        return f"{self.model}/{self.name}{variant}"

    @property
    def compute(self) -> float:
        """Draws at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n calls."""
        return {self.model: self.n}

    async def answer(self, run: Run) -> Answer:
        """The leading answer's first candidate."""
        drawn: list[Candidate] = []
        while batch := self._next_batch(drawn):
            before = len(drawn)
            try:
                await self._draw(run, batch, drawn)
            except (BackendError, OutOfCompute):
                if not drawn:
                    raise
            if len(drawn) - before < batch:  # a draw was lost to a failure or the budget: vote on what stands
                break
        return self._stop(run, drawn)

    async def _draw(self, run: Run, batch: int, drawn: list[Candidate]) -> None:
        async with aclosing(run.samples(self.model, batch, template=self.template)) as candidates:
            async for candidate in candidates:
                drawn.append(candidate)
                run.offer(_chosen(drawn, complete=False))

    def _next_batch(self, drawn: list[Candidate]) -> int:
        first, second = _top_two(drawn)
        left = self.n - len(drawn)
        return 0 if first - second > left else draws_to_stop(first, second, self.stop_at, left)

    def _stop(self, run: Run, drawn: list[Candidate]) -> Answer:
        first, second = _top_two(drawn)
        stable = stability(first, second)
        reason = "vote is stable" if stable >= self.stop_at else f"{len(drawn)} of {self.n} drawn"
        run.note("stop", reason, stability=stable, drawn=len(drawn), votes=first)
        return run.offer(_chosen(drawn, complete=not self._next_batch(drawn)))


def _top_two(drawn: list[Candidate]) -> tuple[int, int]:
    first, second, *_ = [*sorted(tally(drawn).values(), reverse=True), 0, 0]
    return first, second


def _chosen(drawn: list[Candidate], *, complete: bool) -> Answer:
    return Answer(
        drawn[leading(drawn)], weighed=tuple(drawn), verdicts=(None,) * len(drawn), complete=complete
    )
