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
from router.model_card import ModelCard
from router.price import Price
from router.prospect import Prospect
from router.query import Query
from router.replay import Recording
from router.run import net_worth
from router.strategies.cascade import Cascade, Stage
from router.strategies.direct import Direct
from router.tariff import Tariff
from training.evaluation.crossfit import Part
from training.evaluation.decisions import Decisions, Routed
from training.evaluation.frontier import best_single
from training.evaluation.grid import Grid, IntArray
from training.evaluation.sheet import Sheet
from training.evaluation.walk import Walk, fitted_walk, replayed_walk
from training.fit.consensus import fit_consensus
from training.simulate import Simulation

MOST_ARMS = 6
"""Of larger pools the best arm and the best of those that cost less are asked."""
LOW, HIGH, STEPS = 0.01, 3.0, 12
"""Prices for which an order is chosen: those at which the best single arm's mean cost is worth this much
quality."""

Order = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which order is asked at which price: the one of the greatest mean utility on training queries.

    rates, shape (steps,): rising prices. orders: those that any of them chose. numbers, shape (steps,): of
    the order that is asked from each price up, the first one also below. unseen, shape (training
    queries, steps): likewise, chosen without the query's inner fold, so that what the training queries
    promise is not what made them be chosen.
    """

    rates: FloatArray
    orders: tuple[Order, ...]
    numbers: IntArray
    unseen: IntArray

    @classmethod
    def of(cls, orders: Sequence[Order], walks: Sequence[Walk], inner: IntArray, rates: FloatArray) -> Choice:
        """The choice among orders by their walks."""
        prices = [Price(rate) for rate in rates.tolist()]
        utility = np.array([[_utility(walk, price) for price in prices] for walk in walks])
        best = utility.mean(axis=2).argmax(axis=0)
        unseen = np.zeros((len(inner), len(rates)), np.int64)
        for fold in np.unique(inner):
            unseen[inner == fold] = utility[:, :, inner != fold].mean(axis=2).argmax(axis=0)
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
    one that is asked at the lowest prices. order_at: the one that is asked at a price. sure, shape (tested
    queries,): P(its first answer is right), once that was seen."""

    order: Order = ()
    order_at: Callable[[Price], Order] = lambda _: ()
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
    the arms; without it, one is learnt.
    """
    order = given or cheap_first(sheet, part.train)
    fit = fit_consensus(
        sheet.heard.take(part.train), out_of_fold.quality, part.inner, [order], Agreement(), seed
    )
    candidates = [given] if given else _orders(order)
    walks = [fitted_walk(fit, sheet, part.train, out_of_fold.cost_usd, each) for each in candidates]
    usual_usd = float(grid.cost_usd[part.train, best_single(grid, part.train)].mean())
    choice = Choice.of(candidates, walks, part.inner, np.geomspace(LOW, HIGH, STEPS) / (usual_usd or 1.0))
    promised = {number: walks[candidates.index(each)] for number, each in enumerate(choice.orders)}
    replayed = {
        number: replay(sheet, part.test, test, fit.consensus, choice.orders[number])
        for number in np.unique(choice.numbers).tolist()
    }
    usual = int(choice.numbers[0])
    return AnswerAware(
        part,
        _decisions(choice, promised, choice.unseen),
        _decisions(choice, replayed, np.tile(choice.numbers, (len(part.test), 1))),
        gap=_gap(grid, part, choice, replayed),
        order=choice.orders[usual],
        order_at=choice.order_at,
        sure=replayed[usual].sure[:, 0],
    )


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

    return Simulation(Recording.of(sheet.draws(rows, order)), consensus, price or Price(), prospects)


def cascade_of(names: Sequence[str]) -> Arm:
    """The served strategy over these arms, each asked once; of one arm, that arm."""
    cards = tuple(ModelCard(name, Tariff(0.0, 0.0), 8_192, 1 << 20) for name in names)
    stages = tuple(Stage(name, Direct(name)) for name in names)
    strategy = Cascade(stages, accept_at=1.0) if len(stages) > 1 else stages[0].strategy
    return Arm(strategy.family, strategy, cards, strategy.family)


def _orders(order: Order) -> list[Order]:
    """Every selection of the arms, in their order."""
    return [some for size in range(1, len(order) + 1) for some in itertools.combinations(order, size)]


def _utility(walk: Walk, price: Price) -> FloatArray:
    """Of each query, where the cascade stops at a price."""
    at = (np.arange(len(walk.reward)), walk.stage(price))
    return net_worth(walk.reward[at], walk.cost_usd[at], price)


def _decisions(choice: Choice, walks: Mapping[int, Walk], numbers: IntArray) -> Decisions:
    """Ways: each order's stages, one order after another. walks: by the order's number. numbers, shape
    (queries, steps): of each query's order by price."""
    sizes = [walk.reward.shape[1] for walk in walks.values()]
    starts = dict(zip(walks, itertools.accumulate(sizes, initial=0), strict=False))

    def choose(price: Price) -> IntArray:
        mine = numbers[:, choice.step(price)]
        way = np.zeros(len(mine), np.int64)
        for number in np.unique(mine).tolist():
            here = mine == number
            way[here] = starts[number] + walks[number].stage(price)[here]
        return way

    return Decisions(
        np.hstack([walk.reward for walk in walks.values()]),
        np.hstack([walk.cost_usd for walk in walks.values()]),
        choose,
    )


def _gap(grid: Grid, part: Part, choice: Choice, walks: Mapping[int, Walk]) -> FloatArray | None:
    """Of two arms, once the weak one has answered: how much likelier the best answer would be right with
    the strong one's. None where the weak one is never asked first."""
    weak_first = tuple(grid.reward[part.train].mean(axis=0).argsort(kind="stable").tolist())
    found = [walk for number, walk in walks.items() if choice.orders[number] == weak_first]
    return found[0].gain[:, 0, 1] if len(grid.arms) == 2 and found else None
