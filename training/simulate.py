"""Simulate: what would each arm have answered? The served strategies, over recorded answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from router.allocator import plan_budget
from router.arm import Arm
from router.behaviour import Likeness
from router.candidate import Answer, Candidate
from router.confidence import ConfidencePredictor
from router.errors import BackendError, OutOfCompute
from router.metering import Meter, Metered
from router.price import Price
from router.prospect import Prospect
from router.query import Query
from router.replay import Recorded, Recording, Replay
from router.run import Run
from router.trace import Step
from router.usage import Usage
from router.verifiers import make_verifier
from training.virtual_time import VirtualTimeLoop


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one arm made of one query: the chosen answer's recorded score in [0, 1] (0 where there was
    none), what it spent, its wall time in seconds (parallel calls overlapping), the candidates it
    weighed, its decisions on the way, and the recorded draws that it was given, in order."""

    query_id: str
    arm: str
    score: float
    usage: Usage
    latency_s: float
    candidates: tuple[Candidate, ...] = ()
    steps: tuple[Step, ...] = ()
    draws: tuple[Recorded, ...] = ()


@dataclass(frozen=True, slots=True)
class Simulation:
    """Replays arms over one recording.

    confidence: for strategies that ask how sure they are. prospects: what the difficulty predictor
    says of a query, by arm id; without it, nothing is known in advance. likeness: see ``Run``.
    """

    recording: Recording
    confidence: ConfidencePredictor
    price: Price = Price()  # noqa: RUF009  # frozen
    prospects: Callable[[Query], Mapping[str, Prospect]] = lambda _: {}
    likeness: Likeness | None = None

    def replay(self, pairs: Iterable[tuple[Query, Arm]], shift: int = 0) -> list[Replayed]:
        """One result per pair of query and arm. shift: see ``Replay``."""
        loop = VirtualTimeLoop()
        try:
            return [
                loop.run_until_complete(self._replay(query, arm, shift, loop.time)) for query, arm in pairs
            ]
        finally:
            loop.close()

    async def _replay(self, query: Query, arm: Arm, shift: int, clock: Callable[[], float]) -> Replayed:
        replay = Replay(self.recording, shift, timed=True)
        started = clock()
        meter = Meter(plan_budget(query, arm), clock, started)
        run = self._run(query, arm, replay, meter)
        try:
            async with asyncio.timeout(meter.budget.seconds):
                answer: Answer | None = await arm.strategy.answer(run)
        except (TimeoutError, BackendError, OutOfCompute):
            answer = run.incumbent
        score = replay.score(answer.candidate.completion) if answer else 0.0
        weighed = _weighed(query, answer, replay) if answer else ()
        took_s = clock() - started
        draws = tuple(replay.given.values())
        return Replayed(query.id, arm.id, score, meter.usage, took_s, weighed, tuple(run.steps), draws)

    def _run(self, query: Query, arm: Arm, replay: Replay, meter: Meter) -> Run:
        prospects = self.prospects(query)
        verifier = make_verifier(query.wishes.verifier) if query.wishes.verifier else None
        prior = prospects[arm.id].quality if arm.id in prospects else 0.5
        return Run(
            query,
            meter,
            {card.name: Metered(replay, card, meter) for card in arm.models},
            {card.name: card for card in arm.models},
            self.confidence,
            verifier,
            self.price,
            prior,
            prospects,
            extract=replay.extract,
            likeness=self.likeness,
        )


def _weighed(query: Query, answer: Answer, replay: Replay) -> tuple[Candidate, ...]:
    """The candidates as whoever weighs them sees them: a lone reply is served without being read."""
    return tuple(
        replace(candidate, extracted=replay.extract(query, candidate.completion))
        for candidate in answer.weighed or (answer.candidate,)
    )
