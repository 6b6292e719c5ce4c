"""Any time: stages race, the best so far stands, and only what can still land is begun."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from fakes import RIGHT, Said, Upstream, ask, run_of, virtually

from router.budget import Budget
from router.call import Call
from router.candidate import Answer
from router.errors import BackendRefused, ConfigurationError
from router.prospect import Prospect
from router.run import Run
from router.strategies.any_time import AnyTime
from router.strategies.best_of_n import BestOfN
from router.strategies.cascade import Stage
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency

QUICK, SLOW, VOTE = "small/direct", "large/direct", "small/vote"
DIRECT = Stage(QUICK, Direct("small")), Stage(SLOW, Direct("large"))
THREE = (*DIRECT, Stage(VOTE, SelfConsistency("small", 4)))


def raced(
    strategy: AnyTime,
    upstream: Upstream,
    latencies_s: dict[str, float] | None = None,
    chances: dict[str, float] | None = None,
    query: Any = None,
    **more: Any,
) -> tuple[Answer | Exception, Run, float]:
    """The answer or error, the run, and the seconds it took."""
    latencies_s, chances = latencies_s or {}, chances or {}
    prospects = {
        arm: Prospect(chances.get(arm, 0.5), 0.0, latencies_s.get(arm, 0.0)) for arm in (QUICK, SLOW, VOTE)
    }

    async def work() -> tuple[Answer | Exception, Run]:
        run = run_of(upstream, query, prospects=prospects, **more)
        try:
            return await strategy.answer(run), run
        except BackendRefused as error:
            return error, run

    (answer, run), seconds = virtually(work)
    return answer, run, seconds


def by_model(**said: Said) -> Upstream:
    return Upstream(lambda call, number: said[call.model])


def answered(result: tuple[Answer | Exception, Run, float]) -> Answer:
    assert isinstance(result[0], Answer)
    return result[0]


def test_stages_run_side_by_side() -> None:
    """Two of a second each take one second at two at once, two seconds one after the other."""
    upstream = by_model(small=Said("5"), large=Said("6"))
    assert raced(AnyTime(DIRECT), upstream)[2] == pytest.approx(1)
    assert raced(AnyTime(DIRECT, parallel=1), upstream)[2] == pytest.approx(2)


def test_it_uses_its_time_where_a_cascade_would_stop() -> None:
    """Without being sure it hears every stage, whatever they cost, and gives the most probable answer."""
    upstream = by_model(small=Said("5"), large=Said("6", latency_s=3))
    answer, run, seconds = raced(AnyTime(DIRECT), upstream, chances={QUICK: 0.4, SLOW: 0.7})
    assert isinstance(answer, Answer)
    assert (answer.candidate.text, answer.complete, seconds) == ("6", True, pytest.approx(3))
    assert run.steps[-1].reason == "no stage is left"


def test_who_is_sure_ends_the_race_and_what_is_under_way() -> None:
    """A sound verifier's pass is enough: the slow stage is cancelled, and the next never begun."""
    upstream = by_model(small=Said("5"), large=Said("5", latency_s=30))
    stages = (Stage("small/best_of_n@2", BestOfN("small", 2)), *DIRECT[1:], THREE[2])
    answer, run, seconds = raced(AnyTime(stages), upstream, query=ask(verifier=RIGHT))
    assert isinstance(answer, Answer)
    assert (answer.complete, seconds) == (True, pytest.approx(1))
    assert [record.status for record in run.meter.records] == ["ok", "cancelled"]
    assert upstream.in_flight == 0


def test_near_the_deadline_only_what_can_still_land_is_begun() -> None:
    """A stage that is expected to miss the deadline is left out, told, and the answer is marked so."""
    upstream = by_model(small=Said("5"), large=Said("6", latency_s=9))
    strategy = AnyTime(DIRECT, parallel=1)
    result = raced(strategy, upstream, {SLOW: 9.0}, budget=Budget(seconds=5))
    answer = answered(result)
    assert (answer.candidate.text, answer.complete) == ("5", False)
    assert [call.model for call in upstream.seen] == ["small"]
    assert any(step.reason == f"no time for {SLOW}" for step in result[1].steps)
    roomy = raced(strategy, upstream, {SLOW: 9.0}, budget=Budget(seconds=20))
    assert answered(roomy).complete


def test_something_is_begun_however_little_time_there_is() -> None:
    """Where nothing stands, a stage that may miss the deadline is better than none."""
    upstream = by_model(small=Said("5"), large=Said("6"))
    result = raced(AnyTime(DIRECT), upstream, {QUICK: 9.0, SLOW: 9.0}, budget=Budget(seconds=2))
    assert answered(result).candidate.text == "5"


def test_the_best_so_far_stands_at_every_moment() -> None:
    """Whoever ends the run early finds the incumbent of the stages that had ended."""
    upstream = by_model(small=Said("5"), large=Said("6", latency_s=9))

    async def work() -> Run:
        run = run_of(upstream)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(4):
                await AnyTime(DIRECT).answer(run)
        return run

    run, _ = virtually(work)
    assert run.incumbent is not None
    assert run.incumbent.candidate.text == "5"
    assert upstream.in_flight == 0


def test_a_stage_that_fails_is_passed_over() -> None:
    """The others answer; where all fail, the last error is raised."""
    down = Said(error=BackendRefused("down", 503))
    assert answered(raced(AnyTime(DIRECT), by_model(small=down, large=Said("6")))).candidate.text == "6"
    assert isinstance(raced(AnyTime(THREE), by_model(small=down, large=down))[0], BackendRefused)


def test_the_end_of_the_money_leaves_what_stands() -> None:
    """A stage that the budget does not admit is told by the mark on the answer."""

    def said(call: Call, number: int) -> Said:
        return Said("5")

    result = raced(AnyTime(DIRECT, parallel=1), Upstream(said), budget=Budget(calls=1))
    assert (answered(result).candidate.text, answered(result).complete) == ("5", False)


def test_options_are_checked_and_named() -> None:
    """One stage is no race; options that change the meaning stand in the arm's id."""
    for options in ({"stages": DIRECT[:1]}, {"parallel": 0}, {"sure_at": 0.0}):
        with pytest.raises(ConfigurationError, match="any_time needs"):
            AnyTime(**{"stages": DIRECT, **options})  # type: ignore[arg-type]  # wrong on purpose
    assert AnyTime(DIRECT).family == f"any_time({QUICK}|{SLOW})"
    assert AnyTime(DIRECT, 3, 0.9).family.endswith(":parallel=3:sure_at=0.9")
