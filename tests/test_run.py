"""Run: what a strategy works with."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

import pytest
from fakes import QUESTION, Said, Upstream, always, ask, in_turn, run_of, virtually

from router.budget import Budget
from router.call import Call, Completion, Delta
from router.candidate import Answer, Candidate, Verdict
from router.confidence import Evidence
from router.confidence.agreement import Agreement
from router.errors import BackendRefused, BudgetExceeded, MalformedReply
from router.price import Price
from router.prospect import Prospect
from router.query import Query, Wishes
from router.run import Run
from router.strategies.direct import Direct


@dataclass(slots=True)
class Clumsy:
    """A verifier with a fault."""

    name: ClassVar[str] = "clumsy"
    summary: ClassVar[str] = "for tests"

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        raise ZeroDivisionError("a fault")


class Ear:
    """A listener that keeps what it hears."""

    wants_deltas = True

    def __init__(self) -> None:
        self.heard: list[int | None] = []

    def hear(self, delta: Delta) -> None:
        self.heard.append(delta.completion_tokens)


def test_a_verifier_that_crashes_says_unknown() -> None:
    """A fault of a verifier costs its verdict, not the answer; it never passes by accident."""

    async def work() -> Verdict | None:
        run = run_of(Upstream())
        run.verifier = Clumsy()
        return await run.verify(await run.sample("small"))

    verdict, _ = virtually(work)
    assert verdict is not None
    assert (verdict.ruling, verdict.reward, verdict.source) == ("unknown", 0.0, "clumsy")
    assert "ZeroDivisionError: a fault" in verdict.reason


def test_without_a_verifier_there_is_no_verdict() -> None:
    """Unjudged is not unknown."""

    async def work() -> Verdict | None:
        run = run_of(Upstream())
        return await run.verify(await run.sample("small"))

    assert virtually(work)[0] is None


def test_only_the_answer_is_streamed() -> None:
    """A call that is the answer is heard as it comes; one of several candidates is not."""
    ear = Ear()

    async def work() -> None:
        run = run_of(Upstream(always(Said(streamed=(1, 2)))), listener=ear)
        await run.sample("small")
        assert ear.heard == []
        await run.sample("small", is_answer=True)

    virtually(work)
    assert ear.heard == [1, 2]


def test_a_call_carries_the_callers_cap_within_the_models() -> None:
    """The smaller of the wish and the model's own cap is always sent; the parameters go along."""
    upstream = Upstream()

    async def work() -> None:
        for cap in (None, 10, 10_000):
            await run_of(upstream, ask(max_completion_tokens=cap, parameters={"top_p": 0.5})).sample("small")

    virtually(work)
    assert [call.max_completion_tokens for call in upstream.seen] == [64, 10, 64]
    assert all(call.parameters == {"top_p": 0.5} for call in upstream.seen)


def test_seeds_shift_by_draw_of_one_prompt() -> None:
    """The first draw has the caller's own seed; each model and template counts for itself."""
    upstream = Upstream()

    async def work() -> None:
        run = run_of(upstream, ask(parameters={"seed": 7}))
        for model, template in [("small", "direct")] * 2 + [
            ("large", "direct"),
            ("small", "chain_of_thought"),
        ]:
            await run.sample(model, template=template)

    virtually(work)
    assert [call.parameters["seed"] for call in upstream.seen] == [7, 8, 7, 7]


def test_samples_come_as_they_are_ready() -> None:
    """The fastest of parallel calls is first; all run side by side."""

    async def work() -> list[str]:
        run = run_of(Upstream(lambda call, number: Said(str(number), latency_s=3.0 - number)))
        return [candidate.text async for candidate in run.samples("small", 3)]

    texts, seconds = virtually(work)
    assert texts == ["2", "1", "0"]
    assert seconds == pytest.approx(3.0)


def test_leaving_samples_early_cancels_the_rest_and_leaves_no_litter() -> None:
    """Closing the iterator ends every call in flight, with no task or coroutine left behind."""
    upstream = Upstream(lambda call, number: Said(str(number), latency_s=1.0 + number))

    async def work() -> int:
        run = run_of(upstream)
        async with aclosing(run.samples("small", 4)) as candidates:
            async for _ in candidates:
                break
        assert upstream.in_flight == 0
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    left, seconds = virtually(work)
    gc.collect()
    assert left == 1
    assert seconds == pytest.approx(1.0)


def test_samples_raise_only_where_none_survives() -> None:
    """Calls that do not fit the budget or fail cost their candidates; where all do, the error is raised."""

    async def work(calls: int) -> int:
        run = run_of(Upstream(), budget=Budget(calls=calls))
        return len([candidate async for candidate in run.samples("small", 3)])

    assert virtually(lambda: work(2))[0] == 2
    with pytest.raises(BudgetExceeded):
        virtually(lambda: work(0))

    async def failing() -> None:
        run = run_of(Upstream(always(Said(error=BackendRefused("down", 503)))))
        _ = [candidate async for candidate in run.samples("small", 3)]

    with pytest.raises(BackendRefused):
        virtually(failing)


