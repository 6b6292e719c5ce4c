"""Cascade: it escalates where the next stage is worth its price, and gives the most probable answer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest
from fakes import CARDS, RIGHT, Said, Upstream, ask, run_of, virtually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.budget import UNLIMITED, Budget
from router.call import Call
from router.candidate import Answer
from router.confidence.consensus import Consensus
from router.errors import BackendRefused, ConfigurationError
from router.price import Price
from router.prospect import Prospect
from router.query import Wishes
from router.run import Run
from router.strategies.best_of_n import BestOfN
from router.strategies.cascade import Cascade, Stage
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency

SMALL, LARGE = "small/direct", "large/direct"
CASCADE = Cascade((Stage(SMALL, Direct("small")), Stage(LARGE, Direct("large"))))


def by_model(**said: Said) -> Upstream:
    return Upstream(lambda call, number: said[call.model])


def cascaded(
    strategy: Cascade, upstream: Upstream, prospects: dict[str, Prospect], query: Any = None, **more: Any
) -> tuple[Answer, Run]:
    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream, query, prospects=prospects, **more)
        return await strategy.answer(run), run

    return virtually(work)[0]


@given(
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
    st.floats(0.0, 0.1),
    st.floats(0.0, 20.0),
    st.floats(0.1, 5.0),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_it_escalates_exactly_where_that_is_worth_it(
    first: float, second: float, cost_usd: float, per_usd: float, stakes: float
) -> None:
    """It goes on when stakes * (q_next - P(right)) > lambda * cost_next and P(right) < accept_at."""
    upstream = by_model(small=Said("5"), large=Said("5"))
    prospects = {SMALL: Prospect(first, 0.0), LARGE: Prospect(second, cost_usd)}
    query = ask(wishes=Wishes(stakes=stakes))
    _, run = cascaded(CASCADE, upstream, prospects, query, price=Price(per_usd))
    probability = run.steps[0].numbers["probability"]
    assert probability == pytest.approx(first, abs=1e-3)  # one extracted answer leaves the prior as it was
    worth = stakes * max(0.0, second - probability) > per_usd * cost_usd
    assert (len(upstream.seen) == 2) == (worth and probability < CASCADE.accept_at)
    assert run.steps[0].decision == ("escalate" if len(upstream.seen) == 2 else "stop")


@pytest.mark.parametrize(("accept_at", "calls"), [(0.95, 1), (0.97, 2)])
def test_an_answer_that_is_sure_enough_is_accepted(accept_at: float, calls: int) -> None:
    """Even where the next stage would cost nothing and gain a little."""
    upstream = by_model(small=Said("5"), large=Said("5"))
    prospects = {SMALL: Prospect(0.96, 0.0), LARGE: Prospect(0.99, 0.0)}
    cascaded(Cascade(CASCADE.stages, accept_at), upstream, prospects)
    assert len(upstream.seen) == calls


def test_the_most_probable_answer_wins_not_the_last() -> None:
    """A later stage that gives no readable answer does not displace an earlier one that did."""
    upstream = by_model(small=Said("5"), large=Said("I would rather not say."))
    prospects = {SMALL: Prospect(0.6, 0.0), LARGE: Prospect(0.7, 0.0)}
    answer, run = cascaded(CASCADE, upstream, prospects)
    assert len(upstream.seen) == 2
    assert answer.candidate.text == "5"
    assert run.incumbent == answer


def test_a_better_later_answer_wins() -> None:
    """Where the later stage is surer of its answer, that is given."""
    upstream = by_model(small=Said("4"), large=Said("5"))
    answer, _ = cascaded(CASCADE, upstream, {SMALL: Prospect(0.3, 0.0), LARGE: Prospect(0.9, 0.0)})
    assert answer.candidate.text == "5"


@pytest.mark.parametrize(("reply", "calls"), [("5", 1), ("4", 2)])
def test_a_verdict_outweighs_the_prior(reply: str, calls: int) -> None:
    """The request's verifier judges each stage: a sound pass ends it, a failure sends it on."""
    upstream = by_model(small=Said(reply), large=Said("5"))
    prospects = {SMALL: Prospect(0.6, 0.0), LARGE: Prospect(0.65, 0.0)}
    answer, _ = cascaded(CASCADE, upstream, prospects, ask(verifier=RIGHT))
    assert len(upstream.seen) == calls
    assert answer.candidate.text == "5"


