"""Metering: no interleaving of calls breaks a budget, and what is recorded is what was billed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from fakes import SMALL, Said, Upstream, always, virtually
from hypothesis import given
from hypothesis import strategies as st

from router.backend import DEAF
from router.budget import UNLIMITED, Budget
from router.call import Call, Delta
from router.errors import BackendError, BackendTimeout, BackendUnreachable, BudgetExceeded
from router.metering import Meter, Metered
from router.trace import CallRecord
from router.usage import NOTHING, Usage

CAP = 20
CALL = Call("small", [{"role": "user", "content": "2 + 3?"}], CAP)
BOUND = Usage(1, CALL.prompt_token_bound, CAP)

End = Literal["ok", "free error", "billed error", "cancelled"]


@dataclass(frozen=True)
class Scene:
    """One call: when it starts, how long it takes, how it ends, and what the upstream tells of it."""

    starts_s: float
    said: Said
    end: End


tenths = st.integers(0, 30).map(lambda tenth: tenth / 10)
says = st.builds(
    Said,
    latency_s=tenths,
    prompt_tokens=st.integers(0, BOUND.prompt_tokens),
    completion_tokens=st.integers(0, CAP),
    streamed=st.lists(st.integers(0, CAP), max_size=3).map(sorted),
)
scenes = st.lists(
    st.builds(Scene, tenths, says, st.sampled_from(["ok", "free error", "billed error", "cancelled"])),
    max_size=8,
)
caps = st.none() | st.integers(0, 6)
budgets = st.builds(
    lambda calls, tokens, cost: Budget(
        calls,
        None if tokens is None else tokens * BOUND.total_tokens // 2,
        None if cost is None else cost * SMALL.tariff.cost_nano(BOUND.prompt_tokens, CAP) // 2,
    ),
    caps,
    caps,
    caps,
)


class Watched(Meter):
    """A meter that checks its invariant at every step."""

    def admit(self, bound: Usage) -> None:
        super().admit(bound)
        self.check()

    def settle(self, bound: Usage, record: CallRecord) -> None:
        super().settle(bound, record)
        self.check()

    def check(self) -> None:
        assert self.budget.admits(self.usage + self._held)
        assert min(self._held.calls, self._held.total_tokens, self._held.cost_nano) >= 0


def error_of(scene: Scene) -> Exception | None:
    return {"free error": BackendUnreachable("gone"), "billed error": BackendTimeout("late")}.get(scene.end)


async def played(budget: Budget, cast: Sequence[Scene]) -> tuple[Meter, Upstream, list[object]]:
    """Play all scenes at once: the meter, the upstream, and how each ended."""
    by_number: dict[int, Said] = {}
    upstream = Upstream(lambda call, number: by_number[call.parameters["number"]])
    loop = asyncio.get_running_loop()
    meter = Watched(budget, loop.time, loop.time())
    metered = Metered(upstream, SMALL, meter)

    async def play(number: int, scene: Scene) -> str:
        await asyncio.sleep(scene.starts_s)
        by_number[number] = replace(scene.said, error=error_of(scene))
        call = replace(CALL, parameters={"number": number})
        task = asyncio.ensure_future(metered.complete(call))
        if scene.end == "cancelled":
            loop.call_later(scene.said.latency_s * 0.6, task.cancel)
        return (await task).text

    ends = await asyncio.gather(
        *(play(number, scene) for number, scene in enumerate(cast)), return_exceptions=True
    )
    return meter, upstream, ends


@given(budgets, scenes)
def test_no_interleaving_breaks_the_budget_or_leaves_anything_held(budget: Budget, cast: list[Scene]) -> None:
    """Usage and what is held stay within every cap at every step; after the last call nothing is held."""
    (meter, upstream, ends), _ = virtually(lambda: played(budget, cast))
    assert meter._held == NOTHING
    assert upstream.in_flight == 0
    assert budget.admits(meter.usage)
    refused = sum(isinstance(end, BudgetExceeded) for end in ends)
    assert len(meter.records) == len(cast) - refused == meter.usage.calls == len(upstream.seen)


@given(scenes)
def test_what_is_recorded_is_what_was_billed(cast: list[Scene]) -> None:
    """Replies and broken or cancelled streams are recorded as billed; a call whose bill nobody knows is
    recorded at its bound; one that was refused for free costs nothing."""
    (meter, upstream, _), _ = virtually(lambda: played(UNLIMITED, cast))
    left = Counter((record.usage.prompt_tokens, record.usage.completion_tokens) for record in meter.records)
    billed = Counter((usage.prompt_tokens, usage.completion_tokens) for usage in upstream.billed)
    assert billed <= left
    assert set(left - billed) <= {(0, 0), (BOUND.prompt_tokens, BOUND.completion_tokens)}
    for record in meter.records:
        cost = SMALL.tariff.cost_nano(record.usage.prompt_tokens, record.usage.completion_tokens)
        assert record.usage.cost_nano == cost
    assert meter.usage == sum((record.usage for record in meter.records), NOTHING)


def lone(
    said: Said, cancel_after_s: float | None = None, budget: Budget = UNLIMITED
) -> tuple[Meter, Upstream]:
    """One call, cancelled where told; what the meter and the upstream know of it."""
    upstream = Upstream(always(said))

    async def one() -> Meter:
        loop = asyncio.get_running_loop()
        meter = Meter(budget, loop.time, loop.time())
        task = asyncio.ensure_future(Metered(upstream, SMALL, meter).complete(CALL))
        if cancel_after_s is not None:
            loop.call_later(cancel_after_s, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
        return meter

    return virtually(one)[0], upstream


def test_a_reply_is_recorded_with_its_bill_and_its_time() -> None:
    """Tokens as the upstream says, its price, and how long it took."""
    meter, upstream = lone(Said("five", latency_s=2.5, prompt_tokens=7, completion_tokens=9))
    [record] = meter.records
    assert record.usage == Usage(1, 7, 9, SMALL.tariff.cost_nano(7, 9), 2.5)
    assert (record.status, record.response, record.estimated) == ("ok", "five", False)
    assert meter.usage == record.usage
    assert upstream.billed == [Usage(1, 7, 9)]


@pytest.mark.parametrize(("streamed", "cancel_s", "completion"), [((0, 4, 8), 1.2, 0), ((3, 4, 8), 2.2, 4)])
def test_a_cancelled_stream_is_recorded_with_its_running_totals(
    streamed: Sequence[int], cancel_s: float, completion: int
) -> None:
    """What the upstream told on the way is the bill, even where that is nothing yet."""
    meter, upstream = lone(Said(latency_s=4.0, prompt_tokens=7, streamed=streamed), cancel_s)
    [record] = meter.records
    assert (record.status, record.usage.prompt_tokens, record.usage.completion_tokens) == (
        "cancelled", 7, completion,
    )  # fmt: skip
    assert upstream.billed == [Usage(1, 7, completion)]
    assert record.usage.model_s == pytest.approx(cancel_s)


def test_a_cancelled_call_of_which_nothing_was_told_is_recorded_at_its_bound() -> None:
    """Nobody knows what was generated, so the worst case stands, marked as estimated."""
    [record] = lone(Said(latency_s=4.0), 1.0)[0].records
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (
        BOUND.prompt_tokens,
        BOUND.completion_tokens,
    )
    assert record.estimated


@pytest.mark.parametrize(
    ("error", "tokens"),
    [
        (BackendUnreachable("no connection"), 0),
        (BackendUnreachable("broke off", billed=True), BOUND.total_tokens),
        (BackendTimeout("too late"), BOUND.total_tokens),
    ],
)
def test_a_failed_call_costs_what_its_upstream_may_charge(error: BackendError, tokens: int) -> None:
    """A refused connection counts as a call without tokens, a time-out as the worst case."""
    meter, _ = lone(Said(error=error))
    [record] = meter.records
    assert (record.status, record.usage.calls, record.usage.total_tokens) == ("error", 1, tokens)
    assert record.error == f"{type(error).__name__}: {error}"


def test_a_fault_of_a_backend_holds_nothing_for_ever() -> None:
    """Even an error outside the tree settles its call, at the bound."""
    meter, _ = lone(Said(error=ZeroDivisionError("a fault")))
    assert meter._held == NOTHING
    assert (meter.records[0].error, meter.usage.total_tokens) == ("ZeroDivisionError", BOUND.total_tokens)


@pytest.mark.parametrize(
    "budget", [Budget(calls=0), Budget(tokens=BOUND.total_tokens - 1), Budget(cost_nano=1)]
)
def test_a_call_that_might_not_fit_is_never_made(budget: Budget) -> None:
    """The worst case must fit before the upstream hears anything."""
    meter, upstream = lone(Said(), budget=budget)
    assert upstream.seen == meter.records == []
    assert meter.usage == NOTHING


def test_the_refusal_says_what_was_needed_and_what_is_left() -> None:
    """The message names the call's worst case, the spending and the budget."""
    with pytest.raises(BudgetExceeded, match=rf"{BOUND.total_tokens} tokens.*budget is Budget\(calls=0"):
        Meter(Budget(calls=0)).admit(BOUND)


