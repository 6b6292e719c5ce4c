"""Taught elsewhere: a grid, and beside it what other data sets tell of its models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from router.errors import InvalidQuery
from training.evaluation.elsewhere import Elsewhere, numbers
from training.evaluation.grid import Grid, check_score, key_of, logged

Row: TypeAlias = Mapping[str, Any]
Question: TypeAlias = tuple[str, str]
"""Data set and query id."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data set of a file; ``None`` where the file holds no other."""

    path: Path
    dataset: str | None

    @classmethod
    def parse(cls, text: str, path: Path) -> Source:
        """From ``FILE``, ``FILE.parquet:DATASET``, or ``DATASET``, which is of the file at ``path``.

        >>> Source.parse("b", Path("mine.parquet")).path.name
        'mine.parquet'
        """
        file, colon, dataset = text.rpartition(".parquet:")
        if text.endswith(".parquet") or Path(text).is_file():
            return cls(Path(text), None)
        return cls(Path(f"{file}.parquet"), dataset) if colon else cls(path, text)


def taught_elsewhere(
    grid: Grid, sources: Sequence[Source], correct_at: float, *, ignore_split: bool = False
) -> Grid:
    """The grid, to be learnt from together with what the models of its pool answered in other data sets: on
    questions that are not of their split=test (ignore_split: on all), their draws averaged.

    A model is the same where its name is, but for case and for what stands before the last slash. Left out is
    what asks the same as several questions of the grid. ``StoreError`` where a file cannot be read,
    ``InvalidQuery`` where a source has the name of the grid's own data set, or no answer by a model of the
    pool.
    """
    asked: dict[Question, Row] = {}
    cells: dict[tuple[Question, str], list[bool]] = defaultdict(list)
    families: dict[str, str] = {}
    for source in sources:
        for row, family in _rows(source, grid, ignore_split):
            question = str(row["dataset"]), str(row["query_id"])
            if asked.setdefault(question, row)["query"] != row["query"]:
                raise InvalidQuery(f"In {question[0]} the query_id {question[1]!r} stands for several texts.")
            arm = f"{row['dataset']}: {row['model']}/{row['strategy']}"
            families[arm] = family
            cells[question, arm].append(row["score"] >= correct_at)
    return replace(grid, elsewhere=_elsewhere(grid, asked, cells, families))


def _rows(source: Source, grid: Grid, ignore_split: bool) -> list[tuple[Row, str]]:
    """Those that may teach, each with the pool's arm in whose family it does."""
    found = logged(source.path, source.dataset).to_pylist()
    where = source.dataset or str(source.path)
    if found[0]["dataset"] == grid.dataset:
        raise InvalidQuery(f"{where}: a data set to learn from needs another name than the evaluated one's.")
    known = [row for row in found if row["score"] is not None and row["query"] is not None]
    own = [(row, family) for row in known if (family := _family(row, grid)) is not None]
    kept = [(row, family) for row, family in own if ignore_split or row.get("split") != "test"]
    if not kept:
        pool, models = (sorted({str(each) for each in some}) for some in (grid.models, _models(known)))
        raise InvalidQuery(
            f"{where} can teach nothing: of its {len(known)} rows with a text and a score, {len(own)} are by "
            f"a model of the pool ({', '.join(pool)}), none of them outside split=test. Its models: "
            f"{', '.join(models) or 'none'}."
        )
    for row, _ in kept:
        check_score(row)
    return kept


def _models(rows: Sequence[Row]) -> list[str]:
    return [str(row["model"]) for row in rows]


def _family(row: Row, grid: Grid) -> str | None:
    """The pool's arm of the row's model, of its strategy if there is one."""
    pool = list(zip(grid.models, grid.arms, strict=True))
    mine = [(model, arm) for model, arm in pool if _name(model) == _name(str(row["model"]))]
    exact = [arm for model, arm in mine if arm == f"{model}/{row['strategy']}"]
    return next(iter([*exact, *(arm for _, arm in mine)]), None)


def _elsewhere(
    grid: Grid,
    asked: Mapping[Question, Row],
    cells: Mapping[tuple[Question, str], Sequence[bool]],
    families: Mapping[str, str],
) -> Elsewhere:
    texts, keys = tuple(str(row["query"]) for row in asked.values()), tuple(map(key_of, asked.values()))
    number = numbers([*grid.texts, *texts], [*grid.keys, *keys])
    here: dict[int, list[int]] = defaultdict(list)
    for row, own in enumerate(number[: len(grid)].tolist()):
        here[own].append(row)
    asking = [here.get(own, []) for own in number[len(grid) :].tolist()]
    one = [len({grid.keys[row] for row in rows}) <= 1 for rows in asking]
    place = {question: i for i, question in enumerate(asked)}
    arm_place = {arm: i for i, arm in enumerate(families)}
    kept = [cell for cell in cells if one[place[cell[0]]]]
    return Elsewhere(
        tuple(data_set for data_set, _ in asked),
        texts,
        keys,
        number[len(grid) :],
        np.array([(i, row) for i, rows in enumerate(asking) for row in rows], np.int64).reshape(-1, 2),
        tuple(families),
        tuple(families.values()),
        np.array([place[question] for question, _ in kept], np.int64),
        np.array([arm_place[arm] for _, arm in kept], np.int64),
        np.array([np.mean(cells[cell]) for cell in kept], np.float64),
    )


def _name(model: str) -> str:
    return model.rpartition("/")[2].casefold()
