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
from router.query import Query
from training.evaluation.comparison import Protocol, compare, parts_of
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Folds, Part, question_groups
from training.evaluation.elsewhere import NOT_HERE, core
from training.evaluation.grid import Grid, read_grid
from training.evaluation.learners import served
from training.evaluation.taught_elsewhere import Source, taught_elsewhere
from training.table import features_of

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
    """A model is known by its name, whoever hosts it; draws are averaged; tested rows stay out, unless the
    split plays no part; costs do not count; what is right is told by the score asked for."""
    rows = rows_elsewhere(30)
    again = [{**row, "sample_index": 1, "score": 0.5} for row in rows if row["model"] == "Host/Cheap"]
    every = [*rows, *again, {**rows[0], "strategy": None, "split": "train"}]
    found = taught(tmp_path, every).elsewhere
    train = {row["query_id"]: row for row in rows if row["split"] == "train"}
    assert found.counts() == {"other": len(train)}
    assert found.arms == ("other: Host/Cheap/direct", "other: Host/Dear/direct", "other: Host/Cheap/None")
    assert found.families == ("cheap", "dear", "cheap")
    score = {(row["query"], row["model"]): row["score"] for row in rows}
    for question, arm, reward in zip(found.question, found.arm, found.reward, strict=True):
        model, _, strategy = found.arms[arm].removeprefix("other: ").rpartition("/")
        if strategy == "direct":
            whole = score[found.texts[question], model]
            assert reward == (whole / 2 if model == "Host/Cheap" else whole)
    source = Source(tmp_path / "other.parquet", None)
    lenient = taught_elsewhere(taught(tmp_path, every), [source], 0.5, ignore_split=True).elsewhere
    assert lenient.counts() == {"other": 30}
    assert lenient.reward.mean() > found.reward.mean()


def test_the_familiar_strategy_is_the_family(tmp_path: Path) -> None:
    """Of a model's arms in the pool the one of the same strategy, else the first; ids never clash."""
    own = [{**row, "strategy": name} for row in logged_rows(30) for name in ("direct", "steps")]
    others = rows_elsewhere(9, split="train", dataset="cheap", model="cheap", strategy="steps")
    more = [{**row, "strategy": "votes"} for row in others]
    grid = read_grid(write_rows(tmp_path / "mine.parquet", own), models=POOL)
    path = write_rows(tmp_path / "other.parquet", [*others, *more])
    found = taught_elsewhere(grid, [Source(path, None)], 0.99)
    assert found.elsewhere.families == ("cheap/steps", "cheap/direct")
    menu = Corpus.of(found, question_groups(found), Extractor.of()).rounds.menu
    families = [menu[name].family for name in found.elsewhere.arms]
    assert families == ["cheap/steps", "cheap/direct"]
    assert {menu[name].models[0].name for name in found.elsewhere.arms} == {"cheap"}


def test_a_question_that_is_asked_here_too_goes_with_its_row(tmp_path: Path) -> None:
    """By its key, by its text, by what stands above its options, or by way of another question; not where its
    row does not train, nor where several questions here ask that."""
    rows = logged_rows(20, POOL)
    asked = [
        "Which metal is liquid at room temperature?\nA. iron\nB. mercury\nAnswer:",
        *3 * ["Which?\nA. a\nB. b"],
    ]
    for i, text in enumerate(asked):
        for row in rows[2 * i : 2 * i + 2]:
            row["query"] = f"{i}.\n\n{text}"
    others = [row for row in rows_elsewhere(6, split="train") if row["model"] != "Host/Middle"]
    texts = {
        0: "So.\n\nWhich metal is liquid, at room temperature?\n\nAnswer choices:\nA) gold\nB) tin\nC) zinc",
        1: rows[10]["query"].upper(),
        2: "Which?\n(A) c\n(B) d",
        3: "The same in other words",
    }
    for i, text in texts.items():
        for row in others[2 * i : 2 * i + 2]:
            row["query"] = text
    for row in (*others[2:4], *others[6:8]):
        row["question_key"] = "one"
    for row in others[8:10]:
        row["question_key"] = rows[12]["question_key"]
    grid = read_grid(write_rows(tmp_path / "mine.parquet", rows))
    grid = taught_elsewhere(grid, [Source(write_rows(tmp_path / "other.parquet", others), None)], 0.99)
    elsewhere, every = grid.elsewhere, np.arange(len(grid))
    pairs = [[0, 0], [1, 5], [2, 1], [2, 2], [2, 3], [3, 5], [4, 6]]
    assert elsewhere.same.tolist() == pairs
    assert set(elsewhere.question) == {0, 1, 3, 4, 5}
    assert elsewhere.counts() == {"other": 5}
    assert set(elsewhere.question[elsewhere.teaching(every)]) == {0, 1, 3, 4, 5}
    assert set(elsewhere.question[elsewhere.teaching(every[1:])]) == {1, 3, 4, 5}
    assert set(elsewhere.question[elsewhere.teaching(every[6:])]) == {4, 5}
    group = question_groups(grid)
    found = elsewhere.groups(group)
    assert (found[[0, 1, 3, 4]] == group[[0, 5, 5, 6]]).all()
    assert found[5] > group.max()
    some = grid.take(np.array([6, 0])).elsewhere
    assert [row for _, row in some.same.tolist()] == [1, *5 * [NOT_HERE], 0]
    assert set(some.question[some.teaching(np.array([0, 1]))]) == {0, 4, 5}


