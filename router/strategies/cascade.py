"""Cascade: cheap first; the confidence predictor decides whether the next stage is worth its price
(FrugalGPT, Chen et al. 2023; stopping by the same price as the plan's)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from router.candidate import Answer
from router.confidence import Evidence
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run
from router.strategies import Strategy, Traits

_NO_DIFFERENCE = 1e-9
"""Sums in another order differ by less."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One rung: an arm of the menu by its id, and its strategy."""

    arm_id: str
    strategy: Strategy


@dataclass(frozen=True, slots=True)
class Heard:
    """What one stage answered, and what that is judged by."""

    answer: Answer
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Leader:
    """The stage, by its number among those heard, whose answer is the most probable to be right."""

    number: int
    heard: Heard
    probability: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """Arms in order, whatever their models and strategies.

    After each stage, P(right) of every stage's answer is read from what stands of all: those that agree
    back each other, programs that do the same among them (``Run.likeness``). The cascade stops at
    ``accept_at``, or where going on to no later stage is worth its price (``Run.worth``); else it escalates
    to the next. The answer with the best P(right) is returned.
    """

    name: ClassVar[str] = "cascade"
    summary: ClassVar[str] = "arms in order, as long as the next one is worth its price"
    stages: tuple[Stage, ...]
    accept_at: float = 0.95

    def __post_init__(self) -> None:
        if len(self.stages) < 2 or not 0 < self.accept_at <= 1:
            raise ConfigurationError("cascade needs two or more stages and 0 < accept_at <= 1.")

    @property
    def traits(self) -> Traits:
        """What every stage can, and what any stage needs."""
        return joint_traits(self.stages)

    @property
    def family(self) -> str:
        """``cascade(<arm>><arm>...)``."""
        return f"cascade({'>'.join(stage.arm_id for stage in self.stages)})"

    @property
    def compute(self) -> float:
        """A cascade has no ladder."""
        return 1.0

    def demand(self) -> Mapping[str, int]:
        """All stages' calls."""
        return joint_demand(self.stages)

    async def answer(self, run: Run) -> Answer:
        """The most probable answer of the stages that were run; not complete where one was wanted that
        failed, or that the budget did not admit."""
        heard: list[Heard] = []
        for number, stage in enumerate(self.stages):
            following = self.stages[number + 1 :]
            try:
                heard.append(await hear(run, stage))
            except (BackendError, OutOfCompute):
                if heard:
                    return await self._cut_short(run, stage, heard)
                if not following:
                    raise
                run.note("escalate", f"{stage.arm_id} failed")
                continue
            leader = await leader_of(run, heard)
            run.offer(leader.heard.answer)
            if self._stops(run, leader, [stage.arm_id for stage in following]):
                break
        return leader.heard.answer

    async def _cut_short(self, run: Run, failed: Stage, heard: Sequence[Heard]) -> Answer:
        leader = await leader_of(run, heard)
        run.note("stop", f"{failed.arm_id} failed", probability=leader.probability)
        return run.offer(replace(leader.heard.answer, complete=False))

    def _stops(self, run: Run, leader: Leader, following: Sequence[str]) -> bool:
        numbers = {"probability": leader.probability, "leader": float(leader.number)}
        goes_on = False
        for last, arm_id in enumerate(following, 1):
            net, told = run.worth(following[:last], leader.heard.evidence, leader.probability)
            goes_on |= net > 0
            numbers |= {f"{name}:{arm_id}": value for name, value in told.items()}
        stops = not goes_on or leader.probability >= self.accept_at
        reason = f"next: {following[0]}" if following else "the last stage"
        run.note("stop" if stops else "escalate", reason, **numbers)
        return stops


def joint_traits(stages: Sequence[Stage]) -> Traits:
    """What every stage can, and what any stage needs."""
    each = [stage.strategy.traits for stage in stages]
    return Traits(
        tools=all(traits.tools for traits in each),
        response_format=all(traits.response_format for traits in each),
        needs_verifier=any(traits.needs_verifier for traits in each),
        quotes=max(traits.quotes for traits in each),
        needs_sandbox=any(traits.needs_sandbox for traits in each),
        needs_logprobs=any(traits.needs_logprobs for traits in each),
        needs_continuing=any(traits.needs_continuing for traits in each),
        levels=frozenset().union(*(traits.levels for traits in each)),
        server_tools=frozenset().union(*(traits.server_tools for traits in each)),
        runs_tools=all(traits.runs_tools for traits in each),
    )


def joint_demand(stages: Sequence[Stage]) -> Mapping[str, int]:
    """All stages' calls, by model."""
    calls: Counter[str] = Counter()
    for stage in stages:
        calls.update(stage.strategy.demand())
    return dict(calls)


async def hear(run: Run, stage: Stage) -> Heard:
    """What a stage answers, judged by the request's verifier where the stage has not asked it."""
    inner = run.within(stage.arm_id)
    answer = await stage.strategy.answer(inner)
    if not answer.weighed:
        verdict = await inner.verify(answer.candidate)
        answer = Answer(answer.candidate, verdict, (answer.candidate,), (verdict,), answer.complete)
    return Heard(answer, inner.evidence(answer))


async def leader_of(run: Run, heard: Sequence[Heard]) -> Leader:
    """The stage whose answer is the most probable to be right, beside what the others say; of equally
    probable ones, such as the same answer given twice, the one that is the surest alone."""
    said = await _in_one_form(run, [each.evidence for each in heard])
    leaders = []
    for number, (each, own) in enumerate(zip(heard, said, strict=True)):
        evidence = replace(own, others=tuple(other for other in said if other is not own))
        leaders.append(Leader(number, Heard(each.answer, evidence), run.confidence.probability(evidence)))
    best = max(leader.probability for leader in leaders)
    equal = [leader for leader in leaders if leader.probability > best - _NO_DIFFERENCE]
    return max(equal, key=lambda leader: run.confidence.probability(said[leader.number]))


async def _in_one_form(run: Run, said: Sequence[Evidence]) -> Sequence[Evidence]:
    """With one form for all candidates that say the same, whatever their letters."""
    forms = iter(await run.in_one_form([candidate for each in said for candidate in each.candidates]))
    return [replace(each, candidates=[next(forms) for _ in each.candidates]) for each in said]
