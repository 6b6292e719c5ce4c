"""Stopping: after how many draws each rule ends a vote over recorded answers, and how often it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from router.estimate import FloatArray
from router.stopping import Draws, StoppingRule, next_batch
from router.stopping.adaptive_consistency import AdaptiveConsistency
from router.stopping.esc import Esc
from training.evaluation.crossfit import Part
from training.evaluation.grid import IntArray
from training.fit.stopping import PRICES, Gains, States, fit_gains, held_out_gains, stops, worth
from training.sampling.vote_paths import Paths

ADAPTIVE = AdaptiveConsistency(0.95)
"""What ours must beat on training questions, with the same filter, and is where it does not."""
ESC = Esc(5)
STABILITIES = (0.8, 0.85, 0.9, 0.95, 0.99)
WINDOWS = (2, 3, 4, 5, 8)
_HALVINGS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Stopped:
    """What a rule did: drawn and right, shape (rows,), means over orders and passes."""

    drawn: FloatArray
    right: FloatArray


@dataclass(frozen=True, slots=True)
class Used:
    """The rules of one part at one price: by arm, for the rows that it tested."""

    price: float
    rows: IntArray
    rules: Sequence[StoppingRule]


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """Our rule on the tested rows: at its operating points' prices, and along ``PRICES`` without regard to
    promotion. promoted: price -> the share of parts in which it earned its place; in the others it is
    Adaptive-Consistency. fewer: the operating points whose price the training rows chose."""

    rows: IntArray
    points: Mapping[float, Stopped]
    fewer: Mapping[float, Stopped]
    frontier: Sequence[tuple[float, Stopped]]
    promoted: Mapping[float, float]
    used: Sequence[Used]


def drawn_by(rule: StoppingRule, answers: Sequence[str | None], most: int) -> int:
    """Draws that ``SelfConsistency(n=most)`` makes of these answers under a rule."""
    made = 0
    while batch := next_batch(rule, Draws(answers[:made], most - made)):
        made += batch
    return made


def stopped(rule: StoppingRule, paths: Paths, most: int | None = None) -> Stopped:
    """What a rule does on all series, with ``most`` draws at most (default: all)."""
    return _mean(paths, _drawn(rule, paths, paths.draws if most is None else most))


def rivals() -> dict[str, list[tuple[float, StoppingRule]]]:
    """The rules to compare with, along their own settings."""
    return {
        "adaptive_consistency": [(at, AdaptiveConsistency(at)) for at in STABILITIES],
        "esc": [(float(window), Esc(window)) for window in WINDOWS],
    }


@dataclass(frozen=True, slots=True)
class Wanted:
    """Operating points. prices: of a draw, in quality units. fewer: how many times fewer draws than the
    largest vote makes; the price is then the lowest that keeps to it on training rows, out of fold. How much
    is drawn is told well by some hundred rows; how often the vote is right is not, so no price is chosen by
    it: it would be dear where the training rows are lucky, and then the tested rows are not."""

    prices: Sequence[float]
    fewer: Sequence[float] = ()

    def of(self, draws: int) -> Wanted:
        """Those that votes of so many draws can have: one draw at least is made."""
        return Wanted(self.prices, [times for times in self.fewer if times <= draws])


def learn_stopping(
    paths: Paths, states: States, parts: Sequence[Part], arms: int, wanted: Wanted, seed: int
) -> Learnt:
    """Fit, choose prices and decide on promotion on each part's training rows; stop on its tested rows."""
    baseline = _drawn(ADAPTIVE, paths, paths.draws)
    pile = _Pile(np.zeros(len(states), np.int64))
    for part in parts:
        train, test, tested = states.take(part.train), states.take(part.test), paths.take(part.test)
        fitted = fit_gains(train, arms)
        gains = fitted.predict(test)
        for price in PRICES:
            pile.add(("frontier", price), part.test, _mean(tested, stops(gains, test.decided, price)))
        unseen = held_out_gains(train, arms, seed)
        for times in wanted.fewer:
            drawn = stops(gains, test.decided, price_of(train, unseen, times))
            pile.add(("fewer", times), part.test, _mean(tested, drawn))
        for price, promoted in earned(train, unseen, baseline[part.train], wanted.prices).items():
            drawn = stops(gains, test.decided, price) if promoted else baseline[part.test]
            pile.add(("point", price), part.test, _mean(tested, drawn))
            pile.use(Used(price, part.test, _served(fitted, price, arms, promoted)), promoted)
        pile.seen[part.test] += 1
    return pile.learnt()


