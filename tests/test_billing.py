"""Billing: the usage on record is what the upstream billed, to the token, for every strategy, whatever fails
or ends early. In process over books of fakes, and over HTTP before an upstream that counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import upstream as up
from aiohttp import web
from fakes import RIGHT, Said, ask, run_of, virtually
from fakes import Upstream as Books
from fakes_billing import REPLIES, Provider, asked_of, behind, menu, tokens
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_process import Live
from strategy_examples import examples
from upstream import Visit

from router.call import Call
from router.errors import BackendError, BackendRefused, BackendUnreachable, OutOfCompute
from router.run import Run
from router.sandbox import Ran, Scripted
from router.strategies import STRATEGIES, Strategy
from router.tools.calculator import Calculator
from router.trace import Trace
from router.usage import NOTHING

EXAMPLES = examples()
FIRST_TOTAL_S = 0.25
"""After so long at the latest an upstream has told its running totals for the first time."""


def moody(refused: frozenset[int], broken: frozenset[int]) -> Any:
    """Calls of many sizes, each told on the way; some are refused, which is free, and some break off, which
    is not."""

    def behave(call: Call, number: int) -> Said:
        error: Exception | None = BackendRefused("busy", 503) if number in refused else None
        if number in broken:
            error = BackendUnreachable("broke off", billed=True)
        size = 3 + number % 11
        return Said(REPLIES[number % len(REPLIES)], 1.0, error, 7 + 3 * number, size, range(size))

    return behave


async def met(strategy: Strategy, run: Run, within_s: float) -> bool:
    """Answer the run's query, or fail, or be cancelled after so many seconds, which is true."""
    try:
        async with asyncio.timeout(within_s):
            with contextlib.suppress(OutOfCompute, BackendError):
                await strategy.answer(run)
    except TimeoutError:
        return True
    return False


some_calls = st.frozensets(st.integers(0, 20), max_size=5)