def test_a_fault_outside_the_tree_is_not_swallowed() -> None:
    """A programming error in a backend ends the run, and its siblings with it."""

    def faulty(call: Call, number: int) -> Said:
        return Said(error=ZeroDivisionError("a fault") if number == 1 else None, latency_s=1.0 + number)

    upstream = Upstream(faulty)

    async def work() -> None:
        _ = [candidate async for candidate in run_of(upstream).samples("small", 3)]

    with pytest.raises(ZeroDivisionError):
        virtually(work)
    assert upstream.in_flight == 0


@pytest.mark.parametrize(
    ("quality", "cost_usd", "per_usd", "stakes", "worth"),
    [(0.9, 0.01, 10.0, 1.0, True), (0.9, 0.01, 50.0, 1.0, False), (0.9, 0.01, 50.0, 2.0, True),
     (0.4, 0.0, 0.0, 1.0, False)],
)  # fmt: skip
def test_more_is_worth_it_where_the_gain_outweighs_the_price(
    quality: float, cost_usd: float, per_usd: float, stakes: float, worth: bool
) -> None:
    """stakes * (q_next - P(right)) against lambda * cost, here with P(right) = 0.5."""

    async def work() -> tuple[float, dict[str, float]]:
        query = ask(wishes=Wishes(stakes=stakes))
        prospects = {"large/direct": Prospect(quality, cost_usd)}
        run = run_of(Upstream(), query, price=Price(per_usd), prospects=prospects)
        return run.worth(["large/direct"], Evidence(0.5, (), ()), 0.5)

    (net_worth, numbers), _ = virtually(work)
    assert (net_worth > 0) == worth
    net = stakes * (quality - 0.5) - per_usd * cost_usd
    assert numbers == pytest.approx({"gain": quality - 0.5, "cost_usd": cost_usd, "net_worth": net})


def test_several_arms_cost_their_sum_and_promise_the_best_of_them() -> None:
    """One after another: what the last one costs comes on top of those before it."""

    async def work() -> tuple[float, dict[str, float]]:
        prospects = {"small/direct": Prospect(0.8, 0.01), "large/direct": Prospect(0.7, 0.02)}
        run = run_of(Upstream(), price=Price(1.0), prospects=prospects)
        return run.worth(["small/direct", "large/direct"], Evidence(0.5, (), ()), 0.5)

    (net_worth, numbers), _ = virtually(work)
    assert net_worth == pytest.approx(0.3 - 0.03)
    assert numbers["cost_usd"] == pytest.approx(0.03)


def test_a_predictor_that_foresees_is_asked() -> None:
    """Its word on what further answers would bring counts, not the arms' own chances."""

    class Seer(Agreement):
        def foresee(self, evidence: Evidence, further: Mapping[str, float]) -> float:
            return 0.6 if list(further) == ["large/direct"] else 0.0

    async def work() -> tuple[float, dict[str, float]]:
        prospects = {"large/direct": Prospect(0.9, 0.0)}
        run = run_of(Upstream(), prospects=prospects)
        run.confidence = Seer()
        return run.worth(["large/direct"], Evidence(0.5, (), ()), 0.5)

    (net_worth, _), _ = virtually(work)
    assert net_worth == pytest.approx(0.1)


def test_a_run_within_a_run_shares_its_meter_and_its_trace() -> None:
    """Only prior, listener and incumbent are its own."""

    async def work() -> None:
        run = run_of(Upstream(in_turn("5")), prospects={"small/direct": Prospect(0.7, 0.0)}, listener=Ear())
        inner = run.within("small/direct")
        answer = await Direct("small").answer(inner)
        inner.note("stop", "for a reason", drawn=1)
        assert (inner.prior, inner.listener.wants_deltas) == (0.7, False)
        assert (inner.meter, inner.steps) == (run.meter, run.steps)
        assert run.incumbent == answer
        assert isinstance(answer, Answer)
        assert answer.candidate.extracted == "5"
        assert run.query.text == QUESTION

    virtually(work)


@pytest.mark.parametrize("said", ["Infinity", "-inf", "nan", "1e999", "good"])
def test_a_reward_is_a_finite_number(said: str) -> None:
    """Anything else is a malformed reply, which whoever asked for it survives."""

    async def work() -> float:
        run = run_of(Upstream(always(Said(said))))
        return await run.score("large", Candidate(Completion({"content": "5"}, "stop", 1, 1), "5"))

    with pytest.raises(MalformedReply, match="no number"):
        virtually(work)


def test_chance_is_a_pure_function_of_query_choice_and_arm() -> None:
    """The same whenever the query is answered again; another for each choice and for each stage."""

    async def work() -> list[float]:
        first, again, other = (run_of(Upstream(), ask(id=each)) for each in "aab")
        choice = run_of(Upstream(), ask(id="a"), first_draw=4)
        assert first.chance("tree") == again.chance("tree")
        runs = [first, other, choice, first.within("small/direct"), first.within("large/direct")]
        return [run.chance(salt) for run in runs for salt in ("tree", "prompts")]

    drawn, _ = virtually(work)
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= each < 1 for each in drawn)
