"""Standing: what stands while a strategy works beside a plain draw."""

from __future__ import annotations

from fakes import Upstream, in_turn, run_of, virtually
from fakes_learning import candidate

from router.candidate import Answer
from router.strategies._standing import Standing
from router.trace import Step


def test_a_step_is_offered_only_where_it_stands() -> None:
    """Beside the plain draw the text of a step changes nothing, so nobody is told of it."""
    told: list[Step | Answer] = []

    async def work() -> Standing:
        standing = Standing(run_of(Upstream(in_turn("6")), observer=told.append))
        standing.step(candidate("1"))
        await standing.draw("small")
        standing.step(candidate("2"))
        standing.find(candidate("7"))
        standing.step(candidate("3"))
        return standing

    standing, _ = virtually(work)
    assert [each.candidate.extracted for each in told if isinstance(each, Answer)] == ["1", "6", "7"]
    assert len(standing.replies) == 3
