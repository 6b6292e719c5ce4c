"""Constant: the same estimate for every query, and the prior of a service that has learnt nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from router.arm import Arm
from router.errors import BundleError
from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.menu import Menu
from router.model_card import ModelCard
from router.predictors import FeatureRows, PredictorState, positions
from router.tariff import to_usd

TYPICAL_PROMPT_TOKENS = 200
TYPICAL_COMPLETION_TOKENS = 200
TYPICAL_TOKENS_PER_S = 50.0
PRIOR_QUALITY_SD = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """One row per arm, whatever is asked: the bar that every learnt predictor must pass."""

    name: ClassVar[str] = "constant"
    summary: ClassVar[str] = "each arm's average; with no traces yet, a documented prior"

    arms: tuple[str, ...]
    constants: Estimate

    def estimate(self, row: FeatureRow) -> Estimate:
        """The constants; the row is not looked at."""
        return self.constants

    def estimates(self, rows: FeatureRows) -> Estimate:
        """The constants, as often as there are queries."""
        count = len(rows.dense)
        return Estimate(
            **{
                item.name: np.tile(getattr(self.constants, item.name), (count, 1))
                for item in fields(Estimate)
            }
        )

    def state(self) -> PredictorState:
        """The constants as arrays."""
        arrays = {item.name: getattr(self.constants, item.name) for item in fields(Estimate)}
        return PredictorState(arrays, {}, {"arms": list(self.arms)})

    @classmethod
    def restore(cls, state: PredictorState, menu: Menu) -> Constant:
        """See the contract."""
        picked = positions(state.values["arms"], menu)
        missing = [item.name for item in fields(Estimate) if item.name not in state.arrays]
        if missing:
            raise BundleError(f"The bundle lacks the arrays {', '.join(missing)}.")
        arrays = {item.name: state.arrays[item.name][picked] for item in fields(Estimate)}
        return cls(tuple(menu.ids), Estimate(**arrays))

    @classmethod
    def prior(cls, menu: Menu) -> Constant:
        """What is believed before the first trace, for any menu; wide, so that exploration is free to
        find out.

        quality = sigmoid(0.3 log2(compute) + 0.1 log2(price / cheapest price)): even odds for the
        cheapest single answer, rising slowly with compute and with the price of the dearest model.
        cost: the tariff times 200 prompt and 200 completion tokens (or the model's cap) times the
        strategy's demand; its 0.9 quantile twice that. latency: 200 tokens at 50 a second, times
        1 + log2(calls), as most calls run side by side; its 0.95 quantile three times that.
        """
        cost = np.array([_typical_cost_usd(arm) for arm in menu])
        latency = np.array([_typical_latency_s(arm) for arm in menu])
        quality = _prior_quality(menu)
        deviation = np.full(len(menu), PRIOR_QUALITY_SD)
        return cls(tuple(menu.ids), Estimate(quality, deviation, cost, 2 * cost, latency, 3 * latency))


def _prior_quality(menu: Menu) -> FloatArray:
    compute = np.log2([max(arm.compute, 1.0) for arm in menu])
    price = np.array([_price(arm) for arm in menu])
    paid = price[price > 0]
    dearer = np.log2(np.maximum(price / paid.min(), 1.0)) if len(paid) else np.zeros(len(menu))
    quality: FloatArray = 1 / (1 + np.exp(-(0.3 * compute + 0.1 * dearer)))
    return np.clip(quality, 0.05, 0.95)


def _price(arm: Arm) -> float:
    return max((card.tariff.usd_per_million_completion_tokens for card in arm.models), default=0.0)


def _typical_cost_usd(arm: Arm) -> float:
    demand = arm.strategy.demand()
    return to_usd(sum(demand.get(card.name, 0) * _typical_call_nano(card) for card in arm.models))


def _typical_call_nano(card: ModelCard) -> int:
    completion = min(TYPICAL_COMPLETION_TOKENS, card.max_completion_tokens)
    return card.tariff.cost_nano(TYPICAL_PROMPT_TOKENS, completion)


def _typical_latency_s(arm: Arm) -> float:
    calls = max(sum(arm.strategy.demand().values()), 1)
    return TYPICAL_COMPLETION_TOKENS / TYPICAL_TOKENS_PER_S * (1 + float(np.log2(calls)))
