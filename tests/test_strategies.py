"""What every strategy keeps to: the suite runs over the registry, so a new file is tested as it is.

See ``strategy_examples.py`` for where the examples come from.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from fakes import (
    CARDS,
    QUESTION,
    RIGHT,
    Said,
    Upstream,
    always,
    arm_of,
    ask,
    by_chance,
    in_turn,
    run_of,
    virtually,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategy_examples import examples

from router.budget import UNLIMITED, Budget
from router.call import Call, Completion
from router.candidate import Answer
from router.confidence.agreement import Agreement
from router.errors import BackendError, BackendRefused, OutOfCompute
from router.query import Query
from router.replay import Recorded, Recording
from router.run import Run
from router.strategies import STRATEGIES, Strategy
from router.usage import NOTHING
from training.simulate import Simulation

EXAMPLES = examples()
REPLIES = ("5", "Answer: 5", "6", "Answer: 7", "no idea at all")

every_strategy = pytest.mark.parametrize("strategy", EXAMPLES.values(), ids=list(EXAMPLES))
drawing = [key for key, strategy in EXAMPLES.items() if sum(strategy.demand().values()) > 1]


def answered(
    strategy: Strategy, upstream: Upstream, budget: Budget = UNLIMITED, query: Query | None = None
) -> tuple[Answer | Exception, Run, float]:
    """What became of one query: its answer or error, the run, and the seconds it took."""

    async def work() -> tuple[Answer | Exception, Run]:
        run = run_of(upstream, query or ask(verifier=RIGHT), budget=budget)
        try:
            return await strategy.answer(run), run
        except (OutOfCompute, BackendError) as error:
            return error, run

    (result, run), seconds = virtually(work)
    return result, run, seconds


def caps() -> st.SearchStrategy[Budget]:
    """Budgets from nothing to more than enough."""
    some = st.none() | st.integers(0, 12)
    return st.builds(
        lambda calls, hundreds, micros: Budget(
            calls, hundreds and hundreds * 100, micros and micros * 20_000
        ),
        some, some, some,
    )  # fmt: skip


@every_strategy
def test_it_answers_and_the_run_has_its_answer(strategy: Strategy) -> None:
    """A willing upstream is answered from; the answer stands as the incumbent, and nothing is held."""
    answer, run, _ = answered(strategy, Upstream(by_chance(*REPLIES)))
    assert isinstance(answer, Answer)
    assert run.incumbent == answer
    assert run.meter._held == NOTHING
    if answer.weighed:
        assert answer.candidate in answer.weighed
        assert len(answer.verdicts) == len(answer.weighed)


@every_strategy
@pytest.mark.parametrize("seed", range(5))
def test_its_demand_bounds_its_calls(strategy: Strategy, seed: int) -> None:
    """Of no model does it ask more often than it said; every model it asks is in its demand."""
    upstream = Upstream(by_chance(*REPLIES, seed=str(seed)))
    answered(strategy, upstream)
    made = Counter(call.model for call in upstream.seen)
    assert made <= Counter(strategy.demand())


@every_strategy
def test_its_worst_case_covers_its_calls(strategy: Strategy) -> None:
    """The budget of its own worst case, which is what a plan reserves, stops none of its draws."""
    query = ask(verifier=RIGHT, max_completion_tokens=16)
    budget = Budget(cost_nano=arm_of(strategy).worst_case(query).cost_nano)
    free, bound = Upstream(in_turn("6", "7", "8")), Upstream(in_turn("6", "7", "8"))
    answered(strategy, free, query=query)
    answered(strategy, bound, budget, query)
    assert [call.model for call in bound.seen] == [call.model for call in free.seen]


@every_strategy
@given(budget=caps())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_no_cap_is_ever_broken(strategy: Strategy, budget: Budget) -> None:
    """At any cap it spends no more, and gives an answer, or says that compute ran out."""
    upstream = Upstream(by_chance(*REPLIES))
    result, run, _ = answered(strategy, upstream, budget)
    assert budget.admits(run.meter.usage)
    assert isinstance(result, Answer | OutOfCompute)
    assert isinstance(result, Answer) or upstream.delivered == 0
    assert run.meter._held == NOTHING


@every_strategy
@pytest.mark.parametrize("failing", range(6))
def test_one_failed_call_costs_no_answer_that_stood(strategy: Strategy, failing: int) -> None:
    """A call that fails takes its candidate with it and nothing else; where it was the only one, its
    error is raised."""

    def moody(call: Call, number: int) -> Said:
        error = BackendRefused("busy", 503) if number == failing else None
        return Said(REPLIES[number % len(REPLIES)], error=error)

    upstream = Upstream(moody)
    result, run, _ = answered(strategy, upstream)
    assert isinstance(result, Answer) or upstream.delivered == 0
    assert run.meter._held == NOTHING


@every_strategy
def test_an_upstream_that_never_answers_raises_its_error(strategy: Strategy) -> None:
    """With no candidate at all there is no answer to invent."""
    result, run, _ = answered(strategy, Upstream(always(Said(error=BackendRefused("down", 503)))))
    assert isinstance(result, BackendRefused)
    assert run.incumbent is None


@every_strategy
@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.5, 2.5])
def test_a_caller_who_leaves_cancels_every_call(strategy: Strategy, after_s: float) -> None:
    """No call stays in flight, nothing stays held, and all that was called is on record."""
    upstream = Upstream(by_chance("6", "7", "8"))

    async def work() -> Run:
        run = run_of(upstream, ask(verifier=RIGHT))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(after_s):
                await strategy.answer(run)
        return run

    run, _ = virtually(work)
    assert upstream.in_flight == 0
    assert run.meter._held == NOTHING
    assert len(run.meter.records) == len(upstream.seen)


@every_strategy
def test_the_end_of_the_time_finds_an_answer_standing(strategy: Strategy) -> None:
    """Once a candidate has come and been judged, the run has an incumbent, whatever is still under way."""
    upstream = Upstream(by_chance("6", "7", "8"))

    async def work() -> Run:
        run = run_of(upstream, ask(verifier=RIGHT))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.5):  # one call and its judge
                await strategy.answer(run)
        return run

    run, _ = virtually(work)
    assert run.incumbent is not None


@every_strategy
def test_it_is_a_value(strategy: Strategy) -> None:
    """Frozen, equal to its twin, and with the same family, compute and demand each time."""
    twin = replace(strategy)
    assert twin == strategy
    assert hash(twin) == hash(strategy)
    assert (twin.family, twin.compute, twin.demand()) == (
        strategy.family,
        strategy.compute,
        strategy.demand(),
    )
    assert strategy.compute >= 1
    assert strategy.family
    with pytest.raises(FrozenInstanceError):
        setattr(strategy, fields(strategy)[0].name, None)


def test_ids_tell_options_apart() -> None:
    """No two examples of different meaning share an arm's id, but for thresholds on when to stop."""
    ids = [arm_of(other).id for key, other in EXAMPLES.items() if "stop_at" not in key]
    assert len(ids) == len(set(ids))


