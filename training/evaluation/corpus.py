"""Corpus: a grid with its queries' features, ready to be learnt from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from router.arm import Arm
from router.features import Extractor
from router.menu import Menu
from router.model_card import ModelCard
from router.predictors.constant import TYPICAL_COMPLETION_TOKENS, TYPICAL_PROMPT_TOKENS
from router.query import Query
from router.strategies.direct import Direct
from router.tariff import Tariff
from training.evaluation.grid import Grid, IntArray
from training.rounds import Round
from training.table import Features, Table, tabulate

CONTEXT_TOKENS = 32_768
MOST_COMPLETION_TOKENS = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """rounds: the grid's cells as rounds, a query's arms one after another. group, shape (queries,):
    queries of one number are never on both sides of a fold."""

    grid: Grid
    rounds: Table
    group: IntArray

    @classmethod
    def of(cls, grid: Grid, group: IntArray, extractor: Extractor) -> Corpus:
        """The features are looked at once, each by itself: nothing is fitted here."""
        everything = np.arange(len(grid))
        rounds = tabulate(_rounds(grid), np.repeat(group, len(grid.arms)), extractor, _menu(grid, everything))
        return cls(grid, rounds, group)

    @property
    def features(self) -> Features:
        """Of the distinct queries; see ``place``."""
        return self.rounds.features

    @property
    def place(self) -> IntArray:
        """Where each query's features stand, shape (queries,)."""
        return self.rounds.query[:: len(self.grid.arms)]

    def table(self, rows: IntArray) -> Table:
        """What can be learnt from these queries of the grid, and from no other."""
        arms = len(self.grid.arms)
        cells = (rows[:, None] * arms + np.arange(arms)).ravel()
        return replace(self.rounds.take(cells), menu=_menu(self.grid, rows))


def _rounds(grid: Grid) -> list[Round]:
    rounds = []
    for i, text in enumerate(grid.texts):
        query = Query([{"role": "user", "content": text}], id=grid.query_ids[i])
        rounds += [
            Round(query, arm, float(grid.reward[i, j]), grid.keys[i], cost_usd=float(grid.cost_usd[i, j]))
            for j, arm in enumerate(grid.arms)
        ]
    return rounds


def _menu(grid: Grid, rows: IntArray) -> Menu:
    """An arm for each of the grid's. Files tell no tariffs: a model's is such that a typical call costs
    what its calls cost on average."""
    typical = (TYPICAL_PROMPT_TOKENS + TYPICAL_COMPLETION_TOKENS) / 1e6
    per_million = grid.cost_usd[rows].mean(axis=0) / typical
    return Menu(
        tuple(
            _arm(arm, model, rate)
            for arm, model, rate in zip(grid.arms, grid.models, per_million, strict=True)
        )
    )


def _arm(name: str, model: str, usd_per_million: float) -> Arm:
    card = ModelCard(model, Tariff(usd_per_million, usd_per_million), MOST_COMPLETION_TOKENS, CONTEXT_TOKENS)
    return Arm(name, Direct(model), (card,), name)
