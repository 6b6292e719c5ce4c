"""Staged: the served strategies that ask recorded arms one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from router.arm import Arm
from router.model_card import ModelCard
from router.strategies import Strategy
from router.strategies.cascade import Stage
from router.strategies.direct import Direct
from router.tariff import Tariff

Order: TypeAlias = tuple[int, ...]
"""Arms by their numbers, as they are asked."""


def staged(names: Sequence[str], made: Callable[[tuple[Stage, ...]], Strategy]) -> Arm:
    """A strategy of these arms as an arm, each asked once; of one arm, that arm."""
    cards = tuple(ModelCard(name, Tariff(0.0, 0.0), 8_192, 1 << 20) for name in names)
    stages = tuple(Stage(name, Direct(name)) for name in names)
    strategy = made(stages) if len(stages) > 1 else stages[0].strategy
    return Arm(strategy.family, strategy, cards, strategy.family)
