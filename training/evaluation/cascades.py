"""Cascades: cheap arms are asked first, and what they answer decides whether dearer ones are.

What to learn (the consensus, the order, the price) is learnt on training queries; what comes of it on
others is replayed by the strategy that serves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from router.arm import Arm
from router.confidence.agreement import Agreement
from router.confidence.consensus import Consensus
from router.estimate import Estimate, FloatArray
from router.price import Price
from router.prospect import Prospect
from router.query import Query
from router.replay import Recording
from router.run import net_worth
from router.strategies.cascade import Cascade
from training.evaluation.crossfit import Part
from training.evaluation.decisions import Decisions, Routed
from training.evaluation.frontier import best_single
from training.evaluation.grid import Grid, IntArray
from training.evaluation.outlook import Ahead, fit_outlook
from training.evaluation.rules import fixed_rules
from training.evaluation.sheet import Sheet
from training.evaluation.staged import Order, staged
from training.evaluation.walk import Walk, fitted_walk, replayed_walk
from training.fit.consensus import fit_consensus
from training.simulate import Simulation

MOST_ARMS = 6
"""Of larger pools the best arm and the best of those that cost less are asked."""
LOW, HIGH, STEPS = 0.01, 3.0, 12
"""Prices for which an order is chosen: those at which the best single arm's mean cost is worth this much
quality."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which order is asked at which price: the one of the greatest mean utility on training queries.

    rates, shape (steps,): rising prices. orders: those that any of them chose. numbers, shape (steps,): of
    the order that is asked from each price up, the first one also below. unseen, shape (training
    queries, steps): likewise, chosen without the query's fold, so that what the training queries
    promise is not what made them be chosen.
    """

    rates: FloatArray
    orders: tuple[Order, ...]
    numbers: IntArray
    unseen: IntArray

    @classmethod
    def of(cls, orders: Sequence[Order], walks: Sequence[Walk], held: IntArray, rates: FloatArray) -> Choice:
        """The choice among orders by their walks."""
        prices = [Price(rate) for rate in rates.tolist()]
        utility = np.array([[_utility(walk, price) for price in prices] for walk in walks])
        best = utility.mean(axis=2).argmax(axis=0)
        unseen = np.zeros((len(held), len(rates)), np.int64)
        for fold in np.unique(held):
            unseen[held == fold] = utility[:, :, held != fold].mean(axis=2).argmax(axis=0)
        kept, places = np.unique(np.vstack((best, unseen)), return_inverse=True)
        places = places.reshape(-1, len(rates))
        return cls(rates, tuple(orders[i] for i in kept), places[0], places[1:])

    def step(self, price: Price) -> int:
        """The place of a price among ``rates``."""
        return max(int(np.searchsorted(self.rates, price.per_usd, side="right")) - 1, 0)

    def order_at(self, price: Price) -> Order:
        """The order that is asked at a price."""
        return self.orders[self.numbers[self.step(price)]]


@dataclass(frozen=True, slots=True, eq=False)
class AnswerAware(Routed):
    """A cascade on one part; its ways are the stages of its orders, one order after another. order: the
    one that is asked at the lowest prices. order_at: the one that is asked at a price. straight_at: the share
    of tested queries that go straight to one arm there. sure, shape (tested queries,): P(its first answer is
    right), once that was seen."""

    order: Order = ()
    order_at: Callable[[Price], Order] = lambda _: ()
    straight_at: Callable[[Price], float] = lambda _: 0.0
    sure: FloatArray = field(default_factory=lambda: np.zeros(0))


def answer_aware(
    grid: Grid,
    sheet: Sheet,
    part: Part,
    out_of_fold: Estimate,
    test: Estimate,
    *,
    seed: int = 0,
    given: Order | None = None,
) -> AnswerAware:
    """Learn on a part's training queries, replay on its tested ones.

    out_of_fold, test: what the difficulty predictor says of them, as for ``routed``. given: the order of
    the arms; without it, one is learnt, and rules of agreement may stand in for it.
    """
    order = given or cheap_first(sheet, part.train)
    fit = fit_consensus(
        sheet.heard.take(part.train), out_of_fold.quality, part.fine, [order], Agreement(), seed
    )
    candidates = [given] if given else _orders(order)
    walks = [fitted_walk(fit, sheet, part.train, out_of_fold.cost_usd, each) for each in candidates]
    usual_usd = float(grid.cost_usd[part.train, best_single(grid, part.train)].mean())
    choice = Choice.of(candidates, walks, part.fine, np.geomspace(LOW, HIGH, STEPS) / (usual_usd or 1.0))
    replayed = {
        number: replay(sheet, part.test, test, fit.consensus, choice.orders[number])
        for number in np.unique(choice.numbers).tolist()
    }
    known = _Known(
        choice,
        part.fine,
        {number: walks[candidates.index(each)] for number, each in enumerate(choice.orders)},
        replayed,
        None if given else _ahead(grid, part.train, out_of_fold),
        None if given else _ahead(grid, part.test, test),
    )
    usual = int(choice.numbers[0])
    return AnswerAware(
        part,
        known.on_train(),
        known.on_test(),
        gap=_gap(grid, part, choice, replayed),
        fixed=() if given else fixed_rules(sheet, part.train, part.test, order),
        order=choice.orders[usual],
        order_at=choice.order_at,
        straight_at=known.straight_share,
        sure=replayed[usual].sure[:, 0],
    )


def _ahead(grid: Grid, rows: IntArray, estimate: Estimate) -> Ahead:
    return Ahead(estimate, grid.reward[rows], grid.cost_usd[rows])


def cheap_first(sheet: Sheet, rows: IntArray) -> Order:
    """The arms that may be asked, by their mean cost."""
    quality, cost = sheet.heard.right[rows].mean(axis=0), sheet.cost_usd[rows].mean(axis=0)
    best = int(quality.argmax())
    cheaper = [j for j in np.argsort(-quality) if cost[j] < cost[best]][: MOST_ARMS - 1]
    dearer = [j for j in np.argsort(cost) if cost[j] >= cost[best] and j != best]
    chosen = [best, *cheaper, *dearer[: MOST_ARMS - 1 - len(cheaper)]]
    return tuple(int(j) for j in sorted(chosen, key=lambda j: cost[j]))


def replay(sheet: Sheet, rows: IntArray, estimate: Estimate, consensus: Consensus, order: Order) -> Walk:
    """The served cascade over the recorded answers of some rows, with what is predicted of each
    (``estimate``, a row each), at a price of 0, which tells of every other."""
    names = [sheet.arms[j] for j in order]
    arm = cascade_of(names)
    simulation = simulation_of(sheet, rows, estimate, consensus, order)
    return replayed_walk(simulation.replay([(sheet.queries[i], arm) for i in rows]), names)


def simulation_of(
    sheet: Sheet,
    rows: IntArray,
    estimate: Estimate,
    consensus: Consensus,
    order: Order,
    price: Price | None = None,
) -> Simulation:
    """What replays of these rows and arms know; see ``replay``. By default at a price of 0."""
    place = {sheet.queries[i].id: number for number, i in enumerate(rows)}

    def prospects(query: Query) -> dict[str, Prospect]:
        quality, cost = estimate.quality[place[query.id]], estimate.cost_usd[place[query.id]]
        return {sheet.arms[j]: Prospect(float(quality[j]), float(cost[j])) for j in order}

    return Simulation(
        Recording.of(sheet.draws(rows, order)), consensus, price or Price(), prospects, sheet.likeness
    )


def cascade_of(names: Sequence[str]) -> Arm:
    """The served strategy over these arms, each asked once; of one arm, that arm."""
    return staged(names, lambda stages: Cascade(stages, accept_at=1.0))


def _orders(order: Order) -> list[Order]:
    """Every selection of two or more of the arms, in their order."""
    return [some for size in range(2, len(order) + 1) for some in itertools.combinations(order, size)]


def _utility(walk: Walk, price: Price) -> FloatArray:
    """Of each query, where the cascade stops at a price."""
    at = (np.arange(len(walk.reward)), walk.stage(price))
    return net_worth(walk.reward[at], walk.cost_usd[at], price)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What a part's training queries taught, and what comes of it on either side.

    promised, replayed: the walks of each order's number, on training and on tested queries. learnt, met: both
    sides before any answer; without them every query goes along the cascade.
    """

    choice: Choice
    held: IntArray
    promised: Mapping[int, Walk]
    replayed: Mapping[int, Walk]
    learnt: Ahead | None
    met: Ahead | None

    def on_train(self) -> Decisions:
        """By what was learnt without a query's fold."""
        return _decisions(self.promised, self.learnt, self._unseen_way)

    def on_test(self) -> Decisions:
        """By what all training queries taught."""
        return _decisions(self.replayed, self.met, self._tested_way)

    def straight_share(self, price: Price) -> float:
        """Of the tested queries, those that no cascade is asked for."""
        cascades = sum(walk.reward.shape[1] for walk in self.replayed.values())
        return float((self.on_test().choose(price) >= cascades).mean())

    def _unseen_way(self, price: Price) -> IntArray:
        numbers = self.choice.unseen[:, self.choice.step(price)]
        way = _along(self.promised, numbers, price)
        if self.learnt is None:
            return way
        inputs, straight = self.learnt.inputs(price), self.learnt.straight(price)
        for fold in np.unique(self.held):
            here, others = np.flatnonzero(self.held == fold), np.flatnonzero(self.held != fold)
            gain = fit_outlook(self.learnt, self.promised[int(numbers[here[0]])], price, others)
            alone = here[gain(inputs[here]) <= 0]
            way[alone] = straight[alone] - len(self.learnt.reward.T)
        return way

    def _tested_way(self, price: Price) -> IntArray:
        number = int(self.choice.numbers[self.choice.step(price)])
        way = _along(self.replayed, np.full(len(next(iter(self.replayed.values())).sure), number), price)
        if self.learnt is None or self.met is None:
            return way
        everyone = np.arange(len(self.held))
        gain = fit_outlook(self.learnt, self.promised[number], price, everyone)(self.met.inputs(price))
        return np.where(gain > 0, way, self.met.straight(price) - len(self.met.reward.T))


