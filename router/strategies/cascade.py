"""Cascade: cheap first; the confidence predictor decides whether the next stage is worth its price
(FrugalGPT, Chen et al. 2023; stopping by the same price as the plan's)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from router.candidate import Answer
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run
from router.strategies import Strategy, Traits


@dataclass(frozen=True, slots=True)
class Stage:
    """One rung: an arm of the menu by its id, and its strategy."""

    arm_id: str
    strategy: Strategy


@dataclass(frozen=True, slots=True)
class Cascade:
    """Arms in order, whatever their models and strategies.

    After each stage, P(right) of its answer is read from what stands. The cascade stops at
    ``accept_at``, or where stakes * (q_next - P(right)) <= lambda * cost_next; else it escalates.
    The answer with the best P(right) is returned.
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
        """What every stage can; a verifier is needed where any stage needs one."""
        each = [stage.strategy.traits for stage in self.stages]
        return Traits(
            tools=all(traits.tools for traits in each),
            response_format=all(traits.response_format for traits in each),
            needs_verifier=any(traits.needs_verifier for traits in each),
        )

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
        calls: Counter[str] = Counter()
        for stage in self.stages:
            calls.update(stage.strategy.demand())
        return dict(calls)

    async def answer(self, run: Run) -> Answer:
        """The most probable answer of the stages that were run."""
        best: tuple[float, Answer] | None = None
        for stage, following in zip(self.stages, (*self.stages[1:], None), strict=True):
            try:
                probability, answer = await _judged(run, stage)
            except (BackendError, OutOfCompute):
                if best is None and following is not None:
                    run.note("escalate", f"{stage.arm_id} failed")
                    continue
                if best is None:
                    raise
                break
            if best is None or probability > best[0]:
                best = probability, run.offer(answer)
            if following is None or self._stops(run, best[0], following):
                break
        if best is None:
            raise OutOfCompute("No stage of the cascade gave an answer.")
        return best[1]

    def _stops(self, run: Run, probability: float, following: Stage) -> bool:
        worth_it, numbers = run.worth(following.arm_id, probability)
        stops = probability >= self.accept_at or not worth_it
        run.note("stop" if stops else "escalate", f"next: {following.arm_id}", **numbers)
        return stops


async def _judged(run: Run, stage: Stage) -> tuple[float, Answer]:
    inner = run.within(stage.arm_id)
    answer = await stage.strategy.answer(inner)
    if not answer.weighed:
        verdict = await inner.verify(answer.candidate)
        answer = Answer(answer.candidate, verdict, (answer.candidate,), (verdict,), answer.complete)
    return inner.probability(answer.weighed, answer.verdicts), answer
