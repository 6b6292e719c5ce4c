"""Monte Carlo tree search: where the tree grows, and what runs together."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from fakes import Said, Upstream, ask, run_of, virtually
from fakes_search import path_in, searched, steps_of, unending, writer
from hypothesis import given
from hypothesis import strategies as st

from router.call import Call, Completion
from router.candidate import Candidate
from router.errors import BackendRefused, ConfigurationError
from router.search.path import ROOT, Path
from router.search.tree import Adaptive, Node, Uct
from router.strategies.monte_carlo_tree_search import MonteCarloTreeSearch


def grown(node: Node, name: str, value: float) -> Node:
    """A child whose simulation brought a value."""
    child = node.sprout()
    child.path = path(node.path or ROOT, name)
    child.credit(value)
    return child


def path(above: Path, name: str) -> Path:
    said = Completion({"role": "assistant", "content": name}, "stop", 1, 1)
    return above.longer(Candidate(said, None))


@pytest.mark.parametrize("branching", ["fixed", "adaptive"])
def test_parallel_simulations_take_the_time_of_one(branching: str) -> None:
    """Eight, four at once (three to begin with, under a branch of three): a step, a rollout and a value."""
    upstream = Upstream(writer(unending))
    strategy = MonteCarloTreeSearch("small", 8, branching=branching, parallel=4, depth=9)
    _, run, seconds = searched(strategy, upstream, verifier=None)
    assert run.meter.usage.calls == 2 + 8 * 3
    assert seconds == pytest.approx(3 * (3 if branching == "fixed" else 2))


@pytest.mark.parametrize("branching", ["fixed", "adaptive"])
def test_it_grows_where_rollouts_were_good(branching: str) -> None:
    """Most steps are written on from the good first step, whichever of the first three it is."""

    def rating(prompt: str) -> str:
        return "10" if re.search(r"\bstep 2\b", prompt) else "0"

    upstream = Upstream(writer(unending, rating))
    strategy = MonteCarloTreeSearch("small", 24, branching=branching, exploration=0.5, parallel=2, depth=9)
    searched(strategy, upstream, verifier=None)
    above = [path_in(call).partition("\n")[0] for call in steps_of(upstream)]
    through = Counter(first for first in above if first)
    assert through.most_common(1)[0][0] == "step 2"
    assert through["step 2"] > sum(through.values()) / 2


def test_a_failed_simulation_leaves_no_trace_in_the_tree() -> None:
    """Its visits are taken back, and another takes its place."""
    root = Node(ROOT)
    good, failed = grown(root, "one", 0.5), root.sprout()
    failed.withdraw()
    assert (root.visits, root.total, root.children) == (1, 0.5, [good])


def test_some_failing_calls_cost_their_simulations_only() -> None:
    """Every third call is lost; the best of the others is returned, marked as not complete."""

    def moody(call: Call, number: int) -> Said:
        said = writer(unending)(call, number)
        return Said(said.text, error=BackendRefused("busy", 503) if number % 3 == 2 else None)

    answer, run, _ = searched(MonteCarloTreeSearch("small", 6), Upstream(moody), verifier=None)
    assert not answer.complete
    assert len(answer.weighed) > 1
    assert "error" in {record.status for record in run.meter.records}


def test_simulations_under_way_count_as_losses() -> None:
    """So that the next one goes elsewhere (virtual loss)."""
    root = Node(ROOT)
    better, worse = grown(root, "better", 0.6), grown(root, "worse", 0.5)
    rule = Uct(depth=5, branch=2, exploration=0.1)
    assert rule.select(root) is better
    better.sprout()
    assert rule.select(root) is worse


def test_a_tree_without_room_grows_no_more() -> None:
    """All paths complete, at full depth, or under way."""
    rule = Uct(depth=1, branch=2, exploration=1.0)
    root = Node(ROOT)
    grown(root, "one", 0.5)
    grown(root, "Answer: 2", 0.5)
    assert rule.select(root) is None


def test_a_small_tree_ends_early() -> None:
    """Two first steps, no deeper: two simulations of the eight."""
    upstream = Upstream(writer(unending))
    answer, _, _ = searched(MonteCarloTreeSearch("small", 8, depth=1, branch=2), upstream, verifier=None)
    assert len(steps_of(upstream)) == 2
    assert answer.complete


@given(good=st.lists(st.floats(0.8, 1), min_size=4, max_size=12), seed=st.integers(0, 99))
def test_adaptive_branching_goes_deeper_where_depth_pays(good: list[float], seed: int) -> None:
    """And wider where it does not: the same tree with its values turned round."""

    def deeper(first: float, then: list[float]) -> int:
        root = Node(ROOT)
        child = grown(root, "first", first)
        for i in range(4):
            grown(root, f"other {i}", first)
        for i, value in enumerate(then):
            grown(child, f"{i}", value)
        rule = Adaptive(9, np.random.default_rng(seed))
        return sum(rule.select(root) is not root for _ in range(100))

    assert deeper(0.1, good) > 60
    assert deeper(0.9, [1 - value for value in good]) < 40


@pytest.mark.parametrize(
    ("options", "told"), [({"branching": "free"}, "adaptive, fixed"), ({"parallel": 0}, "parallel")]
)
def test_wrong_options_name_the_known_ones(options: dict[str, Any], told: str) -> None:
    """At the start."""
    with pytest.raises(ConfigurationError, match=told):
        MonteCarloTreeSearch("small", 4, **options)


def test_each_choice_and_each_stage_branches_by_chances_of_its_own() -> None:
    """Several choices of one query are different searches; the same one again is the same."""

    def tree(first_draw: int, arm_id: str = "") -> list[str]:
        upstream = Upstream(writer(unending, lambda prompt: str(sum(map(ord, prompt)) % 7 + 2)))

        async def work() -> None:
            run = run_of(upstream, ask(id="q"), first_draw=first_draw)
            strategy = MonteCarloTreeSearch("small", 12, branching="adaptive", parallel=2)
            await strategy.answer(run.within(arm_id) if arm_id else run)

        virtually(work)
        return [path_in(call) for call in steps_of(upstream)]

    assert tree(0) == tree(0)
    assert len({tuple(tree(each)) for each in range(8)}) > 1
    assert len({tuple(tree(0, each)) for each in "abcdefgh"}) > 1
