"""The grid: what is read of a file of logged traces, and what is said where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_grid import logged_rows, write_rows

from router.errors import EffortwiseError
from training.evaluation.grid import read_grid


def test_a_file_becomes_queries_by_arms(tmp_path: Path) -> None:
    """Rewards and costs stand where their query and model are, whatever the order of the rows."""
    rows = logged_rows(30)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    grid = read_grid(write_rows(tmp_path / "a.parquet", shuffled), models=["cheap", "middle", "dear"])
    assert (grid.arms, grid.models) == (("cheap", "middle", "dear"),) * 2
    for row in rows:
        place = grid.query_ids.index(row["query_id"]), grid.arms.index(row["model"])
        assert grid.reward[place] == row["score"]
        assert grid.cost_usd[place] == row["cost_usd"]
        assert grid.test[place[0]] == (row["split"] == "test")
        assert grid.texts[place[0]] == row["query"]


def test_models_outside_the_pool(tmp_path: Path) -> None:
    """What they answered to the grid's queries is kept beside it, draws averaged, costs known or not."""
    rows = logged_rows(30)
    late = [{**row, "sample_index": 1, "score": 0.0} for row in rows if row["model"] == "middle"]
    unpriced = [{**row, "model": "hidden", "cost_usd": None} for row in rows[:9:3]]
    path = write_rows(tmp_path / "a.parquet", [*rows, *late, *unpriced])
    grid = read_grid(path, models=["cheap", "dear"], also=["all"])
    assert (grid.arms, set(grid.others.arms)) == (("cheap", "dear"), {"middle/direct", "hidden/direct"})
    assert len(grid.others) == 30 + 3
    score = {row["query_id"]: row["score"] for row in rows if row["model"] == "middle"}
    middle = grid.others.arm == grid.others.arms.index("middle/direct")
    of_query = [grid.query_ids[i] for i in grid.others.query[middle]]
    assert list(grid.others.reward[middle]) == [score[name] / 2 for name in of_query]
    assert (np.isnan(grid.others.cost_usd) == ~middle).all()
    few = grid.take(np.array([4, 2]))
    assert {few.query_ids[i] for i in few.others.query} == {grid.query_ids[i] for i in (4, 2)}
    assert len(read_grid(path, models=["cheap", "dear"], also=["mid"]).others) == 30


def test_draws_are_kept_in_order_and_averaged(tmp_path: Path) -> None:
    """Several samples of one arm are one cell: their share right, their mean cost."""
    rows = logged_rows(3, ("cheap", "dear"))
    again = {**rows[0], "sample_index": 1, "score": 1.0 - rows[0]["score"], "cost_usd": 3e-5}
    grid = read_grid(write_rows(tmp_path / "a.parquet", [again, *rows]))
    i, j = grid.query_ids.index(rows[0]["query_id"]), grid.arms.index("cheap")
    assert [draw.score for draw in grid.draws[i][j]] == [rows[0]["score"], again["score"]]
    assert grid.reward[i, j] == 0.5
    assert grid.cost_usd[i, j] == pytest.approx((rows[0]["cost_usd"] + 3e-5) / 2)


