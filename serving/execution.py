"""Execution: carries a plan out. Reserve, run under budget and deadline, settle, record.

Whatever way a run ends, exactly one trace is posted for its reservation.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from router.allocator import Allocator
from router.arm import Arm
from router.backend import DEAF, Backend, Listener
from router.behaviour import Likeness
from router.candidate import Answer
from router.domains import bound
from router.errors import (
    AllowanceExhausted,
    BackendError,
    DeadlineExceeded,
    InfeasibleQuery,
    OutOfCompute,
)
from router.ledger import Allowance
from router.metering import Meter, Metered
from router.model_card import ModelCard
from router.outcome import Outcome
from router.plan import Plan
from router.prospect import UNKNOWN_PROSPECT
from router.query import Query
from router.run import Run
from router.sandbox import Sandbox
from router.stores import Granted, Judge, Refused, Reserve, Settle
from router.tariff import to_usd
from router.tools import Tool
from router.trace import Status, Trace
from router.verifiers import asked_models, make_verifier
from serving.caller_tools import caller_tools
from serving.decisions import Decisions
from serving.progress import Follower, Progress
from serving.recorder import Recorder
from serving.resilience import Resilient, Retries
from serving.tracing import Answered, Attempt, Prompts, trace_of
from serving.weighing import weighed
from serving.witness import WitnessedRun

T = TypeVar("T")

_log = logging.getLogger(__name__)

_CHEAPER_PLANS = 3
"""How often a plan that no longer fits the allowance is made anew, when others spend meanwhile."""


@dataclass(slots=True)
class Execution:
    """Carries out plans for one configuration.

    backends: by model. prompts: what of prompts and replies is kept on traces. sandbox, tools: for
    strategies and verifiers that run code or call tools. likeness: see ``Run``. bindings: verifier
    specifications by domain.
    """

    allocator: Allocator
    recorder: Recorder
    backends: Mapping[str, Backend]
    cards: Mapping[str, ModelCard]
    retries: Retries
    prompts: Prompts = "whole"
    sandbox: Sandbox | None = None
    likeness: Likeness | None = None
    tools: Mapping[str, Tool] = field(default_factory=dict)
    bindings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    in_flight: dict[str, str] = field(default_factory=dict)
    decisions: Decisions = field(init=False)

    def __post_init__(self) -> None:
        self.decisions = Decisions(self.allocator)

    async def answer(
        self,
        query: Query,
        allowance: Allowance,
        listener: Listener = DEAF,
        plan_made: Callable[[Plan], None] | None = None,
        follower: Follower | None = None,
    ) -> Answered:
        """Answer a query. plan_made: told the plan once it stands reserved, before any call. follower: told
        what happens on the way.

        Raises the error tree's ``InvalidQuery``, ``AllowanceExhausted``, ``OutOfCompute``,
        ``BackendError`` and ``StoreError`` branches.
        """
        started = time.perf_counter()
        query = bound(weighed(query, self.cards), self.bindings)
        self.in_flight[query.id] = query.account
        try:
            attempt = await self._begin(query, allowance, started)
            if plan_made is not None:
                plan_made(attempt.plan)
            if follower is not None:
                attempt.follower = follower
                Progress(attempt.meter, follower).plan(attempt.plan)
            return await self._carry_out(attempt, listener)
        finally:
            del self.in_flight[query.id]

    async def idle(self, within_s: float) -> None:
        """Wait until nothing is under way, at most so long; what is cut off settles meanwhile."""
        deadline = time.perf_counter() + within_s
        while self.in_flight and time.perf_counter() < deadline:  # noqa: ASYNC110  # only at the end
            await asyncio.sleep(0.005)

    async def _begin(self, query: Query, allowance: Allowance, started: float) -> Attempt:
        """Plan, and reserve what the plan may cost; a cheaper plan where it does not fit."""
        await self.recorder.room()
        window = allowance.key(query.received_at)
        plan = await self._plan(query)
        for _ in range(_CHEAPER_PLANS):
            meter = Meter(plan.budget, started=started)
            confidence = self.allocator.bundle.confidence  # the plan's own: a swap may come while reserving
            attempt = Attempt(query, plan, window, meter, started, plan.as_values(), confidence)
            left_nano = await self._reserve(attempt, allowance)
            if left_nano is None:
                return attempt
            plan = self._cheaper(query, plan, left_nano, allowance)
        raise _exhausted(query, allowance, left_nano)

    async def _plan(self, query: Query) -> Plan:
        alone = len(self.in_flight) == 1  # nobody else's query to wait for
        return self.allocator.plan(query) if alone else await self.decisions.plan(query)

    async def _reserve(self, attempt: Attempt, allowance: Allowance) -> int | None:
        """``None`` where the reservation stands; else what is left, nano-dollars. Where other arms would not
        have fitted, whether this one is recorded hangs on which was drawn: its odds are not known then."""
        query, plan = attempt.query, attempt.plan
        reservation = Reserve(
            query.id, query.account, attempt.window, plan.reserve_nano, allowance.amount_nano,
            query.received_at, attempt.plan_values, query.conversation, query.unit,
        )  # fmt: skip
        try:
            answer = await _in_time(attempt, self.recorder.write(reservation))
        except asyncio.CancelledError:  # it may be committed all the same
            self._settle(attempt, "cancelled", None, "The caller left.")
            raise
        except TimeoutError:  # likewise
            late = _late(attempt)
            self._settle(attempt, "failed", None, f"{type(late).__name__}: {late}")
            raise late from None
        if isinstance(answer, Granted) and self.allocator.beyond(plan, query, answer.left_nano):
            attempt.plan = replace(plan, propensity=None, propensities=None)
            attempt.plan_values = attempt.plan.as_values()
        return answer.left_nano if isinstance(answer, Refused) else None

    def _cheaper(self, query: Query, plan: Plan, left_nano: int, allowance: Allowance) -> Plan:
        if plan.propensities is None:
            raise _exhausted(query, allowance, left_nano)
        try:
            cheaper = self.allocator.plan(query, spendable_nano=left_nano)
        except InfeasibleQuery:
            raise _exhausted(query, allowance, left_nano) from None
        why = f"{plan.arm.id} did not fit the account's allowance"
        return replace(cheaper, propensity=None, propensities=None, override=why)

    async def _carry_out(self, attempt: Attempt, listener: Listener) -> Answered:
        try:
            answers = await _in_time(attempt, self._run(attempt, listener))
        except (TimeoutError, OutOfCompute, BackendError) as error:
            return self._partial(attempt, error)
        except asyncio.CancelledError:
            self._settle(attempt, "cancelled", None, "The caller left.")
            raise
        except Exception as error:
            self._settle(attempt, "failed", None, f"{type(error).__name__}: {error}")
            raise
        status: Status = "complete" if all(answer.complete for answer in answers) else "partial"
        self._settle(attempt, status, answers, None)
        return Answered(attempt.plan, answers, status, attempt.meter.usage)

    def _partial(self, attempt: Attempt, error: Exception) -> Answered:
        """The incumbents where every choice has one; else the error."""
        told = _late(attempt) if isinstance(error, TimeoutError) else error
        incumbents = [run.incumbent for run in attempt.runs if run.incumbent is not None]
        if not incumbents or len(incumbents) < attempt.query.n:
            self._settle(attempt, "failed", None, f"{type(told).__name__}: {told}")
            asked = attempt.query.wishes.verifier
            if asked is not None and isinstance(told, OutOfCompute):  # else what is learnt is of survivors
                self._judge(attempt.query.id, 0.0, asked["type"])
            raise told from error
        answers = [replace(answer, complete=False) for answer in incumbents]
        self._settle(attempt, "partial", answers, f"{type(told).__name__}: {told}")
        return Answered(attempt.plan, answers, "partial", attempt.meter.usage)

    async def _run(self, attempt: Attempt, listener: Listener) -> list[Answer]:
        plan, query = attempt.plan, attempt.query
        attempt.runs += [self._new_run(attempt, listener, choice) for choice in range(query.n)]
        if len(attempt.runs) == 1:
            return [await self._judged(attempt.runs[0], await plan.arm.strategy.answer(attempt.runs[0]))]
        answers = await _together([_answer(plan.arm, run) for run in attempt.runs])
        return [await self._judged(run, answer) for run, answer in zip(attempt.runs, answers, strict=True)]

    async def _judged(self, run: WitnessedRun, answer: Answer) -> Answer:
        """A request's own verifier judges every answer, so that its word can be learnt from: whatever the
        strategy's own judge, reward model or check said stays among the answer's ``verdicts``."""
        if run.verifier is None or run.ruled(answer):
            return answer
        return replace(answer, verdict=await run.verify(answer.candidate))

    def _new_run(self, attempt: Attempt, listener: Listener, choice: int) -> WitnessedRun:
        query, plan, follower = attempt.query, attempt.plan, attempt.follower
        prospects = self.allocator.prospects(plan)
        calls = max(plan.arm.strategy.demand().values())
        judges = [self.cards[model] for model in asked_models(query.wishes.verifier)]
        return WitnessedRun(
            query,
            attempt.meter,
            {card.name: self._metered(card, attempt.meter) for card in (*plan.arm.models, *judges)},
            self.cards,
            attempt.confidence,
            make_verifier(query.wishes.verifier) if query.wishes.verifier else None,
            plan.price,
            prospects.get(plan.arm.id, UNKNOWN_PROSPECT).quality,
            prospects,
            listener if query.n == 1 else DEAF,
            first_draw=choice * calls,
            sandbox=self.sandbox,
            tools={**self.tools, **caller_tools(query)} if query.wishes.tools else self.tools,
            observer=follower and Progress(attempt.meter, follower, choice).observe,
            likeness=self.likeness,
        )

    def _metered(self, card: ModelCard, meter: Meter) -> Backend:
        return Resilient(Metered(self.backends[card.name], card, meter), self.retries)

    def _settle(
        self, attempt: Attempt, status: Status, answers: Sequence[Answer] | None, error: str | None
    ) -> None:
        trace = _traced(attempt, status, answers, error, self.prompts)
        self.recorder.post(Settle(trace))
        for i, (run, answer) in enumerate(zip(attempt.runs, answers or (), strict=False)):
            verdict = answer.verdict
            told = verdict is not None and (verdict.ruling != "unknown" or verdict.lacks_answer)
            if verdict is not None and told and run.ruled(answer):
                self._judge(trace.id, verdict.reward, verdict.source, i)

    def _judge(self, trace_id: str, reward: float, verifier: str, choice: int = 0) -> None:
        """The word of a request's own verifier, an outcome to learn from."""
        self.recorder.post(Judge(Outcome(trace_id, reward, f"verifier:{verifier}", str(choice))))