def test_a_failed_stage_gives_way_to_the_next() -> None:
    """A model that is down costs no answer while another stage is left."""
    upstream = by_model(small=Said(error=BackendRefused("down", 503)), large=Said("5"))
    answer, run = cascaded(CASCADE, upstream, {})
    assert answer.candidate.text == "5"
    assert run.steps[0].reason == f"{SMALL} failed"


def test_a_failed_later_stage_leaves_the_answer_that_stands() -> None:
    """What the first stage gave is given."""
    upstream = by_model(small=Said("5"), large=Said(error=BackendRefused("down", 503)))
    answer, _ = cascaded(CASCADE, upstream, {SMALL: Prospect(0.2, 0.0), LARGE: Prospect(0.9, 0.0)})
    assert answer.candidate.text == "5"


def test_where_all_stages_fail_the_last_error_is_raised() -> None:
    """There is no answer to invent."""
    down = Said(error=BackendRefused("down", 503))
    with pytest.raises(BackendRefused):
        cascaded(CASCADE, by_model(small=down, large=down), {})


def test_a_stage_under_way_keeps_the_best_so_far_standing() -> None:
    """A deadline in the middle of a stage finds that stage's latest vote, not its first reply."""

    def slowing(call: Call, number: int) -> Said:
        return Said(["6", "5", "5", "5"][number], latency_s=number + 1.0)

    vote = SelfConsistency("small", 4, template="direct", stop_at=1.0)
    strategy = Cascade((Stage("small/vote", vote), Stage(LARGE, Direct("large"))))
    upstream = Upstream(slowing)

    async def work() -> Run:
        run = run_of(upstream)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3.5):
                await strategy.answer(run)
        return run

    run, _ = virtually(work)
    assert run.incumbent is not None
    assert run.incumbent.candidate.text == "5"
    assert len(run.incumbent.weighed) == 3


def test_a_later_stage_under_way_displaces_nothing() -> None:
    """Until its own answer has been weighed, the earlier stage's stands."""

    def behave(call: Call, number: int) -> Said:
        return Said("5") if number == 0 else Said("6", latency_s=float(number))

    stages = Stage(SMALL, Direct("small")), Stage("large/vote", SelfConsistency("large", 4, stop_at=1.0))

    async def work() -> Run:
        prospects = {SMALL: Prospect(0.3, 0.0), "large/vote": Prospect(0.9, 0.0)}
        run = run_of(Upstream(behave), prospects=prospects)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3.5):
                await Cascade(stages).answer(run)
        return run

    run, _ = virtually(work)
    assert run.incumbent is not None
    assert run.incumbent.candidate.text == "5"


def test_stages_that_agree_back_each_other() -> None:
    """Two cheap models of the same answer are believed where one alone is not: the third is not asked."""
    stages = tuple(Stage(f"{name}/direct", Direct(name)) for name in ("small", "large", "huge"))
    prospects = {stage.arm_id: Prospect(0.6, 0.0) for stage in stages[:2]} | {
        "huge/direct": Prospect(0.8, 0.0)
    }
    cards = {name: replace(CARDS["small"], name=name) for name in ("small", "large", "huge")}

    def asked(second: str) -> list[str]:
        async def work() -> None:
            run = run_of(upstream, prospects=prospects, cards=cards)
            run.confidence = Consensus()
            await Cascade(stages).answer(run)

        upstream = by_model(small=Said("5"), large=Said(second), huge=Said("5"))
        virtually(work)
        return [call.model for call in upstream.seen]

    assert asked("5") == ["small", "large"]
    assert asked("6") == ["small", "large", "huge"]


