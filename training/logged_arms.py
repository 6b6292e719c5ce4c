"""Logged arms: those of which only the log tells, such as a model that has left the menu; they teach too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import ClassVar

import numpy as np

from router.arm import Arm
from router.candidate import Answer
from router.menu import Menu
from router.model_card import ModelCard
from router.predictors import PREDICTORS, DifficultyPredictor
from router.predictors.constant import TYPICAL_COMPLETION_TOKENS, TYPICAL_PROMPT_TOKENS
from router.run import Run
from router.strategies import Strategy, Traits
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


@dataclass(frozen=True, slots=True)
class Rung:
    """Another place on a sibling's ladder: described, never run."""

    name: ClassVar[str] = "rung"
    summary: ClassVar[str] = "a place on a ladder that has left the menu"

    sibling: Strategy
    compute: float

    @property
    def traits(self) -> Traits:
        """The sibling's."""
        return self.sibling.traits

    @property
    def family(self) -> str:
        """The sibling's."""
        return self.sibling.family

    def demand(self) -> Mapping[str, int]:
        """Calls in proportion to compute."""
        scale = self.compute / self.sibling.compute
        return {model: ceil(calls * scale) for model, calls in self.sibling.demand().items()}

    async def answer(self, run: Run) -> Answer:
        """It has none."""
        raise NotImplementedError


def taught_by(menu: Menu, rounds: Sequence[Round]) -> Menu:
    """All that rounds can teach of: the menu's arms that have a round, or whose family has one (another
    rung's of its ladder, on the menu or not any more); then the logged arms that are not on the menu, by id,
    those rungs in their family."""
    seen = {r.arm for r in rounds}
    gone = {name: _rung(name, menu) for name in sorted(seen - set(menu.ids))}
    families = {arm.family for arm in menu if arm.id in seen}
    families |= {rung.family for rung in gone.values() if rung is not None}
    own = [arm for arm in menu if arm.family in families]
    return Menu((*own, *(rung or _of(name, rounds) for name, rung in gone.items())))


def _rung(name: str, menu: Menu) -> Arm | None:
    """The arm of this id, if one of its family is on the menu; ids are ``<family>@<compute>``."""
    family, _, compute = name.rpartition("@") if "@" in name else (name, "", "1")
    sibling = next((arm for arm in menu if arm.family == family), None)
    if sibling is None or not compute.isdigit() or int(compute) < 1:
        return None
    return replace(sibling, id=name, strategy=Rung(sibling.strategy, float(compute)))


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