def recording(*texts: str) -> Recording:
    """Draws of both models under both templates, each right where its text says 5."""
    rows = [
        (model, template, QUESTION, Recorded(_said(text), float("5" in text), 1.0 + i / 8))
        for model in CARDS
        for template in ("direct", "chain_of_thought")
        for i, text in enumerate(texts)
    ]
    return Recording.of(rows)


def _said(text: str) -> Completion:
    return Completion({"role": "assistant", "content": text}, "stop", 12, 3)


texts = st.lists(st.sampled_from(REPLIES), min_size=1, max_size=8)


@every_strategy
@given(replies=texts, shift=st.integers(0, 7))
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_a_replay_repeats_itself(strategy: Strategy, replies: list[str], shift: int) -> None:
    """Over recorded answers it gives the same answer at the same cost and time, as often as one asks."""
    pair = ask(verifier=RIGHT), arm_of(strategy)
    simulation = Simulation(recording(*replies), Agreement())
    [first] = simulation.replay([pair], shift)
    assert simulation.replay([pair], shift) == [first]
    made = Counter(strategy.demand())
    assert first.usage.calls <= sum(made.values())


@pytest.mark.parametrize(
    "name", [key for key, each in EXAMPLES.items() if each.traits.more_cannot_hurt], ids=str
)
@given(replies=texts, shift=st.integers(0, 7))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_more_compute_cannot_hurt_where_a_strategy_says_so(name: str, replies: list[str], shift: int) -> None:
    """On the same recorded answers, and with a sound verifier, a longer ladder never answers worse."""
    strategy: Any = EXAMPLES[name]
    query = ask(verifier=RIGHT)
    pairs = [(query, arm_of(replace(strategy, n=n))) for n in (2, 3, 5, 8)]
    scores = [each.score for each in Simulation(recording(*replies), Agreement()).replay(pairs, shift)]
    assert scores == sorted(scores)


def test_every_registered_strategy_has_an_example() -> None:
    """The suite leaves none out, and some of it draws more than once."""
    assert {key.partition(":")[0] for key in EXAMPLES} == set(STRATEGIES)
    assert len(drawing) >= 3
