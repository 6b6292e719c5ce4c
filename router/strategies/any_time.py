"""Any time: stages race, an incumbent always stands, and the time that is allowed is used (anytime
algorithms, Zilberstein 1996)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from router.candidate import Answer
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.prospect import UNKNOWN_PROSPECT
from router.run import Run
from router.strategies import Traits
from router.strategies.cascade import Heard, Leader, Stage, hear, joint_demand, joint_traits, leader_of


@dataclass(slots=True)
class _Race:
    """The stages of one query: those that wait, those under way by their place, and what was heard, in the
    stages' order. left_out: whether one was not started, or ended, for want of time or money."""

    run: Run
    waiting: list[Stage]
    under_way: dict[int, asyncio.Task[Heard]] = field(default_factory=dict)
    heard: dict[int, Heard] = field(default_factory=dict)
    left_out: bool = False
    error: Exception | None = None
    started: int = 0

    def start(self, parallel: int) -> None:
        """Start stages in order while there is room for them and, where something stands, time."""
        while self.waiting and len(self.under_way) < parallel:
            stage = self.waiting.pop(0)
            if self._lands(stage):
                task = asyncio.ensure_future(hear(self.run, stage))
                self.under_way[self.started] = task
            self.started += 1

    def _lands(self, stage: Stage) -> bool:
        """Whether it is expected to end in time; the first is started in any case."""
        seconds = self.run.meter.budget.seconds
        if seconds is None or not (self.heard or self.under_way):
            return True
        left_s = seconds - self.run.meter.elapsed_s
        latency_s = self.run.prospects.get(stage.arm_id, UNKNOWN_PROSPECT).latency_s
        if latency_s < left_s:
            return True
        self.left_out = True
        reason = f"no time for {stage.arm_id}"
        self.run.note("stop", reason, left_s=left_s, latency_s=latency_s)
        return False

    async def next(self) -> None:
        """Wait until one or more stages have ended, and hear them."""
        await asyncio.wait(self.under_way.values(), return_when=asyncio.FIRST_COMPLETED)
        for place in [place for place, task in self.under_way.items() if task.done()]:
            try:
                self.heard[place] = self.under_way.pop(place).result()
            except BackendError as error:
                self.error = error
            except OutOfCompute as error:
                self.error, self.left_out = error, True

    async def leader(self) -> Leader:
        """The best answer of the stages heard so far."""
        return await leader_of(self.run, [self.heard[place] for place in sorted(self.heard)])

    async def cancel(self) -> None:
        """End what is under way."""
        tasks = list(self.under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class AnyTime:
    """Arms of increasing strength, at most ``parallel`` of them at once.

    After each, the answer with the best P(right) stands. The next begins as soon as there is room, whatever
    it costs within the plan's budget, until one is ``sure_at``; a stage that is not expected to end before
    the deadline is not begun, once anything stands. A cascade asks whether a further stage is worth its
    price; this one spends what it is allowed, for who has a deadline and wants the best answer by then.
    """

    name: ClassVar[str] = "any_time"
    summary: ClassVar[str] = "arms race within the time allowed; the best so far always stands"
    stages: tuple[Stage, ...]
    parallel: int = 2
    sure_at: float = 0.95

    def __post_init__(self) -> None:
        if len(self.stages) < 2 or self.parallel < 1 or not 0 < self.sure_at <= 1:
            raise ConfigurationError("any_time needs two or more stages, parallel >= 1 and 0 < sure_at <= 1.")

    @property
    def traits(self) -> Traits:
        """What every stage can, and what any stage needs."""
        return joint_traits(self.stages)

    @property
    def family(self) -> str:
        """``any_time(<arm>|<arm>...)``, with the options that are not the default."""
        parallel = "" if self.parallel == 2 else f":parallel={self.parallel}"
        sure_at = "" if self.sure_at == 0.95 else f":sure_at={self.sure_at:g}"
        return f"{self.name}({'|'.join(stage.arm_id for stage in self.stages)}){parallel}{sure_at}"

    @property
    def compute(self) -> float:
        """It has no ladder."""
        return 1.0

    def demand(self) -> Mapping[str, int]:
        """All stages' calls."""
        return joint_demand(self.stages)

    async def answer(self, run: Run) -> Answer:
        """The most probable answer of the stages that ended."""
        race = _Race(run, list(self.stages))
        probability = 0.0
        try:
            while probability < self.sure_at:
                race.start(self.parallel)
                if not race.under_way:
                    break
                await race.next()
                if race.heard:
                    leader = await race.leader()
                    probability = leader.probability
                    run.offer(leader.heard.answer)
        finally:
            await race.cancel()
        return await self._stop(race)

    async def _stop(self, race: _Race) -> Answer:
        if not race.heard:
            raise race.error or ConfigurationError("any_time has no stage that could begin.")
        leader = await race.leader()
        sure = leader.probability >= self.sure_at
        reason = "sure enough" if sure else "no stage is left"
        race.run.note("stop", reason, probability=leader.probability, heard=len(race.heard))
        answer = leader.heard.answer
        return race.run.offer(replace(answer, complete=answer.complete and (sure or not race.left_out)))
