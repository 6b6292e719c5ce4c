"""Other data sets teach: what their rows tell, and that none tells of what is tested."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_grid import logged_rows, write_rows

from effortwise.cli import main
from router.errors import InvalidQuery
from router.features import Extractor
from training.evaluation.comparison import Protocol, compare
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import question_groups, split_parts
from training.evaluation.elsewhere import NOT_HERE, core
from training.evaluation.grid import Grid, read_grid
from training.evaluation.learners import served
from training.evaluation.taught_elsewhere import Source, taught_elsewhere

POOL = ("cheap", "dear")


def rows_elsewhere(count: int, **other: Any) -> list[dict[str, Any]]:
    """Rows of another data set: other questions, the same models under a provider's name."""
    return [
        {
            **row,
            "dataset": "other",
            "query_id": f"other-{row['query_id']}",
            "question_key": f"other-{row['question_key']}",
            "model": f"Host/{row['model'].title()}",
            "cost_usd": None,
            **other,
        }
        for row in logged_rows(count, seed=1)
    ]


def taught(folder: Path, rows: Sequence[dict[str, Any]], count: int = 60) -> Grid:
    """A grid of two models, taught by these rows."""
    grid = read_grid(write_rows(folder / "mine.parquet", logged_rows(count)), models=POOL)
    path = write_rows(folder / "other.parquet", rows)
    return taught_elsewhere(grid, [Source(path, None)], 0.99)


def test_the_pools_models_teach_of_their_training_questions(tmp_path: Path) -> None:
    """A model is known by its name, whoever hosts it; draws are averaged; tested rows stay out; costs do
    not count; strategies are arms of their own."""
    rows = rows_elsewhere(30)
    again = [{**row, "sample_index": 1, "score": 0.0} for row in rows if row["model"] == "Host/Cheap"]
    found = taught(tmp_path, [*rows, *again, {**rows[0], "strategy": "steps", "split": "train"}]).elsewhere
    train = {row["query_id"]: row for row in rows if row["split"] == "train"}
    assert found.counts() == {"other": len(train)}
    assert found.arms == ("other/Host/Cheap/direct", "other/Host/Dear/direct", "other/Host/Cheap/steps")
    assert found.families == ("cheap", "dear", "cheap")
    score = {(row["query"], row["model"]): row["score"] for row in rows}
    for question, arm, reward in zip(found.question, found.arm, found.reward, strict=True):
        _, host, model, strategy = found.arms[arm].split("/")
        if strategy == "direct":
            whole = score[found.texts[question], f"{host}/{model}"]
            assert reward == (whole / 2 if model == "Cheap" else whole)


def test_a_question_that_is_asked_here_too_goes_with_its_row(tmp_path: Path) -> None:
    """By its key, by its text, or by what stands above its options; not where its row does not train."""
    here = "Which metal is liquid at room temperature?\nA. iron\nB. mercury\nAnswer:"
    there = (
        "Some text first.\n\nWhich metal is liquid, at room temperature?\nOptions:\nA. gold\nB. tin\nC. zinc"
    )
    rows = logged_rows(20, POOL)
    for row in rows[:2]:
        row["query"] = here
    others = [row for row in rows_elsewhere(4, split="train") if row["model"] != "Host/Middle"]
    for row in others[:2]:
        row["query"] = there
    for row in others[2:4]:
        row["question_key"] = rows[2]["question_key"]
    for row in others[4:6]:
        row["query"] = rows[4]["query"].upper()
    grid = read_grid(write_rows(tmp_path / "mine.parquet", rows))
    path = write_rows(tmp_path / "other.parquet", others)
    elsewhere = taught_elsewhere(grid, [Source(path, None)], 0.99).elsewhere
    assert elsewhere.same.tolist() == [[0, 0], [1, 1], [2, 2]]
    every = np.arange(len(grid))
    assert set(elsewhere.question[elsewhere.teaching(every)]) == {0, 1, 2, 3}
    assert set(elsewhere.question[elsewhere.teaching(every[1:])]) == {1, 2, 3}
    assert set(elsewhere.question[elsewhere.teaching(every[3:])]) == {3}
    group = question_groups(grid)
    assert elsewhere.groups(group).tolist() == [*group[:3], group.max() + 1 + 3]
    some = grid.take(np.array([2, 5]))
    assert replace(grid, elsewhere=elsewhere).take(np.array([2, 5])).elsewhere.same.tolist() == [
        [0, NOT_HERE],
        [1, NOT_HERE],
        [2, 0],
    ]
    assert len(some) == 2


