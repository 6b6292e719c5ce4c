"""Operating points: the price for a wanted cost or quality, chosen on training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from router.estimate import FloatArray
from router.price import Price
from training.evaluation.decisions import Decisions, Fixed, Outcome
from training.evaluation.frontier import Sweep, matched_shuffle
from training.evaluation.grid import IntArray

NOT_WORSE_BY = 0.005
"""What the guarded default may lose against the best single arm."""
Z95 = 1.6448536269514722
"""One-sided 95 %."""


@dataclass(frozen=True, slots=True)
class Setting:
    """price: None stands for the best single arm whatever is asked, or for what is ``fixed``.
    wanted_cost_usd, wanted_quality: what was asked for; expected_*: what the training rows promised, out of
    fold but for what is fixed. further, share: another price, which that share of the queries is decided
    at."""

    price: Price | None
    expected_cost_usd: float
    expected_quality: float
    wanted_cost_usd: float | None = None
    wanted_quality: float | None = None
    further: Price | None = None
    share: float = 0.0
    fixed: Fixed | None = None

    @property
    def falls_back(self) -> bool:
        """Whether best single answers."""
        return self.price is None and self.fixed is None

    def outcome(self, decisions: Decisions) -> Outcome:
        """What comes of it on average over the draws of who is in the share; not for best single."""
        if self.fixed is not None:
            return self.fixed.met()
        near = decisions.at(self.price or Price())
        return near if self.further is None else near.shared_with(decisions.at(self.further), self.share)


def at_cost(train: Sweep, limit_usd: float) -> Setting:
    """The lowest price whose cost stays within a limit; the highest where none does."""
    within = np.flatnonzero(train.spent_usd <= limit_usd)
    i = int(within[0]) if len(within) else len(train.prices) - 1
    return _at(train, i, wanted_cost_usd=limit_usd)


def guarded(train: Sweep, best: Outcome, group: IntArray) -> Setting:
    """As much as the best single arm costs; that arm itself, where the router is not shown to be at
    most half a point worse (one-sided 95 %, over whole groups)."""
    found = at_cost(train, float(best.cost_usd.mean()))
    i = train.prices.index(found.price or Price())
    gain = train.reward[i] - best.reward
    if gain.mean() - Z95 * standard_error(gain, group) > -NOT_WORSE_BY:
        return found
    return _single(best, wanted_cost_usd=found.wanted_cost_usd)


def at_quality(train: Sweep, best: Outcome, wanted: float, fixed: Sequence[Fixed] = ()) -> Setting:
    """What reaches the wanted quality at the least cost: a price, or what is fixed."""
    found = _by_price(train, best, wanted)
    reached = [each for each in fixed if each.expected_quality >= wanted]
    least = min(reached, key=lambda each: each.expected_cost_usd, default=None)
    if least is None or least.expected_cost_usd >= found.expected_cost_usd:
        return found
    return Setting(None, least.expected_cost_usd, least.expected_quality, None, wanted, fixed=least)


def _by_price(train: Sweep, best: Outcome, wanted: float) -> Setting:
    """The highest price up to which, from the price of the best quality on, every price reaches the
    wanted one: of many prices some reach it by luck, but not all the way there. Where the next one misses
    it, as large a share of the queries is decided there as leaves the wanted quality: the two may be far
    apart, where many queries change their way at one price. The best single arm, where that costs less."""
    i = int(train.quality.argmax())
    missed = np.flatnonzero(train.quality[i:] < wanted)
    i += int(missed[0]) - 1 if len(missed) else len(train.prices) - 1 - i
    if train.quality[i] < wanted:
        return _single(best, wanted_quality=wanted)
    found = _shared(train, i, wanted)
    if found.expected_cost_usd >= best.cost_usd.mean():
        return _single(best, wanted_quality=wanted)
    return found


def _shared(train: Sweep, i: int, wanted: float) -> Setting:
    """Between a price and the next, at a wanted quality that the former reaches."""
    near = _at(train, i, wanted_quality=wanted)
    if i + 1 == len(train.prices):
        return near
    far = _at(train, i + 1)
    if far.expected_quality >= wanted or far.expected_cost_usd >= near.expected_cost_usd:
        return near
    share = (near.expected_quality - wanted) / (near.expected_quality - far.expected_quality)
    cost = (1 - share) * near.expected_cost_usd + share * far.expected_cost_usd
    return replace(near, expected_cost_usd=cost, expected_quality=wanted, further=far.price, share=share)


def largest_lift(train: Sweep) -> Setting:
    """The price of the largest gain over the shuffle of its own choices at the same cost."""
    shuffled = [matched_shuffle(train, cost)[0].mean() for cost in train.spent_usd]
    return _at(train, int((train.quality - shuffled).argmax()))


def standard_error(values: FloatArray, group: IntArray) -> float:
    """Of the mean of values of shape (queries,), queries of one group counted as one."""
    _, member = np.unique(group, return_inverse=True)
    sums = np.bincount(member, values - values.mean())
    return float(np.sqrt((sums**2).sum()) / len(values))


def _at(
    train: Sweep, i: int, *, wanted_cost_usd: float | None = None, wanted_quality: float | None = None
) -> Setting:
    return Setting(
        train.prices[i], float(train.spent_usd[i]), float(train.quality[i]), wanted_cost_usd, wanted_quality
    )


def _single(
    best: Outcome, *, wanted_cost_usd: float | None = None, wanted_quality: float | None = None
) -> Setting:
    return Setting(
        None, float(best.cost_usd.mean()), float(best.reward.mean()), wanted_cost_usd, wanted_quality
    )
