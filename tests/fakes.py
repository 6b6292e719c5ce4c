"""Fakes that the tests of the decision share: an upstream that does as it is told, menus, runs, traces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np

from router.allocator import Allocator
from router.arm import Arm
from router.backend import DEAF, Listener
from router.budget import UNLIMITED, Budget
from router.bundle import Bundle
from router.call import Call, Completion, Delta
from router.confidence.agreement import Agreement
from router.draw import uniform
from router.estimate import Estimate
from router.features import Extractor, FeatureRow
from router.menu import Menu
from router.metering import Meter, Metered
from router.model_card import ModelCard
from router.policies import Choice, Policy
from router.policies.greedy import Greedy
from router.predictors import FeatureRows, PredictorState
from router.price import Price
from router.query import Query, Wishes
from router.run import Run
from router.stores import Reserve, Settle
from router.strategies import Strategy
from router.strategies.best_of_n import BestOfN
from router.strategies.cascade import Cascade, Stage
from router.strategies.chain_of_thought import ChainOfThought
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency
from router.tariff import Tariff
from router.trace import CallRecord, Step, Trace
from router.usage import Usage
from router.verifiers import make_verifier
from training.virtual_time import VirtualTimeLoop

T = TypeVar("T")

SMALL = ModelCard("small", Tariff(0.1, 0.4), 64, 4096, tools=True, logprobs=True, response_format=True)
LARGE = ModelCard("large", Tariff(1.0, 4.0), 128, 8192)
CARDS: Mapping[str, ModelCard] = {card.name: card for card in (SMALL, LARGE)}
QUESTION = "What is 2 + 3? Answer with the number only."
WINDOW = "month:2023-11"
ALLOWANCE = 100
RIGHT = {"type": "exact", "reference": "5"}


def ask(text: str = QUESTION, **more: Any) -> Query:
    """A query of one user message; verifier: shorthand for that wish."""
    if "verifier" in more:
        more["wishes"] = Wishes(verifier=more.pop("verifier"))
    return Query([{"role": "user", "content": text}], **more)


@dataclass(frozen=True, slots=True)
class Said:
    """What the fake upstream does with one call. streamed: running totals of completion tokens that it
    tells on the way, evenly spread over its latency."""

    text: str = "5"
    latency_s: float = 1.0
    error: Exception | None = None
    prompt_tokens: int = 10
    completion_tokens: int = 3
    streamed: Sequence[int] = ()


Behaviour = Callable[[Call, int], Said]


def always(said: Said) -> Behaviour:
    """The same for every call."""
    return lambda call, number: said


def in_turn(*texts: str) -> Behaviour:
    """The texts one after the other, over and over."""
    return lambda call, number: Said(texts[number % len(texts)])


def by_chance(*texts: str, seed: str = "0") -> Behaviour:
    """One of the texts for each call, drawn by its number."""
    return lambda call, number: Said(texts[int(uniform(seed, str(number)) * len(texts))])


@dataclass(slots=True)
class Upstream:
    """A backend that does as it is told and keeps books. seen: every call; billed: the usage that it
    charged, in calls, prompt and completion tokens; in_flight: calls that have not ended."""

    name: ClassVar[str] = "upstream"
    behaviour: Behaviour = field(default_factory=lambda: always(Said()))
    seen: list[Call] = field(default_factory=list)
    billed: list[Usage] = field(default_factory=list)
    delivered: int = 0
    in_flight: int = 0

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Do as told."""
        said = self.behaviour(call, len(self.seen))
        self.seen.append(call)
        self.in_flight += 1
        told = -1
        try:
            for tokens in said.streamed:
                await asyncio.sleep(said.latency_s / (len(said.streamed) + 1))
                listener.hear(Delta({}, prompt_tokens=said.prompt_tokens, completion_tokens=tokens))
                told = tokens
            await asyncio.sleep(said.latency_s / (len(said.streamed) + 1))
        except asyncio.CancelledError:
            if told >= 0:
                self.billed.append(Usage(1, said.prompt_tokens, told))
            raise
        finally:
            self.in_flight -= 1
        if said.error is not None:
            if told >= 0 and getattr(said.error, "billed", False):
                self.billed.append(Usage(1, said.prompt_tokens, told))
            raise said.error
        self.billed.append(Usage(1, said.prompt_tokens, said.completion_tokens))
        self.delivered += 1
        return Completion(
            {"role": "assistant", "content": said.text}, "stop", said.prompt_tokens, said.completion_tokens
        )

    async def aclose(self) -> None:
        """Nothing is held."""


def run_of(
    upstream: Upstream,
    query: Query | None = None,
    *,
    budget: Budget = UNLIMITED,
    cards: Mapping[str, ModelCard] = CARDS,
    **more: Any,
) -> Run:
    """A run over the upstream, metered, with the query's own verifier. Make it inside the event loop."""
    query = query or ask()
    meter = Meter(budget, asyncio.get_running_loop().time, asyncio.get_running_loop().time())
    backends = {card.name: Metered(upstream, card, meter) for card in cards.values()}
    verifier = make_verifier(query.wishes.verifier) if query.wishes.verifier else None
    return Run(query, meter, backends, cards, Agreement(), verifier, **more)


