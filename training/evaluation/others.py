"""Others: outcomes of arms that are learnt from, not chosen: they too tell which queries are hard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """arms: their ids. Of each cell, shape (cells,): query, a row of the grid; arm, a position in ``arms``;
    reward and cost_usd, as the grid's, the cost nan where unknown."""

    arms: tuple[str, ...]
    query: IntArray
    arm: IntArray
    reward: FloatArray
    cost_usd: FloatArray

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], query_ids: Sequence[str], correct_at: float) -> Others:
        """Of a file's rows, those of known queries that have a score."""
        place = {query_id: i for i, query_id in enumerate(query_ids)}
        cells: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            if row["score"] is not None and str(row["query_id"]) in place:
                cells[place[str(row["query_id"])], f"{row['model']}/{row['strategy']}"].append(row)
        arms = tuple(dict.fromkeys(arm for _, arm in cells))
        number = {arm: i for i, arm in enumerate(arms)}
        return cls(
            arms,
            np.array([query for query, _ in cells], np.int64),
            np.array([number[arm] for _, arm in cells], np.int64),
            np.array([np.mean([row["score"] >= correct_at for row in each]) for each in cells.values()]),
            np.array([_mean_cost(each) for each in cells.values()], np.float64),
        )

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: IntArray) -> Others:
        """Those of some of the grid's queries, numbered as these are."""
        back = {int(row): i for i, row in enumerate(rows)}
        kept = self.of_queries(rows)
        query = np.array([back[int(row)] for row in self.query[kept]], np.int64)
        return Others(self.arms, query, self.arm[kept], self.reward[kept], self.cost_usd[kept])

    def of_queries(self, rows: IntArray) -> IntArray:
        """The cells of some of the grid's queries."""
        return np.flatnonzero(np.isin(self.query, rows))


NO_OTHERS = Others.of((), (), 1.0)


def _mean_cost(rows: Sequence[Mapping[str, Any]]) -> float:
    costs = [row["cost_usd"] for row in rows]
    return float("nan") if None in costs else float(np.mean(costs))