def test_every_later_stage_is_looked_ahead_to() -> None:
    """A weak next stage does not hide a strong one behind it; its cost is on the way there."""
    stages = tuple(Stage(f"{name}/direct", Direct(name)) for name in ("small", "large", "huge"))
    cards = {name: replace(CARDS["small"], name=name) for name in ("small", "large", "huge")}
    qualities = {"small/direct": 0.6, "large/direct": 0.5, "huge/direct": 0.9}
    prospects = {arm_id: Prospect(quality, 0.1) for arm_id, quality in qualities.items()}

    def calls(per_usd: float) -> int:
        async def work() -> None:
            await Cascade(stages).answer(
                run_of(upstream, prospects=prospects, cards=cards, price=Price(per_usd))
            )

        upstream = by_model(small=Said("5"), large=Said("6"), huge=Said("5"))
        virtually(work)
        return len(upstream.seen)

    assert calls(1.4) == 3
    assert calls(1.6) == 1


def test_the_trace_tells_what_each_later_stage_promised() -> None:
    """Gain and cost of going on to each of them stand beside P(right)."""
    upstream = by_model(small=Said("5"), large=Said("5"))
    prospects = {SMALL: Prospect(0.6, 0.0), LARGE: Prospect(0.9, 0.01)}
    _, run = cascaded(CASCADE, upstream, prospects, price=Price(1.0))
    assert run.steps[0].numbers == pytest.approx(
        {"probability": 0.6, "leader": 0, f"gain:{LARGE}": 0.3, f"cost_usd:{LARGE}": 0.01,
         f"net_worth:{LARGE}": 0.29}, abs=1e-3,
    )  # fmt: skip


def test_nothing_is_streamed_that_may_not_be_the_answer() -> None:
    """A stage's tokens stay inside: the caller hears the chosen answer only."""

    class Ear:
        wants_deltas = True

        def hear(self, delta: object) -> None:
            raise AssertionError("a stage was streamed")

    upstream = by_model(small=Said("5", streamed=(1, 2)), large=Said("5", streamed=(1, 2)))
    answer, _ = cascaded(CASCADE, upstream, {}, listener=Ear())
    assert answer.candidate.text == "5"


def test_a_cascade_can_what_all_its_stages_can() -> None:
    """It needs a verifier where any stage does, and adds up their demands."""
    stages = Stage(SMALL, Direct("small")), Stage("small/best_of_n@4", BestOfN("small", 4))
    checked = Cascade(stages)
    assert checked.traits.needs_verifier
    assert not checked.traits.tools
    assert CASCADE.traits.tools
    assert checked.demand() == {"small": 5}
    assert checked.family == f"cascade({SMALL}>small/best_of_n@4)"


@pytest.mark.parametrize("accept_at", [0.0, 1.5])
def test_options_that_make_no_sense_are_refused(accept_at: float) -> None:
    """Acceptance is a probability, and one stage is no cascade."""
    with pytest.raises(ConfigurationError):
        Cascade(CASCADE.stages, accept_at)
    with pytest.raises(ConfigurationError):
        Cascade(CASCADE.stages[:1])


@pytest.mark.parametrize("error", ["budget", "backend"])
def test_an_escalation_that_came_to_nothing_is_marked(error: str) -> None:
    """Where the next stage was worth its price but not admitted, or failed, the answer is not complete."""
    down = BackendRefused("down", 503) if error == "backend" else None
    upstream = by_model(small=Said("5"), large=Said("6", error=down))
    prospects = {SMALL: Prospect(0.2, 0.0), LARGE: Prospect(0.9, 0.0)}
    budget = Budget(calls=1) if error == "budget" else UNLIMITED
    answer, run = cascaded(CASCADE, upstream, prospects, budget=budget)
    assert (answer.candidate.text, answer.complete) == ("5", False)
    assert run.incumbent == answer
    assert [(step.decision, step.reason) for step in run.steps] == [
        ("escalate", f"next: {LARGE}"), ("stop", f"{LARGE} failed"),
    ]  # fmt: skip