@pytest.mark.parametrize(
    "text",
    [
        "Which metal is liquid?\nA. iron\nB. tin\nAnswer:",
        "Intro.\r\n \r\nWhich metal is liquid?\r\n\r\n\r\nChoices:\r\n(A)iron\r\n(B)tin",
        "An example?\nA. a\nB. b\n\nWhich metal is liquid?\nOptions:\nA) iron\nB) tin",
    ],
)
def test_options_are_not_what_is_asked(text: str) -> None:
    """Nor what stands before the last blank line above them, nor their heading, whatever the spacing."""
    assert core(text) == "which metal is liquid"


def test_other_texts_ask_all_that_they_say() -> None:
    """Only listed options are left out of what is asked; a question that is nothing but options is whole."""
    assert core("Sort:\n1. b\n2. a") == "sort: 1. b 2. a"
    assert core("What is 2 - 2?") != core("What is 2 + 2?")
    assert core("\nA. one\nB. two") == "a. one b. two"


PROTOCOLS = {
    "split": Protocol(),
    "folds": Protocol(folds=Folds(1, 3)),
    "labels": Protocol(labels=15),
}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_nothing_that_asks_what_is_held_out_moves_its_estimate(tmp_path: Path, protocol: Protocol) -> None:
    """Outcomes elsewhere of questions that a tested query asks move nothing of it by a bit, and those that a
    query of an inner fold asks nothing of its estimate out of fold; all others do move estimates."""
    rows = logged_rows(60)
    known = [
        {**row, "dataset": "other", "query_id": f"known-{row['query_id']}", "split": "train"}
        for row in rows[::2]
    ]
    own = write_rows(tmp_path / "mine.parquet", rows)
    source = Source(
        write_rows(tmp_path / "other.parquet", [*rows_elsewhere(40, split="train"), *known]), None
    )
    grid = read_grid(own, models=POOL, ignore_split=protocol.ignores_split, also=["all"])
    grid = taught_elsewhere(grid, [source], 0.99, ignore_split=protocol.ignores_split)
    group = question_groups(grid)
    part = parts_of(grid, group, protocol)[0]
    before = estimates(grid, part)
    after = estimates(destroyed(grid, asks(grid, part.test)), part)
    assert asks(grid, part.test).any()
    assert all((one == other).all() for one, other in zip(before, after, strict=True))
    held = part.inner == 0
    out_of_fold = estimates(destroyed(grid, asks(grid, part.train[held])), part)
    assert (out_of_fold[0][held] == before[0][held]).all()
    assert (out_of_fold[1] != before[1]).any()
    new = ~np.isin(grid.elsewhere.question, grid.elsewhere.same[:, 0])
    assert (estimates(destroyed(grid, new), part)[1] != before[1]).any()


def test_rounds_stand_where_the_table_says(tmp_path: Path) -> None:
    """The grid's own cells, then those of other arms, then those of other data sets: each with its arm, its
    question's features, its reward, and its group."""
    path = write_rows(tmp_path / "mine.parquet", logged_rows(40))
    grid = read_grid(path, models=POOL, also=["middle"])
    source = Source(write_rows(tmp_path / "other.parquet", rows_elsewhere(20, split="train")), None)
    grid = taught_elsewhere(grid, [source], 0.99)
    corpus = Corpus.of(grid, question_groups(grid), Extractor.of())
    train = np.flatnonzero(~grid.test)
    table, elsewhere = corpus.table(train), grid.elsewhere
    cells = elsewhere.teaching(train)
    assert len(table) == 3 * len(train) + len(cells)
    own, others, rest = np.split(np.arange(len(table)), [2 * len(train), 3 * len(train)])
    assert (table.reward[own] == grid.reward[train].ravel()).all()
    assert {table.menu.ids[arm] for arm in table.arm[others]} == {"middle/direct"}
    assert [table.menu.ids[arm] for arm in table.arm[rest]] == [
        elsewhere.arms[i] for i in elsewhere.arm[cells]
    ]
    assert (table.reward[rest] == elsewhere.reward[cells]).all()
    assert (table.group[rest] == elsewhere.groups(corpus.group)[elsewhere.question[cells]]).all()
    texts = [Query([{"role": "user", "content": elsewhere.texts[i]}]) for i in elsewhere.question[cells]]
    assert (table.features.dense[table.query[rest]] == features_of(texts, Extractor.of()).dense).all()