def _along(walks: Mapping[int, Walk], numbers: IntArray, price: Price) -> IntArray:
    """Where each query's order, by its number, stops at a price: the stages are counted one order after
    another."""
    sizes = [walk.reward.shape[1] for walk in walks.values()]
    starts = dict(zip(walks, itertools.accumulate(sizes, initial=0), strict=False))
    way = np.zeros(len(numbers), np.int64)
    for number in np.unique(numbers).tolist():
        here = numbers == number
        way[here] = starts[number] + walks[number].stage(price)[here]
    return way


def _decisions(
    walks: Mapping[int, Walk], alone: Ahead | None, choose: Callable[[Price], IntArray]
) -> Decisions:
    """Ways: each order's stages, one order after another; behind them the arms alone, so that a way counted
    from the end is one of these."""
    rewards, costs = [w.reward for w in walks.values()], [w.cost_usd for w in walks.values()]
    if alone is not None:
        rewards, costs = [*rewards, alone.reward], [*costs, alone.cost_usd]
    reward, cost_usd = np.hstack(rewards), np.hstack(costs)
    return Decisions(reward, cost_usd, lambda price: choose(price) % reward.shape[1])


def _gap(grid: Grid, part: Part, choice: Choice, walks: Mapping[int, Walk]) -> FloatArray | None:
    """Of two arms, once the weak one has answered: how much likelier the best answer would be right with
    the strong one's. None where the weak one is never asked first."""
    weak_first = tuple(grid.reward[part.train].mean(axis=0).argsort(kind="stable").tolist())
    found = [walk for number, walk in walks.items() if choice.orders[number] == weak_first]
    return found[0].gain[:, 0, 1] if len(grid.arms) == 2 and found else None
