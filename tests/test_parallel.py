"""Parallel: what does not wait for one another runs at once, over HTTP and, for every strategy, by the clock
of latencies that its page in docs/ promises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, log2
from pathlib import Path
from typing import Any

import pytest
import upstream as up
from aiohttp import web
from fakes import RIGHT, Behaviour, Upstream, ask, by_chance, in_turn, run_of, virtually
from fakes_search import unending, writer
from service_process import serving, tables
from strategy_examples import examples

from router.sandbox import Ran, Scripted
from router.strategies import Strategy
from router.strategies.cascade import Stage
from router.tools.calculator import Calculator

EXAMPLES = examples()
LATENCY_S = 0.2


@dataclass(slots=True)
class Slow:
    """A scene of fixed latency. at_once: the most calls that it had at one time."""

    at_once: int = 0
    calls: int = 0
    under_way: int = 0

    async def __call__(self, visit: up.Visit) -> web.StreamResponse:
        """A number that nobody said before."""
        self.calls += 1
        self.under_way += 1
        self.at_once = max(self.at_once, self.under_way)
        await asyncio.sleep(LATENCY_S)
        self.under_way -= 1
        return await up.reply(up.completion(str(self.calls)))(visit)


async def test_eight_draws_take_about_one_latency(tmp_path: Path) -> None:
    """A vote of eight over HTTP is eight calls at once: below three latencies, where one after another they
    would take eight. The best of three tries, as the machine may be busy."""
    votes = {"strategy": "self_consistency", "models": ["small"], "n": 8, "stop_at": 1.0}
    scene, taken_s = Slow(), []
    async with up.running_upstream() as upstream:
        upstream.play(scene)
        chat = {"type": "openai_compatible", "base_url": upstream.base_url}
        asked = {"model": "small/self_consistency@8", "messages": [{"role": "user", "content": "2 + 3?"}]}
        menu = [{"strategy": "direct", "models": ["small"]}, votes]
        async with serving(tables(tmp_path, backends={"fake": chat}, menu=menu)) as live:
            for _ in range(3):
                began_s = time.perf_counter()
                await live.client().chat.completions.create(**asked)
                taken_s.append(time.perf_counter() - began_s)
    assert (scene.calls, scene.at_once) == (24, 8)
    assert LATENCY_S <= min(taken_s) < 3 * LATENCY_S


def _best_of_n(strategy: Any) -> float:
    if strategy.by == "likelihood":
        return 1
    if strategy.compare == "pairwise" or not (strategy.judge or strategy.reward):
        return 1 + ceil(log2(strategy.n))
    return 2


def _self_consistency(strategy: Any) -> float:
    """One a batch: of four and then of one or more for a stable vote, of a window of five for ESC."""
    if strategy.stop == "never" or strategy.stop_at == 1:
        return 1
    return ceil(strategy.n / 5) if strategy.stop == "esc" else 1 + max(0, strategy.n - 4)


def _tree_of_thoughts(strategy: Any) -> float:
    levels = ceil(strategy.n / strategy.branch) if strategy.search == "best_first" else strategy.depth
    return 2 * levels + 1


def _monte_carlo_tree_search(strategy: Any) -> float:
    adaptive = strategy.branching == "adaptive"
    at_once = strategy.parallel if adaptive else min(strategy.parallel, strategy.branch)
    return 3 * ceil(strategy.n / at_once) + 1


WAITS: Mapping[str, Callable[[Any], float]] = {
    "agreement_cascade": lambda each: sum(map(stage_waits, each.stages)),
    "any_time": lambda each: ceil(len(each.stages) / each.parallel) * max(map(stage_waits, each.stages)),
    "beam_search": lambda each: 2 * each.shape_of(each.n).depth + 1,
    "best_of_n": _best_of_n,
    "budget_forcing": lambda each: each.n + 2,
    "cascade": lambda each: sum(map(stage_waits, each.stages)),
    "chain_of_thought": lambda each: 1,
    "direct": lambda each: 1,
    "effort": lambda each: 1,
    "formal_check": lambda each: each.n,
    "mixture_of_models": lambda each: 2,
    "monte_carlo_tree_search": _monte_carlo_tree_search,
    "particle_filtering": lambda each: 2 * each.depth + 1,
    "program_of_thought": lambda each: 1 + each.repairs,
    "prompt_bandit": lambda each: ceil(each.n / each.batch) * (2 if each.judge else 1),
    "react": lambda each: each.n,
    "self_consistency": _self_consistency,
    "tree_of_thoughts": _tree_of_thoughts,
    "verify_and_refine": lambda each: 2 * each.n,
}
"""The wait at most, in calls, as the strategies' pages have it."""


def stage_waits(stage: Stage) -> float:
    """Of an arm inside another."""
    return waits(stage.strategy)


def waits(strategy: Any) -> float:
    """What its page promises; one call after another, for a strategy that is not listed."""
    told = WAITS.get(strategy.name)
    return told(strategy) if told else sum(strategy.demand().values())


BEHAVIOURS: Mapping[str, Behaviour] = {
    "wrong": in_turn("6", "7", "8"),
    "unending": writer(unending),
    "endless action": in_turn("Action: calculator[2 + 3]", "Action: calculator[3 + 3]"),
    "mixed": by_chance("5", "Answer: 5", "6", "Answer: 7", "no idea at all"),
}


def waited(strategy: Strategy, behaviour: Behaviour, **wishes: Any) -> float:
    """Seconds that one answer took, over an upstream that takes one for each call."""
    sandbox = Scripted([Ran(stderr="NameError", exit_code=1)])

    async def work() -> None:
        query = ask(**wishes)
        await strategy.answer(
            run_of(Upstream(behaviour), query, sandbox=sandbox, tools={"calculator": Calculator()})
        )

    return virtually(work)[1]


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=list(BEHAVIOURS))
@pytest.mark.parametrize("strategy", EXAMPLES.values(), ids=list(EXAMPLES))
def test_no_strategy_waits_longer_than_its_page_says(strategy: Any, behaviour: Behaviour) -> None:
    """Whatever is answered, with a verifier or without, on its rung of the ladder and on a higher one."""
    higher = replace(strategy, n=9) if hasattr(strategy, "n") else strategy
    for each in (strategy, higher):
        most = waits(each)
        assert waited(each, behaviour, verifier=RIGHT) <= most
        assert each.traits.needs_verifier or waited(each, behaviour) <= most


@pytest.mark.parametrize("name", list(WAITS))
def test_the_wait_is_reached(name: str) -> None:
    """The bound is no loose one: some example of each strategy comes to within a third of it."""
    each = [strategy for strategy in EXAMPLES.values() if strategy.name == name]
    reached = [
        waited(strategy, behaviour, **wishes) / waits(strategy)
        for strategy in each
        for behaviour in BEHAVIOURS.values()
        for wishes in ({"verifier": RIGHT}, {})
    ]
    assert max(reached) > 2 / 3
