"""Logged arms: those of which only the log tells, such as a model that has left the menu; they teach too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

import numpy as np

from router.arm import Arm
from router.menu import Menu
from router.model_card import ModelCard
from router.predictors import PREDICTORS, DifficultyPredictor
from router.predictors.constant import TYPICAL_COMPLETION_TOKENS, TYPICAL_PROMPT_TOKENS
from router.strategies.direct import Direct
from router.tariff import Tariff
from training.rounds import Round

CONTEXT_TOKENS = 32_768
MOST_COMPLETION_TOKENS = 8_192


TEACHING = "arms that only teach"
"""Their one family: each has a level of its own, and together they say what makes a question hard. A family
each would cost every decision as much as a family of the menu does."""


def logged_arm(name: str, model: str, cost_usd: float, family: str) -> Arm:
    """Logs tell no tariffs: its model's is such that a typical call costs what its calls cost on average."""
    rate = cost_usd / ((TYPICAL_PROMPT_TOKENS + TYPICAL_COMPLETION_TOKENS) / 1e6)
    card = ModelCard(model, Tariff(rate, rate), MOST_COMPLETION_TOKENS, CONTEXT_TOKENS)
    return Arm(name, Direct(model), (card,), family)


def taught_by(menu: Menu, rounds: Sequence[Round]) -> Menu:
    """All that rounds can teach of: the menu's arms that have a round, or one on the menu whose family they
    share; then the logged arms that are not on the menu, by id."""
    seen = {r.arm for r in rounds}
    families = {arm.family for arm in menu if arm.id in seen}
    own = [arm for arm in menu if arm.family in families]
    return Menu((*own, *(_of(name, rounds) for name in sorted(seen - set(menu.ids)))))


def narrowed(predictor: DifficultyPredictor, menu: Menu) -> DifficultyPredictor:
    """The predictor for some of its arms; itself, where these are all."""
    state = predictor.state()
    if len(menu) == len(state.values["arms"]):
        return predictor
    return PREDICTORS[predictor.name].restore(state, menu)


def _of(name: str, rounds: Iterable[Round]) -> Arm:
    costs = [r.cost_usd for r in rounds if r.arm == name and r.cost_usd is not None and isfinite(r.cost_usd)]
    mean = float(np.mean(costs)) if costs else 0.0
    return logged_arm(name, name.rpartition("/")[0] or name, mean, TEACHING)
