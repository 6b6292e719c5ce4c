"""Self-consistency: several chains, one vote (Wang et al. 2022), stopped when the vote is stable."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from router.candidate import Answer, Candidate
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run
from router.stopping import RULES, Draws, StoppingRule, next_batch, top_two
from router.stopping.adaptive_consistency import AdaptiveConsistency, stability
from router.strategies import Traits
from router.templates import render
from router.vote import leading


@dataclass(frozen=True, slots=True, repr=False)
class SelfConsistency:
    """At most ``n`` draws; the most frequent extracted answer wins.

    Draws come in parallel batches. After each, the stopping rule ``stop`` says how many more, until the
    draws that are left could not change the winner. ``stop_at`` belongs to Adaptive-Consistency (1 draws
    all n at once), ``rule`` holds the options of any other.
    """

    name: ClassVar[str] = "self_consistency"
    summary: ClassVar[str] = "vote over several draws, stopped when the vote is stable"
    model: str
    n: int
    template: str = "chain_of_thought"
    stop_at: float = 0.95
    stop: str = AdaptiveConsistency.name
    rule: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.n < 2 or not 0.5 < self.stop_at <= 1:
            raise ConfigurationError(
                f"self_consistency needs n >= 2 and 0.5 < stop_at <= 1, not {self.n} and {self.stop_at}."
            )
        render(self.template, ())  # raises where there is no such template
        self.stopping_rule()  # raises where there is no such rule, or not with these options

    def __repr__(self) -> str:
        """A bundle knows its arms by this text: what is not set is not in it, so that arms keep their
        meaning as options are added."""
        usual = self.stop == AdaptiveConsistency.name and not self.rule
        more = "" if usual else f", stop={self.stop!r}, rule={dict(self.rule)!r}"
        return (
            f"SelfConsistency(model={self.model!r}, n={self.n!r}, template={self.template!r}, "
            f"stop_at={self.stop_at!r}{more})"
        )

    def stopping_rule(self) -> StoppingRule:
        """The rule of these options; ``ConfigurationError`` where there is none."""
        if self.stop == AdaptiveConsistency.name and not self.rule:
            return AdaptiveConsistency(self.stop_at)
        try:
            return RULES[self.stop](**self.rule)
        except TypeError as error:
            raise ConfigurationError(f"The options of the stopping rule {self.stop!r}: {error}.") from error

    @property
    def traits(self) -> Traits:
        """A vote may fall with more draws, where most draws are wrong."""
        return Traits(response_format=self.template == "direct")

    @property
    def family(self) -> str:
        """``<model>/self_consistency``, with template and stopping rule where they are not the default."""
        variant = "" if self.template == "chain_of_thought" else f":{self.template}"
        rule = "" if self.stop == AdaptiveConsistency.name else f":{self.stop}"
        return f"{self.model}/{self.name}{variant}{rule}"

    @property
    def compute(self) -> float:
        """Draws at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n calls."""
        return {self.model: self.n}

    async def answer(self, run: Run) -> Answer:
        """The leading answer's first candidate."""
        rule = self.stopping_rule()
        drawn: list[Candidate] = []
        while batch := next_batch(rule, self._draws(drawn)):
            before = len(drawn)
            try:
                await self._draw(run, batch, drawn)
            except (BackendError, OutOfCompute):
                if not drawn:
                    raise
            if len(drawn) - before < batch:  # a draw was lost to a failure or the budget: vote on what stands
                break
        return self._stop(run, rule, drawn)

    async def _draw(self, run: Run, batch: int, drawn: list[Candidate]) -> None:
        async with aclosing(run.samples(self.model, batch, template=self.template)) as candidates:
            async for candidate in candidates:
                drawn.append(candidate)
                run.offer(_chosen(drawn, complete=False))

    def _draws(self, drawn: list[Candidate]) -> Draws:
        return Draws([candidate.extracted for candidate in drawn], self.n - len(drawn))

    def _stop(self, run: Run, rule: StoppingRule, drawn: list[Candidate]) -> Answer:
        draws = self._draws(drawn)
        first, second = top_two(draws.votes)
        more = rule.next_batch(replace(draws, left=max(draws.left, 1)))
        reason = f"{len(drawn)} of {self.n} drawn" if more else rule.reason
        run.note("stop", reason, stability=stability(first, second), drawn=len(drawn), votes=first)
        return run.offer(_chosen(drawn, complete=not next_batch(rule, draws)))


def _chosen(drawn: list[Candidate], *, complete: bool) -> Answer:
    return Answer(
        drawn[leading(drawn)], weighed=tuple(drawn), verdicts=(None,) * len(drawn), complete=complete
    )