def test_numbered_or_plain_texts_are_their_whole_text() -> None:
    """Only listed options are left out of what is asked; a question that is nothing but options is whole."""
    assert core("Sort:\n1. b\n2. a") == "sort: 1. b 2. a"
    assert core("What is 2 - 2?") != core("What is 2 + 2?")
    assert core("\nA. one\nB. two") == "a. one b. two"


def test_what_is_asked_elsewhere_moves_estimates_but_for_what_is_tested(tmp_path: Path) -> None:
    """Outcomes of questions of its own count; those of a tested query's question move nothing by a bit."""
    rows = rows_elsewhere(60, split="train")
    tested = next(row for row in logged_rows(60) if row["split"] == "test")
    known = [{**row, "query": tested["query"], "query_id": "known"} for row in rows[:3]]
    grid = taught(tmp_path, [*rows, *known])
    assert grid.query_ids[int(grid.elsewhere.same[0, 1])] == tested["query_id"]
    own = replace(grid, elsewhere=taught(tmp_path, rows[-3:]).elsewhere)
    assert (quality(grid) != quality(own)).any()
    same = np.isin(grid.elsewhere.question, grid.elsewhere.same[:, 0])
    assert 0 < same.sum() < len(grid.elsewhere)
    assert (quality(destroyed(grid, same)) == quality(grid)).all()
    assert (quality(destroyed(grid, ~same)) != quality(grid)).any()


def quality(grid: Grid) -> np.ndarray:
    """What the served predictor estimates of the tested queries, learnt from all else."""
    question = question_groups(grid)
    (part,) = split_parts(grid, question, 0)
    return served(Corpus.of(grid, question, Extractor.of()), 0)(part)[1].quality


def destroyed(grid: Grid, cells: np.ndarray) -> Grid:
    """The grid with some of the outcomes elsewhere turned round."""
    elsewhere = grid.elsewhere
    reward = np.where(cells, 1 - elsewhere.reward, elsewhere.reward)
    return replace(grid, elsewhere=replace(elsewhere, reward=reward))


def test_the_report_tells_what_was_learnt_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command, from another file and from the same one; with the number of questions."""
    rows = [*logged_rows(60), *rows_elsewhere(20, split="train")]
    path = write_rows(tmp_path / "mine.parquet", rows)
    third = [{**row, "dataset": "third"} for row in rows_elsewhere(10, split="train")]
    other = write_rows(tmp_path / "more.parquet", third)
    out = tmp_path / "report.json"
    options = ["--dataset", "planted", "--models", "cheap,dear", "--json", str(out)]
    asked = ["evaluate", str(path), *options, "--also-learn-from", f"other,{other}"]
    monkeypatch.setattr(sys, "argv", ["effortwise", *asked])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (None, 0)
    assert json.loads(out.read_text())["protocol"]["also_learnt_from"] == {"other": 20, "third": 10}
    assert Source.parse(f"{other}:third", path) == Source(other, "third")


def test_what_cannot_teach_is_told(tmp_path: Path) -> None:
    """The data set itself, one of other models, a score that is none; and left-out tasks, which may stand
    there."""
    with pytest.raises(InvalidQuery, match=r"planted is what is evaluated: --also-learn-from takes other"):
        taught(tmp_path, logged_rows(3))
    with pytest.raises(
        InvalidQuery, match=r"No model of the pool \(cheap, dear\) answered in .*Its models: x."
    ):
        taught(tmp_path, rows_elsewhere(3, model="x"))
    with pytest.raises(InvalidQuery, match=r"has the score 3.0: scores lie in \[0, 1\]"):
        taught(tmp_path, rows_elsewhere(3, score=3.0, split="train"))
    with pytest.raises(InvalidQuery, match="--leave-out task does not go with --also-learn-from"):
        compare(taught(tmp_path, rows_elsewhere(6, split="train")), Protocol(leave_out="task"))
