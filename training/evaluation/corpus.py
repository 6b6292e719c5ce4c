"""Corpus: a grid with its queries' features, ready to be learnt from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from router.features import Extractor
from router.menu import Menu
from router.query import Query
from training.evaluation.elsewhere import Elsewhere
from training.evaluation.grid import Grid, IntArray
from training.folds import MOST_CROSSED
from training.logged_arms import TEACHING, logged_arm
from training.rounds import Round
from training.table import Features, Table, tabulate


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """rounds: the grid's cells as rounds, a query's arms one after another; after them, those of arms outside
    the pool, and then those of other data sets. group, shape (queries,): queries of one number are never on
    both sides of a fold."""

    grid: Grid
    rounds: Table
    group: IntArray

    @classmethod
    def of(cls, grid: Grid, group: IntArray, extractor: Extractor) -> Corpus:
        """The features are looked at once, each by itself: nothing is fitted here."""
        everything = np.arange(len(grid))
        elsewhere = grid.elsewhere.groups(group)[grid.elsewhere.question]
        groups = np.concatenate((np.repeat(group, len(grid.arms)), group[grid.others.query], elsewhere))
        rounds = tabulate(_rounds(grid), groups, extractor, _menu(grid, everything))
        return cls(grid, rounds, group)

    @property
    def features(self) -> Features:
        """Of the distinct queries; see ``place``."""
        return self.rounds.features

    @property
    def place(self) -> IntArray:
        """Where each query's features stand, shape (queries,)."""
        arms = len(self.grid.arms)
        return self.rounds.query[: arms * len(self.grid) : arms]

    def table(self, rows: IntArray) -> Table:
        """What can be learnt from these queries of the grid, and from no other; and from what was asked
        elsewhere, but for what others of the grid ask: as much of it, drawn at random, as fits beside the
        grid's own into ``MOST_CROSSED``."""
        arms = len(self.grid.arms)
        own = (rows[:, None] * arms + np.arange(arms)).ravel()
        others = len(self.grid) * arms + self.grid.others.of_queries(rows)
        teaching = self.grid.elsewhere.teaching(rows)
        drawn = np.random.default_rng(0).permutation(teaching)[: max(MOST_CROSSED - len(own), 0)]
        elsewhere = len(self.grid) * arms + len(self.grid.others) + np.sort(drawn)
        cells = np.concatenate((own, others, elsewhere))
        return replace(self.rounds.take(cells), menu=_menu(self.grid, rows)).judged_on(arms)


def _rounds(grid: Grid) -> list[Round]:
    queries = [
        Query([{"role": "user", "content": text}], id=query_id)
        for query_id, text in zip(grid.query_ids, grid.texts, strict=True)
    ]
    own = [
        Round(query, arm, float(grid.reward[i, j]), grid.keys[i], cost_usd=float(grid.cost_usd[i, j]))
        for i, query in enumerate(queries)
        for j, arm in enumerate(grid.arms)
    ]
    others = grid.others
    cells = zip(others.query, others.arm, others.reward, others.cost_usd, strict=True)
    further = [
        Round(queries[i], others.arms[j], float(reward), grid.keys[i], cost_usd=float(cost))
        for i, j, reward, cost in cells
    ]
    return [*own, *further, *_rounds_elsewhere(grid.elsewhere)]


def _rounds_elsewhere(elsewhere: Elsewhere) -> list[Round]:
    queries = [Query([{"role": "user", "content": text}]) for text in elsewhere.texts]
    cells = zip(elsewhere.question, elsewhere.arm, elsewhere.reward, strict=True)
    return [Round(queries[i], elsewhere.arms[j], float(reward), elsewhere.keys[i]) for i, j, reward in cells]


def _menu(grid: Grid, rows: IntArray) -> Menu:
    """An arm for each of the grid's, then each that also teaches; of other data sets, in its model's
    family."""
    costs = grid.cost_usd[rows].mean(axis=0)
    own = [
        logged_arm(name, model, cost, name)
        for name, model, cost in zip(grid.arms, grid.models, costs, strict=True)
    ]
    mean = float(costs.mean())
    others = [logged_arm(name, name, mean, TEACHING) for name in grid.others.arms]
    model = dict(zip(grid.arms, grid.models, strict=True))
    named = zip(grid.elsewhere.arms, grid.elsewhere.families, strict=True)
    elsewhere = [logged_arm(name, model[family], mean, family) for name, family in named]
    return Menu((*own, *others, *elsewhere))