def price_of(train: States, gains: FloatArray, times: float) -> float:
    """The lowest price at which so many times fewer draws are made than all, by bisection of its logarithm;
    gains: held out."""
    most = train.right.shape[2] / times
    low, high = np.log(PRICES[0]) - 3, np.log(PRICES[-1]) + 3
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = stops(gains, train.decided, float(np.exp(middle))).mean() <= most
        low, high = (low, middle) if enough else (middle, high)
    return float(np.exp(high))


def earned(
    train: States, gains: FloatArray, baseline: IntArray, prices: Sequence[float]
) -> dict[float, bool]:
    """Whether ours is worth more than Adaptive-Consistency on the training rows at each price. gains: held
    out. baseline: Adaptive-Consistency's draws, shape (series, orders)."""
    right = np.take_along_axis(train.right, (baseline - 1)[:, :, None], axis=2)
    quality, drawn = float(right.mean()), float(baseline.mean())
    return {price: worth(train, gains, price) > quality - price * drawn for price in prices}


def learnt_rules(
    paths: Paths, states: States, arms: int, wanted: Wanted, seed: int
) -> dict[str, Sequence[StoppingRule]]:
    """What all rows teach, to be served: operating point -> the rule of each arm."""
    unseen = held_out_gains(states, arms, seed)
    places = earned(states, unseen, _drawn(ADAPTIVE, paths, paths.draws), wanted.prices)
    fitted = fit_gains(states, arms)
    at = {at_price(price): _served(fitted, price, arms, place) for price, place in places.items()}
    chosen = {times: price_of(states, unseen, times) for times in wanted.fewer}
    return at | {fewer(times): _served(fitted, price, arms, True) for times, price in chosen.items()}


def at_price(price: float) -> str:
    """Ours at a price of a draw, as the report calls it."""
    return f"ours_at_{price:g}"


def fewer(times: float) -> str:
    """Ours at so many times fewer draws, as the report calls it."""
    return f"ours_{times:g}_times_fewer"


def _served(fitted: Gains, price: float, arms: int, promoted: bool) -> Sequence[StoppingRule]:
    """The rule of each arm: Adaptive-Consistency where ours did not earn its place."""
    return [fitted.rule(arm, price) if promoted else ADAPTIVE for arm in range(arms)]


def _drawn(rule: StoppingRule, paths: Paths, most: int) -> IntArray:
    """Shape (series, orders)."""
    return np.array([[drawn_by(rule, each, most) for each in orders] for orders in paths.answers])


def _mean(paths: Paths, drawn: IntArray) -> Stopped:
    return Stopped(drawn.mean(axis=1), paths.right_at(drawn).mean(axis=1))


@dataclass(slots=True, eq=False)
class _Pile:
    """Sums over parts, by kind and price. seen, shape (series,): in how many parts a series was tested."""

    seen: IntArray
    sums: dict[tuple[str, float], Stopped] = field(default_factory=dict)
    used: list[Used] = field(default_factory=list)
    promotions: dict[float, list[bool]] = field(default_factory=dict)

    def add(self, key: tuple[str, float], rows: IntArray, found: Stopped) -> None:
        nothing = np.zeros(len(self.seen))
        total = self.sums.setdefault(key, Stopped(nothing, nothing.copy()))
        total.drawn[rows] += found.drawn
        total.right[rows] += found.right

    def use(self, used: Used, promoted: bool) -> None:
        self.used.append(used)
        self.promotions.setdefault(used.price, []).append(promoted)

    def learnt(self) -> Learnt:
        rows = np.flatnonzero(self.seen)
        mean = {
            key: Stopped(total.drawn[rows] / self.seen[rows], total.right[rows] / self.seen[rows])
            for key, total in self.sums.items()
        }
        return Learnt(
            rows,
            {price: mean["point", price] for price in self.promotions},
            {times: found for (kind, times), found in mean.items() if kind == "fewer"},
            [(price, mean["frontier", price]) for price in PRICES],
            {price: float(np.mean(found)) for price, found in self.promotions.items()},
            self.used,
        )
