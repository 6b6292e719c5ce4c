"""Self-consistency: several chains, one vote (Wang et al. 2022), stopped when the vote is stable."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from router.ballots import Ballots
from router.candidate import Answer, Candidate, Verdict
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.parallel import as_they_come
from router.run import LOGPROBS, Run
from router.stopping import RULES, Draws, StoppingRule, next_batch, top_two
from router.stopping.adaptive_consistency import AdaptiveConsistency, stability
from router.strategies import Traits
from router.templates import render
from router.verifiers import Asking

WEIGHTS = ("count", "logprob")


@dataclass(frozen=True, slots=True, repr=False)
class SelfConsistency:
    """At most ``n`` draws; the most frequent extracted answer wins, of programs the most frequent behaviour
    (``Run.likeness``).

    Draws come in parallel batches. After each, the stopping rule ``stop`` says how many more, until the
    draws that are left could not change the winner. ``stop_at`` belongs to Adaptive-Consistency (1 draws
    all n at once), ``rule`` holds the options of any other.

    weigh: ``count`` gives every vote 1, ``logprob`` the weight of ``confidence_weights``; a rule counts
    votes all the same. only_valid: a candidate without an answer, cut off by its token cap, or failing the
    request's verifier (where that calls no model) has no vote, nor does a rule count it; where all are
    such, all vote.
    """

    name: ClassVar[str] = "self_consistency"
    summary: ClassVar[str] = "vote over several draws, stopped when the vote is stable"
    model: str
    n: int
    template: str = "chain_of_thought"
    stop_at: float = 0.95
    stop: str = AdaptiveConsistency.name
    rule: Mapping[str, Any] = field(default_factory=dict, hash=False)
    weigh: str = "count"
    only_valid: bool = False

    def __post_init__(self) -> None:
        if self.weigh not in WEIGHTS:
            raise ConfigurationError(
                f"self_consistency cannot weigh votes by {self.weigh!r}. Known: {', '.join(WEIGHTS)}."
            )
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
        more += "" if self.weigh == "count" else f", weigh={self.weigh!r}"
        more += ", only_valid=True" if self.only_valid else ""
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
        return Traits(response_format=self.template == "direct", needs_logprobs=self.weigh == "logprob")

    @property
    def family(self) -> str:
        """``<model>/self_consistency``, with template, stopping rule, weights and filter where they are not
        the default."""
        unusual = {
            self.template: self.template != "chain_of_thought",
            self.stop: self.stop != AdaptiveConsistency.name,
            f"weigh={self.weigh}": self.weigh != "count",
            "only_valid": self.only_valid,
        }
        return ":".join([f"{self.model}/{self.name}", *(name for name, set_ in unusual.items() if set_)])

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
        ballots = Ballots(self.weigh == "logprob", self.only_valid)
        while batch := next_batch(rule, self._draws(ballots)):
            before = len(ballots)
            try:
                await self._draw(run, batch, ballots)
            except (BackendError, OutOfCompute):
                if not ballots:
                    raise
            if (
                len(ballots) - before < batch
            ):  # a draw was lost to a failure or the budget: vote on what stands
                break
        return self._stop(run, rule, ballots)

    async def _draw(self, run: Run, batch: int, ballots: Ballots) -> None:
        async with aclosing(as_they_come([self._one(run) for _ in range(batch)])) as drawn:
            async for candidate, verdict in drawn:
                ballots.cast(candidate, verdict)
                run.offer(ballots.elected(complete=False))
        ballots.candidates[:] = await run.in_one_form(ballots.candidates)

    async def _one(self, run: Run) -> tuple[Candidate, Verdict | None]:
        more = LOGPROBS if self.weigh == "logprob" else None
        candidate = await run.sample(self.model, template=self.template, repeated=True, parameters=more)
        return candidate, await self._verdict(run, candidate)

    async def _verdict(self, run: Run, candidate: Candidate) -> Verdict | None:
        """A filter is cheap: no model is asked whether a vote may count."""
        if not self.only_valid or isinstance(run.verifier, Asking):
            return None
        if run.incumbent is None:  # better than nothing, should the time end while it is judged
            run.offer(Answer(candidate, None, (candidate,), (None,), complete=False))
        return await run.verify(candidate)

    def _draws(self, ballots: Ballots) -> Draws:
        return Draws(ballots.answers, self.n - len(ballots))

    def _stop(self, run: Run, rule: StoppingRule, ballots: Ballots) -> Answer:
        draws = self._draws(ballots)
        first, second = top_two(draws.votes)
        more = rule.next_batch(replace(draws, left=max(draws.left, 1)))
        reason = f"{len(ballots)} of {self.n} drawn" if more else rule.reason
        invalid = {"invalid": ballots.invalid} if self.only_valid else {}
        run.note(
            "stop", reason, stability=stability(first, second), drawn=len(ballots), votes=first, **invalid
        )
        return run.offer(ballots.elected(complete=not next_batch(rule, draws)))