@pytest.mark.parametrize("strategy", EXAMPLES.values(), ids=list(EXAMPLES))
@pytest.mark.parametrize("verifier", [RIGHT, {"type": "judge", "model": "large"}], ids=["exact", "judge"])
@given(refused=some_calls, broken=some_calls, within_s=st.sampled_from([0.4, 1.1, 2.5, 4.35, 99.0]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_meter_shows_what_was_billed(
    strategy: Strategy,
    verifier: Mapping[str, Any],
    refused: frozenset[int],
    broken: frozenset[int],
    within_s: float,
) -> None:
    """Calls that failed and calls that were cut off stand on the meter with the upstream's own figures; only
    one that was cut off before the upstream had told any is estimated, and said to be."""
    books = Books(moody(refused, broken))

    async def work() -> tuple[Run, bool]:
        sandbox = Scripted([Ran(stderr="NameError: name 'x'", exit_code=1), Ran(stdout="6\n")])
        tools = {"calculator": Calculator()}
        run = run_of(books, ask(verifier=verifier), sandbox=sandbox, tools=tools)
        return run, await met(strategy, run, within_s)

    (run, late), _ = virtually(work)
    records = run.meter.records
    told = [record.usage for record in records if not record.estimated]
    assert tokens(sum(told, NOTHING)) == tokens(sum(books.billed, NOTHING))
    assert run.meter.usage.calls == len(records) == len(books.seen)
    assert tokens(run.meter.usage) == tokens(sum((record.usage for record in records), NOTHING))
    estimated = [record for record in records if record.estimated]
    assert all(record.status == "cancelled" for record in estimated)
    assert all(record.usage.model_s <= FIRST_TOTAL_S for record in estimated)
    assert not late or any(record.status == "cancelled" for record in records)


def test_every_strategy_has_an_arm() -> None:
    """What the tests below say of every arm, they say of every strategy."""
    assert {entry["strategy"] for entry in menu()} == set(STRATEGIES)


async def test_the_reply_and_the_trace_say_what_was_billed(tmp_path: Path) -> None:
    """Of every arm, with every fifth call upstream failing: retries are calls, failures are free, and the
    rest is counted to the token, judges and reward models included."""
    replied, traced, billed = {}, {}, {}
    async with behind(tmp_path) as (live, upstream):
        for arm_id in live.service.allocator.menu.ids:
            provider = Provider(fails_every=5)
            upstream.play(provider)
            answer = await live.client().chat.completions.create(**asked_of(arm_id))
            trace = await live.trace(answer.model_extra["effortwise"]["trace_id"])
            replied[arm_id] = answer.usage.prompt_tokens, answer.usage.completion_tokens
            traced[arm_id] = tokens_of(trace["usage"]), trace["usage"]["calls"], len(trace["calls"])
            billed[arm_id] = tokens(provider.delivered), provider.calls, provider.calls
    assert replied == {arm_id: each for arm_id, (each, _, _) in billed.items()}
    assert traced == billed


def tokens_of(usage: Mapping[str, int]) -> tuple[int, int]:
    """Those of a usage on the wire."""
    return usage["prompt_tokens"], usage["completion_tokens"]


async def test_a_caller_who_hangs_up_is_on_record_for_what_was_begun(tmp_path: Path) -> None:
    """Of every strategy, while calls hang: what came whole is counted to the token; a call that was cut off,
    of which the upstream told nothing, is estimated, says so, and covers what it may bill."""
    async with behind(tmp_path) as (live, upstream):
        arms = {arm.strategy.name: arm for arm in live.service.allocator.menu}
        for count, arm in enumerate(arms.values(), 1):
            calls = sum(arm.strategy.demand().values())
            provider = Provider(hangs_from=min(1, calls - 1))
            upstream.play(provider)
            await hang_up(live, provider, arm.id)
            trace = (await live.traces(count))[-1]
            assert trace.arm == arm.id
            assert_covers(trace, provider)
            assert provider.begun.calls or arm.strategy.traits.needs_sandbox, arm.id  # there may be none


async def hang_up(live: Live, provider: Provider, arm_id: str) -> None:
    """Ask, and leave as soon as a call hangs; an answer may come before."""
    asking = asyncio.ensure_future(live.client().chat.completions.create(**asked_of(arm_id)))
    hanging = asyncio.ensure_future(provider.hung.wait())
    await asyncio.wait([asking, hanging], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.02)  # what runs beside it gets to the upstream
    asking.cancel()
    hanging.cancel()
    await asyncio.gather(asking, hanging, return_exceptions=True)


def assert_covers(trace: Trace, provider: Provider) -> None:
    whole = [call.usage for call in trace.calls if not call.estimated]
    cut = [call for call in trace.calls if call.estimated]
    assert tokens(sum(whole, NOTHING)) == tokens(provider.delivered), trace.arm
    assert {call.status for call in cut} == {"cancelled"} or not provider.begun.calls, trace.arm
    assert len(cut) >= provider.begun.calls, trace.arm
    estimate = sum((call.usage for call in cut), NOTHING)
    assert estimate.prompt_tokens >= provider.begun.prompt_tokens, trace.arm
    assert estimate.completion_tokens >= provider.begun.completion_tokens, trace.arm


async def test_a_reply_at_the_deadline_says_what_the_trace_says(tmp_path: Path) -> None:
    """Where the best so far comes back at the deadline, the caller is told of the calls that were cut off as
    well, by the same figures as stand on the trace."""
    async with behind(tmp_path) as (live, upstream):
        for count, strategy in enumerate(("self_consistency", "mixture_of_models", "beam_search"), 1):
            arm = next(arm for arm in live.service.allocator.menu if arm.strategy.name == strategy)
            provider = Provider(hangs_from=1)
            upstream.play(provider)
            asked = asked_of(arm.id)
            asked["extra_body"]["effortwise"]["deadline_s"] = 0.5
            answer = await live.client().chat.completions.create(**asked)
            assert answer.model_extra["effortwise"]["status"] == "partial"
            trace = (await live.traces(count))[-1]
            assert tokens(trace.usage) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
            assert_covers(trace, provider)


@pytest.mark.parametrize("arm_id", ["small/direct", "small/chain_of_thought", "small/effort@4"])
async def test_an_upstream_that_tells_its_totals_is_paid_these(tmp_path: Path, arm_id: str) -> None:
    """Where running totals come with the tokens, a caller who leaves in the middle of a stream pays for what
    was streamed and no token more; nothing is estimated."""

    async def seven_words(visit: Visit) -> web.StreamResponse:
        await up.stream([told(total) for total in range(1, 8)])(visit)
        return await up.hang(visit)

    async with behind(tmp_path) as (live, upstream):
        upstream.play(seven_words)
        stream = await live.client().chat.completions.create(**asked_of(arm_id), stream=True)
        heard = 0
        async for piece in stream:
            heard += len((piece.choices[0].delta.content or "").split())
            if heard == 7:
                break
        await stream.close()
        [trace] = await live.traces(1)
    [call] = trace.calls
    assert (call.status, call.estimated) == ("cancelled", False)
    assert tokens(trace.usage) == tokens(call.usage) == (12, 7)


def told(total: int) -> bytes:
    """The event with one more word, and the running totals."""
    choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
    usage = {"prompt_tokens": 12, "completion_tokens": total}
    return up.event({"object": "chat.completion.chunk", "choices": [choice], "usage": usage})