def test_parallel_calls_cannot_break_a_cap_together() -> None:
    """Two calls that fit alone but not side by side: the second waits for nothing, it is refused."""
    budget = Budget(tokens=2 * BOUND.total_tokens - 1)
    cast = [Scene(0.0, Said(latency_s=1.0), "ok"), Scene(0.5, Said(latency_s=1.0), "ok")]
    (_, upstream, ends), _ = virtually(lambda: played(budget, cast))
    assert isinstance(ends[1], BudgetExceeded)
    assert len(upstream.seen) == 1
    one_after_another = [cast[0], replace(cast[1], starts_s=1.5)]
    assert virtually(lambda: played(budget, one_after_another))[0][2] == ["5", "5"]


def test_the_context_bounds_a_prompt() -> None:
    """A prompt can hold no more tokens than its model's context, however many bytes it has."""
    long = replace(CALL, messages=[{"role": "user", "content": "x" * 10 * SMALL.context_tokens}])
    upstream = Upstream()

    async def held_during() -> int:
        meter = Meter(UNLIMITED)
        task = asyncio.ensure_future(Metered(upstream, SMALL, meter).complete(long))
        await asyncio.sleep(0.5)
        held = meter._held.prompt_tokens
        await task
        return held

    assert virtually(held_during)[0] == SMALL.context_tokens


class Ear:
    """A listener that keeps what it hears."""

    def __init__(self, wants_deltas: bool) -> None:
        self.wants_deltas = wants_deltas
        self.heard: list[Delta] = []

    def hear(self, delta: Delta) -> None:
        self.heard.append(delta)


@pytest.mark.parametrize("wants", [True, False])
def test_pieces_are_passed_on_to_whoever_wants_them(wants: bool) -> None:
    """Counting does not swallow a stream, nor does it bother a listener that wants none."""
    ear, upstream = Ear(wants), Upstream(always(Said(streamed=(1, 2))))

    async def listened() -> None:
        await Metered(upstream, SMALL, Meter(UNLIMITED)).complete(CALL, ear)

    virtually(listened)
    assert [delta.completion_tokens for delta in ear.heard] == ([1, 2] if wants else [])
    assert DEAF.wants_deltas is False