def test_partial_credit_is_not_right(tmp_path: Path) -> None:
    """A score below ``correct_at`` counts as wrong, at it as right."""
    rows = logged_rows(10, ("cheap", "dear"))
    for row in rows:
        row["score"] = 0.7
    path = write_rows(tmp_path / "a.parquet", rows)
    assert read_grid(path).reward.max() == 0.0
    assert read_grid(path, correct_at=0.7).reward.min() == 1.0


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Queries that lack an arm, and test queries whose question stands in train."""
    rows = logged_rows(40)
    train = next(row["question_key"] for row in rows if row["split"] == "train")
    tested = {row["query_id"] for row in rows if row["split"] == "test"}
    again = sorted(tested)[0]
    for row in rows:
        if row["query_id"] == again:
            row["question_key"] = train
    lacking = next(row["query_id"] for row in rows if row["query_id"] != again)
    kept = [row for row in rows if (row["query_id"], row["model"]) != (lacking, "dear")]
    path = write_rows(tmp_path / "a.parquet", kept)
    grid = read_grid(path)
    assert grid.dropped == {"lack an arm of the pool": 1, "test questions that stand in train": 1}
    assert {again, lacking} & set(grid.query_ids) == set()
    assert len(grid) == 38
    assert again in read_grid(path, ignore_split=True).query_ids


NAMES = ("mistralai/mistral-7b-chat", "meta/code-llama-instruct-34b-chat", "meta/llama-2-70b-chat", "gpt-4")
SHORT = {
    "mistral-7b-chat": 0,
    "code-llama-34b": 1,
    "CODE-LLAMA": 1,
    "llama-70b": 2,
    "gpt-4": 3,
    "meta/llama-2-70b-chat": 2,
}


@pytest.mark.parametrize(("short", "place"), SHORT.items(), ids=list(SHORT))
def test_an_abbreviation_that_fits_one_model_is_that_model(tmp_path: Path, short: str, place: int) -> None:
    """A part of the name, or its dash-separated parts in order, whatever the case."""
    other = NAMES[(place + 1) % len(NAMES)]
    path = write_rows(tmp_path / "a.parquet", renamed())
    assert read_grid(path, models=[short, other]).arms == (NAMES[place], other)


def test_a_whole_name_wins_over_longer_ones(tmp_path: Path) -> None:
    """``gpt-4`` is itself where ``gpt-4-turbo`` is known too."""
    rows = renamed()
    rows += [{**row, "model": "gpt-4-turbo"} for row in rows if row["model"] == "gpt-4"]
    assert read_grid(write_rows(tmp_path / "a.parquet", rows), models=["gpt-4", "code"]).arms[0] == "gpt-4"


def renamed() -> list[dict[str, Any]]:
    """Rows of models with names as they are in the wild."""
    return [{**row, "model": name} for row in logged_rows(6, ("cheap",)) for name in NAMES]


def test_strategies_are_arms_too(tmp_path: Path) -> None:
    """One model under two strategies gives two arms of that model."""
    rows = [
        {**row, "strategy": strategy}
        for row in logged_rows(6, ("cheap",))
        for strategy in ("direct", "steps")
    ]
    grid = read_grid(write_rows(tmp_path / "a.parquet", rows))
    assert (grid.arms, grid.models) == (("cheap/direct", "cheap/steps"), ("cheap", "cheap"))


def test_models_without_costs_are_not_of_the_default_pool(tmp_path: Path) -> None:
    """An unpriced model is not free: it is left out, unless it is asked for, which is an error."""
    rows = logged_rows(10)
    for row in rows:
        if row["model"] == "dear":
            row["cost_usd"] = None
    path = write_rows(tmp_path / "a.parquet", rows)
    assert read_grid(path).arms == ("cheap", "middle")
    with pytest.raises(EffortwiseError, match="Costs are null for dear"):
        read_grid(path, models=["cheap", "dear"])


MISTAKES = [
    ({"models": ["a"]}, "'a' fits several models: cheap, dear"),
    ({"models": ["nobody", "dear"]}, "'nobody' names no model of the data set. Known: cheap"),
    ({"models": ["dear"]}, "nothing to choose from: 1 arm"),
    ({"models": ["cheap", "dear"], "also": ["dear"]}, "dear of --also-learn stands in the pool"),
    ({"models": ["cheap", "dear"], "also": ["nobody"]}, "'nobody' names no model of the data set"),
    ({"dataset": "other"}, "holds no data set 'other'. It holds: planted"),
]


@pytest.mark.parametrize(("options", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_a_mistake_is_told_with_what_is_known(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    """One line that names the limit and the known choices."""
    path = write_rows(tmp_path / "a.parquet", logged_rows(6))
    with pytest.raises(EffortwiseError, match=words):
        read_grid(path, **options)


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """One id for two texts would make draws of two questions one; scores have a range."""
    rows = logged_rows(6)
    rows[1]["query"] = "Something else?"
    with pytest.raises(EffortwiseError, match="stands for several texts"):
        read_grid(write_rows(tmp_path / "a.parquet", rows))
    rows = logged_rows(6)
    rows[1]["score"] = 7.0
    with pytest.raises(EffortwiseError, match=r"has the score 7.0: scores lie in \[0, 1\]"):
        read_grid(write_rows(tmp_path / "b.parquet", rows))


def test_what_is_no_number_is_not_known(tmp_path: Path) -> None:
    """A score that is no number is no outcome; a cost that is none is null."""
    rows = logged_rows(10)
    for row in rows[:3]:
        row["score"] = float("nan")
    assert len(read_grid(write_rows(tmp_path / "a.parquet", rows))) == 9
    for cost in (float("nan"), -1.0, float("inf")):
        rows = logged_rows(10)
        rows[0]["cost_usd"] = cost
        with pytest.raises(EffortwiseError, match="Costs are null for cheap"):
            read_grid(write_rows(tmp_path / "b.parquet", rows), models=["cheap", "dear"])


def test_a_file_that_is_no_table_of_traces_says_what_it_lacks(tmp_path: Path) -> None:
    """Missing columns by name; several data sets by name; no rows; no Parquet."""
    rows = logged_rows(6)
    few = [{key: value for key, value in row.items() if key not in ("score", "query")} for row in rows]
    with pytest.raises(EffortwiseError, match="lacks query, score"):
        read_grid(write_rows(tmp_path / "few.parquet", few))
    two = [*rows, *({**row, "dataset": "second"} for row in rows)]
    with pytest.raises(EffortwiseError, match="name one of planted, second \\(--dataset NAME"):
        read_grid(write_rows(tmp_path / "two.parquet", two))
    with pytest.raises(EffortwiseError, match="cannot be read as Parquet"):
        read_grid(tmp_path / "nowhere.parquet")


def test_a_file_without_split_and_dataset_can_be_read(tmp_path: Path) -> None:
    """Then all queries train, and the file's name is the data set's."""
    rows = [
        {key: value for key, value in row.items() if key not in ("split", "dataset", "question_key")}
        for row in logged_rows(6)
    ]
    grid = read_grid(write_rows(tmp_path / "mine.parquet", rows))
    assert (grid.dataset, grid.test.any(), len(set(grid.keys))) == ("mine", False, 6)


def test_some_queries_of_a_grid_are_a_grid(tmp_path: Path) -> None:
    """``take`` keeps everything aligned."""
    grid = read_grid(write_rows(tmp_path / "a.parquet", logged_rows(12)))
    some = grid.take(np.array([7, 2]))
    assert some.query_ids == (grid.query_ids[7], grid.query_ids[2])
    assert (some.reward == grid.reward[[7, 2]]).all()
    assert some.draws[0] == grid.draws[7]