def _traced(
    attempt: Attempt, status: Status, answers: Sequence[Answer] | None, error: str | None, prompts: Prompts
) -> Trace:
    """Whatever it holds, there is a trace: without it, the reservation would stand for ever."""
    try:
        return trace_of(attempt, status, answers, error, prompts)
    except Exception as fault:
        _log.exception("the trace %s is kept without its contents", attempt.query.id)
        return trace_of(attempt, status, None, None, "none").bare(f"The trace cannot be made: {fault}.")


async def _in_time(attempt: Attempt, work: Awaitable[T]) -> T:
    """``TimeoutError`` where the work is not done by the plan's deadline."""
    seconds = attempt.plan.budget.seconds
    if seconds is None:
        return await work
    async with asyncio.timeout(seconds - attempt.meter.elapsed_s):
        return await work


def _late(attempt: Attempt) -> DeadlineExceeded:
    return DeadlineExceeded(f"No answer stood within the deadline of {attempt.plan.budget.seconds} s.")


async def _answer(arm: Arm, run: Run) -> Answer:
    """One of several choices: it gives its incumbent, so that one that runs out spares the others."""
    try:
        return await arm.strategy.answer(run)
    except (OutOfCompute, BackendError):
        if run.incumbent is None:
            raise
        return replace(run.incumbent, complete=False)


async def _together(answers: Sequence[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """All of them, or the first error, with the others cancelled."""
    tasks = [asyncio.ensure_future(answer) for answer in answers]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _exhausted(query: Query, allowance: Allowance, left_nano: int | None) -> AllowanceExhausted:
    left_usd = to_usd(left_nano or 0)
    return AllowanceExhausted(
        f"The account {query.account!r} has {left_usd:.6g} USD left of its allowance per {allowance.window}; "
        "this request may cost more.",
        allowance.seconds_left(query.received_at),
    )
