"""Metering: counts every call of a plan and refuses the one that could break its budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from router.backend import DEAF, Backend, Listener
from router.budget import Budget
from router.call import Call, Completion, Delta
from router.errors import BackendError, BudgetExceeded
from router.model_card import ModelCard
from router.trace import CallRecord
from router.usage import NOTHING, Usage

Clock: TypeAlias = Callable[[], float]


@dataclass(slots=True)
class Meter:
    """The counter of one plan. Calls in flight are held at their worst case, so that parallel calls
    cannot break a cap together.

    Invariant: the usage of all admitted calls stays within the budget, unless an upstream ignores
    the token cap it was sent; then the record shows what it billed.
    """

    budget: Budget
    clock: Clock = time.perf_counter
    started: float = -1.0
    usage: Usage = NOTHING
    records: list[CallRecord] = field(default_factory=list)
    _held: Usage = NOTHING

    def __post_init__(self) -> None:
        if self.started < 0:
            self.started = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the plan began."""
        return self.clock() - self.started

    def admit(self, bound: Usage) -> None:
        """Hold a call's worst case; ``BudgetExceeded`` where it does not fit beside the others'."""
        held = self._held + bound
        if not self.budget.admits(self.usage + held):
            raise BudgetExceeded(
                f"The next call may need {bound.total_tokens} tokens and {bound.cost_usd:.6g} USD; spent "
                f"and held so far: {self.usage + self._held}; the budget is {self.budget}."
            )
        self._held = held

    def settle(self, bound: Usage, record: CallRecord) -> None:
        """Replace a held worst case by what the call was billed."""
        self._held = NOTHING if self._held is bound else self._held - bound
        self.usage += record.usage
        self.records.append(record)


@dataclass(frozen=True, slots=True)
class Metered:
    """A backend under a plan's meter, for one model."""

    name: ClassVar[str] = "metered"
    backend: Backend
    card: ModelCard
    meter: Meter

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer within the budget, and record what it cost whichever way it ends."""
        bound = self._bound(call)
        self.meter.admit(bound)
        ear = _CountingEar(listener)
        started_s = self.meter.elapsed_s
        try:
            completion = await self.backend.complete(call, ear)
        except asyncio.CancelledError:
            self._record(call, bound, ear.spent(bound), "cancelled", started_s, estimated=not ear.told)
            raise
        except BackendError as error:
            spent = ear.spent(bound) if error.billed else Usage(calls=1)
            told = f"{type(error).__name__}: {error}"
            estimated = error.billed and not ear.told
            self._record(call, bound, spent, "error", started_s, error=told, estimated=estimated)
            raise
        except BaseException as error:  # a fault in a backend must not leave its worst case held for ever
            told = type(error).__name__
            self._record(call, bound, bound, "error", started_s, error=told, estimated=True)
            raise
        estimated = bool(completion.usage_details.get("estimated"))
        self._record(
            call, bound, _billed(completion), "ok", started_s, response=completion.text, estimated=estimated
        )
        return completion

    async def aclose(self) -> None:
        """The wrapped backend outlives its plans: nothing to close."""

    def _bound(self, call: Call) -> Usage:
        prompt = min(call.prompt_token_bound, self.card.context_tokens)
        return self._usage(prompt, call.max_completion_tokens)

    def _usage(self, prompt_tokens: int, completion_tokens: int, model_s: float = 0.0) -> Usage:
        cost_nano = self.card.tariff.cost_nano(prompt_tokens, completion_tokens)
        return Usage(1, prompt_tokens, completion_tokens, cost_nano, model_s)

    def _record(
        self,
        call: Call,
        bound: Usage,
        spent: Usage,
        status: Literal["ok", "error", "cancelled"],
        started_s: float,
        *,
        response: str | None = None,
        error: str | None = None,
        estimated: bool = False,
    ) -> None:
        model_s = self.meter.elapsed_s - started_s
        self.meter.settle(
            bound,
            CallRecord(
                model=call.model,
                purpose=call.purpose,
                template=call.template,
                status=status,
                usage=self._usage(spent.prompt_tokens, spent.completion_tokens, model_s),
                started_s=started_s,
                response=response,
                error=error,
                estimated=estimated,
            ),
        )


def _billed(completion: Completion) -> Usage:
    return Usage(1, completion.prompt_tokens, completion.completion_tokens)


@dataclass(slots=True)
class _CountingEar:
    """Counts what a call had generated when it ended early, and passes the pieces on."""

    listener: Listener
    wants_deltas: bool = field(init=False)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def __post_init__(self) -> None:
        self.wants_deltas = self.listener.wants_deltas

    def hear(self, delta: Delta) -> None:
        if delta.prompt_tokens is not None:
            self.prompt_tokens = delta.prompt_tokens
        if delta.completion_tokens is not None:
            self.completion_tokens = delta.completion_tokens
        if self.wants_deltas:
            self.listener.hear(delta)

    @property
    def told(self) -> bool:
        """Whether the upstream told its running totals."""
        return self.prompt_tokens is not None and self.completion_tokens is not None

    def spent(self, bound: Usage) -> Usage:
        """The running totals that the upstream told, its worst case where it told none."""
        prompt = bound.prompt_tokens if self.prompt_tokens is None else self.prompt_tokens
        completion = bound.completion_tokens if self.completion_tokens is None else self.completion_tokens
        return Usage(1, prompt, completion)