def asks(grid: Grid, rows: np.ndarray) -> np.ndarray:
    """Whether a cell's question is asked by one of these rows."""
    same = grid.elsewhere.same
    return np.isin(grid.elsewhere.question, same[np.isin(same[:, 1], rows), 0])


def estimates(grid: Grid, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """What the served predictor estimates of a part's training queries, out of fold, and of its tested."""
    train, test = served(Corpus.of(grid, question_groups(grid), Extractor.of()), 0)(part)
    return train.quality, test.quality


def test_no_more_teaches_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the answers that are learnt from, of however many there are: few labels leave much room."""
    grid = taught(tmp_path, rows_elsewhere(30, split="train"))
    corpus = Corpus.of(grid, question_groups(grid), Extractor.of())
    monkeypatch.setattr("training.evaluation.corpus.MOST_CROSSED", 65)
    few, many, most = np.arange(5), np.arange(20), np.arange(40)
    assert [len(corpus.table(rows)) for rows in (few, many, most)] == [65, 65, 80]
    whole = grid.elsewhere.teaching(few)
    assert len(whole) == 60
    found = [corpus.table(few).query for _ in range(2)]
    assert (found[0] == found[1]).all()


def destroyed(grid: Grid, cells: np.ndarray) -> Grid:
    """The grid with some of the outcomes elsewhere turned round."""
    elsewhere = grid.elsewhere
    reward = np.where(cells, 1 - elsewhere.reward, elsewhere.reward)
    return replace(grid, elsewhere=replace(elsewhere, reward=reward))


def test_the_report_tells_what_was_learnt_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command, from another file and from the same one; with the number of questions, which are all
    where folds take the split's place."""
    rows = [*logged_rows(60), *rows_elsewhere(20)]
    path = write_rows(tmp_path / "mine.parquet", rows)
    third = [{**row, "dataset": "third"} for row in rows_elsewhere(10, split="train")]
    other = write_rows(tmp_path / "more.parquet", third)
    out = tmp_path / "report.json"
    options = ["--dataset", "planted", "--models", "cheap,dear", "--json", str(out), "--folds", "1x3"]
    options += ["--correct-at", "0.5"]
    asked = ["evaluate", str(path), *options, "--also-learn-from", f"other,{other}"]
    monkeypatch.setattr(sys, "argv", ["effortwise", *asked])
    asked_for: list[Any] = []

    def noted(*given: Any, **named: Any) -> Grid:
        asked_for.append((given[2], named))
        return taught_elsewhere(*given, **named)

    monkeypatch.setattr("effortwise.commands.evaluate.taught_elsewhere", noted)
    with pytest.raises(SystemExit) as end:
        main()
    assert asked_for == [(0.5, {"ignore_split": True})]
    assert end.value.code in (None, 0)
    assert json.loads(out.read_text())["protocol"]["also_learnt_from"] == {"other": 20, "third": 10}


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"dataset": "planted"}, "a data set to learn from needs another name than the evaluated one's"),
    ({"model": "x"}, r"of its 9 rows with a text and a score, 0 are by a model of the pool \(cheap, dear\)"),
    ({"model": None}, "0 are by a model of the pool"),
    ({"split": "test"}, "6 are by a model of the pool .*, none of them outside split=test"),
    ({"score": None}, "of its 0 rows with a text and a score, .*Its models: none"),
    ({"score": 3.0}, r"has the score 3.0: scores lie in \[0, 1\]"),
    ({"query_id": "one"}, "In other the query_id 'one' stands for several texts"),
]


@pytest.mark.parametrize(("wrong", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_what_cannot_teach_is_told(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    """With the reason."""
    with pytest.raises(InvalidQuery, match=words):
        taught(tmp_path, rows_elsewhere(3, **{"split": "train", **wrong}))


def test_what_is_not_named_is_told(tmp_path: Path) -> None:
    """A file of several data sets; and left-out tasks, which may stand elsewhere."""
    rows = rows_elsewhere(6, split="train")
    with pytest.raises(InvalidQuery, match=r"name one of more, other .*--also-learn-from FILE.parquet:NAME"):
        taught(tmp_path, [*rows, *({**row, "dataset": "more"} for row in rows)])
    with pytest.raises(InvalidQuery, match="--leave-out task does not go with --also-learn-from"):
        compare(taught(tmp_path, rows), Protocol(leave_out="task"))


def test_names_are_files_where_there_is_one(tmp_path: Path) -> None:
    """A file of any name, else one that ends in .parquet with its data set, else a data set."""
    mine, odd = tmp_path / "mine.parquet", tmp_path / "odd"
    odd.touch()
    for text, source in {
        str(odd): Source(odd, None),
        "a.parquet": Source(Path("a.parquet"), None),
        "a.parquet:b": Source(Path("a.parquet"), "b"),
        "b": Source(mine, "b"),
    }.items():
        assert Source.parse(text, mine) == source