def virtually(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, float]:
    """Run a coroutine in virtual time: its result, and the virtual seconds that it took."""
    loop = VirtualTimeLoop()
    try:
        result = loop.run_until_complete(work())
        return result, loop.time()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def arm_of(strategy: Strategy, budget: Budget = UNLIMITED) -> Arm:
    """The arm of a strategy, under the id that a configuration would give it."""
    rung = "" if strategy.compute == 1 else f"@{strategy.compute:g}"
    cards = tuple(CARDS[name] for name in strategy.demand())
    return Arm(strategy.family + rung, strategy, cards, strategy.family, budget)


def menu_of(*strategies: Strategy) -> Menu:
    """A menu of these strategies."""
    return Menu(tuple(arm_of(strategy) for strategy in strategies))


def usual_menu() -> Menu:
    """Six arms: both models directly, step by step, a vote, checked draws, and a cascade."""
    small, large = Direct("small"), Direct("large")
    stages = Stage("small/direct", small), Stage("large/direct", large)
    return menu_of(
        small,
        large,
        ChainOfThought("small"),
        SelfConsistency("small", 4),
        BestOfN("small", 4),
        Cascade(stages),
    )


def estimate_of(
    quality: Sequence[float],
    cost_usd: Sequence[float] | None = None,
    latency_s: Sequence[float] | None = None,
    quality_sd: float = 0.1,
) -> Estimate:
    """An estimate whose quantiles are twice its means."""
    q = np.array(quality, dtype=float)
    cost = np.zeros(len(q)) if cost_usd is None else np.array(cost_usd, dtype=float)
    latency = np.ones(len(q)) if latency_s is None else np.array(latency_s, dtype=float)
    return Estimate(q, np.full(len(q), quality_sd), cost, 2 * cost, latency, 2 * latency)


def choice_of(estimate: Estimate, menu: Menu, feasible: Sequence[bool] | None = None, **more: Any) -> Choice:
    """A choice over a menu; everything is feasible unless told."""
    mask = np.ones(len(menu), bool) if feasible is None else np.array(feasible, bool)
    return Choice(menu, estimate, mask, more.pop("price", Price()), **more)


@dataclass(frozen=True, eq=False)
class Oracle:
    """A difficulty predictor that says the same of every query, or fails."""

    name: ClassVar[str] = "oracle"
    summary: ClassVar[str] = "for tests"
    says: Estimate | Exception
    asked: list[int] = field(default_factory=list)
    """How many queries each time."""

    def estimate(self, row: FeatureRow) -> Estimate:
        """What it was told to say."""
        self.asked.append(1)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def estimates(self, rows: FeatureRows) -> Estimate:
        """The same for each."""
        self.asked.append(len(rows.dense))
        if isinstance(self.says, Exception):
            raise self.says
        return Estimate(
            *(np.tile(getattr(self.says, name), (len(rows.dense), 1)) for name in Estimate.__slots__)
        )

    def state(self) -> PredictorState:
        """It has learnt nothing."""
        return PredictorState({}, {}, {})

    @classmethod
    def restore(cls, state: PredictorState, menu: Menu) -> Oracle:
        """It cannot be restored."""
        raise NotImplementedError


def bundle_of(says: Estimate | Exception, version: str = "v1") -> Bundle:
    """A bundle that predicts what it is told."""
    return Bundle(Extractor.of(("length",)), Oracle(says), Agreement(), version)


def allocator_of(
    menu: Menu, says: Estimate | Exception, policies: Mapping[str, Policy] | None = None, **more: Any
) -> Allocator:
    """An allocator over a menu; greedy, and free of charge, unless told."""
    return Allocator(
        menu,
        policies or {"auto": Greedy()},
        more.pop("auto", "auto"),
        more.pop("price", Price()),
        bundle_of(says),
        CARDS,
        more.pop("default", menu.arms[0]),
        "configuration",
    )


def trace_of(trace_id: str, cost_nano: int = 0, **more: Any) -> Trace:
    """A trace with a value in every field."""
    fields: dict[str, Any] = {
        "id": trace_id,
        "created_at": 1_700_000_000.125,
        "account": "team-a",
        "window": "month:2023-11",
        "conversation": "c1",
        "unit": "u1",
        "arm": "small/direct",
        "status": "complete",
        "usage": Usage(2, 30, 7, cost_nano, 1.5),
        "latency_s": 0.75,
        "plan": {"arm": "small/direct", "policy": "auto", "predictor": "v1", "propensity": 0.25},
        "prompt": '{"messages": []}',
        "answer": "fünf\n5",
        "error": "none to speak of",
        "wishes": {"stakes": 2.0},
        "steps": (Step("stop", "a candidate passed", 0.5, {"drawn": 2.0}),),
        "calls": (
            CallRecord("small", "candidate", "direct", "ok", Usage(1, 20, 5, 3, 0.5), 0.1, "5", "5"),
            CallRecord(
                "large", "judge", "judge", "cancelled", Usage(1, 10, 2, 4, 1.0), 0.2, None, None, "left", True
            ),
        ),
    }
    return Trace(**{**fields, **more})


def reserve(trace_id: str, amount: int, allowance: int | None = ALLOWANCE, **more: Any) -> Reserve:
    """A reservation of team-a's."""
    fields = {"account": "team-a", "window": WINDOW, **more}
    plan = {"arm": "small/direct", "policy": "auto", "predictor": "v1", "propensity": 0.5}
    return Reserve(
        trace_id, fields["account"], fields["window"], amount, allowance, 1_700_000_000.0, plan, "c1", "u1"
    )


def settle(trace_id: str, cost: int = 0, **more: Any) -> Settle:
    """A settlement of team-a's."""
    return Settle(trace_of(trace_id, cost, **more))
