"""``effortwise evaluate``, from file to report: chosen on training queries, met or missed on others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_grid import logged_rows, planted_grid, write_rows

from effortwise.cli import main
from router.estimate import Estimate
from router.features import Extractor, embedding
from training.evaluation.comparison import Protocol, compare
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import (
    Folds,
    Part,
    fold_parts,
    left_out_groups,
    question_groups,
    split_parts,
)
from training.evaluation.decisions import Outcome, routed
from training.evaluation.frontier import Sweep
from training.evaluation.grid import Grid, IntArray, read_grid
from training.evaluation.learners import BASELINES, Estimates, Learner, Learning, served
from training.evaluation.operating import Setting, guarded
from training.evaluation.section import measure
from training.evaluation.stacked import NAMES, of_quality
from training.evaluation.tested import Tested as Results  # no test class

COUNT = 150
POINT = {"cost_usd", "quality", "low", "high"}
SAVING = {"saving", "low", "high"}


def averages(corpus: Corpus, part: Part) -> Estimates:
    """A learner that is quick: each domain's means over the training queries."""
    grid = corpus.grid
    domains = np.array(grid.domains)
    means = {
        domain: grid.reward[part.train[domains[part.train] == domain]].mean(axis=0)
        for domain in sorted(set(domains[part.train].tolist()))
    }
    cost = grid.cost_usd[part.train].mean(axis=0)

    def of(rows: np.ndarray) -> Estimate:
        quality = np.stack([means[domain] for domain in domains[rows]])
        spent = np.broadcast_to(cost, quality.shape)
        return Estimate(quality, 0 * quality, spent, spent, 0 * quality, 0 * quality)

    return of(part.train), of(part.test)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The served predictor and its rivals give way to averages."""
    monkeypatch.setattr("training.evaluation.comparison.served", learning)
    monkeypatch.setattr("training.evaluation.comparison.BASELINES", dict.fromkeys(BASELINES, learning))


def learning(corpus: Corpus, seed: int) -> Learner:
    """``averages`` as a learner."""
    return lambda part: averages(corpus, part)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One report by the real learners."""
    return compare(planted_grid(tmp_path_factory.mktemp("whole"), COUNT), Protocol(seed=3))


def test_the_report_has_the_promised_keys(whole: dict[str, Any]) -> None:
    """Points are objects of cost, quality and interval; it survives JSON."""
    assert whole == json.loads(json.dumps(whole))
    assert whole["dataset"] == "planted"
    assert whole["n_train"] + whole["n_test"] == COUNT
    baselines, router = whole["baselines"], whole["router"]
    assert set(baselines) >= {
        "best_single", "cheapest", "random_mix", "shuffled", "knn", "logistic", "mlp", "oracle",
    }  # fmt: skip
    points = [*whole["arms"], *baselines.values(), *router["frontier"], router["at_equal_cost"]]
    points += [point for each in baselines.values() for point in each.get("frontier", ())]
    assert all(set(point) >= POINT for point in points)
    assert all(point["low"] <= point["quality"] <= point["high"] for point in points)
    assert all(set(router[name]) >= SAVING for name in ("at_equal_quality", "at_minus_1", "at_98"))
    assert set(router["lift_over_shuffle"]) >= {"mean", "low", "high"}
    assert (whole["apgr"], set(whole["cpt"])) == (None, {"20", "50", "80"})
    assert [arm["arm"] for arm in whole["calibration"]["arms"]] == ["cheap", "middle", "dear"]
    measures = {"ece", "ece_debiased", "low", "high", "brier", "auroc"}
    assert all(
        set(each) >= measures for each in (*whole["calibration"]["arms"], whole["calibration"]["pooled"])
    )


def test_the_pattern_is_found(whole: dict[str, Any]) -> None:
    """Where sums need no dear model and code is best on the middle one, looking at the question earns:
    above the shuffle, above best single for its cost, and for much less at its quality."""
    router = whole["router"]
    assert router["lift_over_shuffle"]["low"] > 0
    assert router["at_equal_cost"]["over_best_single"]["mean"] >= 0
    assert router["at_minus_1"]["saving"] > 0.3
    assert 0 < router["share_closed"] < 1
    assert whole["baselines"]["best_single"]["arm"] == "dear"
    assert whole["baselines"]["cheapest"]["arm"] == "cheap"
    assert whole["baselines"]["oracle"]["quality"] > router["at_equal_cost"]["quality"]


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize("destroy", ["inverted", "constant"])
def test_no_rival_learns_from_a_test_row(tmp_path: Path, name: str, destroy: str) -> None:
    """Whatever the tested queries' rewards and costs are, the estimates stay as they were, to the bit."""
    unmoved(planted_grid(tmp_path, 90), BASELINES[name], destroy)


@pytest.mark.parametrize("name", list(BASELINES))
def test_questions_without_words_can_be_compared(tmp_path: Path, name: str) -> None:
    """Of single signs no rival makes words; each estimates all the same."""
    rows = logged_rows(60)
    for row in rows:
        row["query"] = chr(0x4E00 + int(row["question_key"].removeprefix("key-")))
    grid = read_grid(write_rows(tmp_path / "signs.parquet", rows))
    out_of_fold, test = learned(grid, BASELINES[name])[0]
    assert np.isfinite(out_of_fold.quality).all()
    assert ((test.quality >= 0) & (test.quality <= 1)).all()


def test_the_served_predictor_learns_from_no_test_row(tmp_path: Path) -> None:
    """Neither its estimates nor any chosen price move when the tested rewards and costs are destroyed."""
    unmoved(planted_grid(tmp_path, 120), served, "inverted")


def unmoved(grid: Grid, learning: Learning, destroy: str) -> None:
    """Fit both on what was logged and on what was destroyed; compare estimates, prices and promises."""
    destroyed = with_other_tests(grid, destroy)
    found = [learned(each, learning) for each in (grid, destroyed)]
    for before, after in zip(found[0][0], found[1][0], strict=True):
        for name in NAMES:
            assert (getattr(before, name) == getattr(after, name)).all()
    assert found[0][1] == found[1][1]


def test_arms_outside_the_pool_teach_of_training_queries_only(tmp_path: Path) -> None:
    """Their outcomes move the estimates; those of tested queries move nothing."""
    path = write_rows(tmp_path / "mine.parquet", logged_rows(120))
    pool = ["cheap", "dear"]
    alone, taught = (read_grid(path, models=pool, also=also) for also in ((), ("middle",)))
    found = [learned(each, served)[0][1].quality for each in (alone, taught)]
    assert found[0].shape == found[1].shape
    assert (found[0] != found[1]).any()
    of_tests = taught.test[taught.others.query]
    assert 0 < of_tests.sum() < len(taught.others)
    reward = np.where(of_tests, 1 - taught.others.reward, taught.others.reward)
    destroyed = replace(taught, others=replace(taught.others, reward=reward))
    assert (learned(destroyed, served)[0][1].quality == found[1]).all()


def with_other_tests(grid: Grid, destroy: str) -> Grid:
    """The grid with the tested queries' outcomes replaced."""
    reward, cost = grid.reward.copy(), grid.cost_usd.copy()
    reward[grid.test] = 1 - reward[grid.test] if destroy == "inverted" else 1.0
    cost[grid.test] = cost[grid.test][:, ::-1] * 7
    return replace(grid, reward=reward, cost_usd=cost)


def learned(grid: Grid, learning: Learning) -> tuple[list[Estimate], Mapping[str, Any]]:
    """What a learner estimates, and what is chosen by it."""
    question = question_groups(grid)
    (part,) = split_parts(grid, question, 0)
    estimates = learning(Corpus.of(grid, question, Extractor.of()), 0)(part)
    tested = Results.of(grid, [part], question, 0)
    return list(estimates), measure(tested, [routed(grid, part, *estimates)]).settings


def test_folds_choose_inside_each_training_part(tmp_path: Path) -> None:
    """In a fold, too, the held-out queries' outcomes move nothing that is chosen for them."""
    grid = planted_grid(tmp_path, 90)
    group = question_groups(grid)
    part = fold_parts(group, Folds(2, 3), seed=0)[4]
    held = np.zeros(len(grid), np.bool_)
    held[part.test] = True
    as_split = replace(grid, test=held)
    unmoved(as_split, BASELINES["logistic"], "inverted")


def test_every_query_counts_once_however_many_passes(tmp_path: Path, quick: None) -> None:
    """Folds pool all queries; more passes average, and do not narrow what rests on the queries alone."""
    grid = planted_grid(tmp_path, 90)
    one, three = (compare(grid, Protocol(Folds(passes, 3))) for passes in (1, 3))
    assert one["n_test"] == three["n_test"] == 90
    assert one["n_train"] == three["n_train"] == 60
    assert one["arms"] == three["arms"]
    assert three["protocol"]["folds"] == "3x3"
    width = [
        each["router"]["at_equal_cost"]["high"] - each["router"]["at_equal_cost"]["low"]
        for each in (one, three)
    ]
    assert width[1] > 0.7 * width[0]


def test_two_models_have_routellm_s_measures(tmp_path: Path, quick: None) -> None:
    """A score that knows the kinds of questions recovers more of the gap than half, with an interval."""
    found = compare(planted_grid(tmp_path, 300, ("dear", "cheap")), Protocol(Folds(1, 5)))
    assert 0.55 < found["apgr_interval"]["low"] < found["apgr"] < found["apgr_interval"]["high"] < 1
    assert 0 < found["cpt"]["20"] < found["cpt"]["50"] < found["cpt"]["80"] < 1


def test_a_task_that_is_left_out_is_never_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``leave_out``, what is tested in a part is of tasks that no training query is of."""
    seen = []

    def watching(corpus: Corpus, part: Part) -> Estimates:
        tasks = np.array(corpus.grid.domains)
        seen.append((set(tasks[part.train]), set(tasks[part.test])))
        flat = Estimate(*(np.ones((len(part.train), 3)) for _ in NAMES))
        return flat, Estimate(*(np.ones((len(part.test), 3)) for _ in NAMES))

    monkeypatch.setattr(
        "training.evaluation.comparison.served", lambda corpus, _: lambda part: watching(corpus, part)
    )
    monkeypatch.setattr("training.evaluation.comparison.BASELINES", {})
    found = compare(planted_grid(tmp_path, 60), Protocol(Folds(1, 3), leave_out="task"))
    assert len(seen) == 3
    assert all(train & test == set() for train, test in seen)
    assert found["n_test"] == 60
    assert found["protocol"]["resampled"] == "task"
    by_task, by_query = (
        each["arms"][0]["high"] - each["arms"][0]["low"]
        for each in (found, compare(planted_grid(tmp_path, 60), Protocol(Folds(1, 3))))
    )
    assert by_task > 2 * by_query  # three tasks, whole


def test_tasks_that_are_left_out_are_resampled_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How another task would fare is known from three tasks only, however many queries each has: the
    intervals and the guard go by that."""
    grid = planted_grid(tmp_path, 300)
    task, question = left_out_groups(grid, "task"), question_groups(grid)
    parts = fold_parts(task, Folds(1, 3), seed=0)
    guarded_by: list[int] = []

    def watched(train: Sweep, best: Outcome, unit: IntArray) -> Setting:
        guarded_by.append(len(np.unique(unit)))
        return guarded(train, best, unit)

    monkeypatch.setattr("training.evaluation.section.guarded", watched)
    width = []
    for unit in (task, question):
        tested = Results.of(grid, parts, unit, 0)
        found = tested.resamples.interval(tested.reward[:, 0])
        width.append(found.high - found.low)
        told = of_quality(grid.reward, grid.cost_usd)
        every = Estimate(*(getattr(told, name)[:100] for name in NAMES))
        measure(tested, [routed(grid, replace(each, train=each.test), every, every) for each in parts])
    assert width[0] > 4 * width[1]
    assert guarded_by == [1, 1, 1, 100, 100, 100]


def test_additional_routers_are_sections_of_their_own(tmp_path: Path, quick: None) -> None:
    """Whatever decides by price can stand beside the report's own router, on the same parts."""
    grid = planted_grid(tmp_path, 90)

    def second(corpus, parts, own, seed):  # type: ignore[no-untyped-def]  # a fake
        return {"second": [routed(grid, part, *each) for part, each in zip(parts, own, strict=True)]}

    found = compare(grid, Protocol(), additional=second)
    section = found["routers"]["second"]
    assert section["at_equal_cost"] == found["router"]["at_equal_cost"]
    assert section["calibration"] == found["calibration"]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command in this process, in the test's folder: code, output, complaints."""
    monkeypatch.chdir(tmp_path)

    def run_here(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["effortwise", "evaluate", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_here


def test_the_command_prints_tables_and_writes_json_and_picture(tmp_path: Path, run: Run, quick: None) -> None:
    """USD per 1,000 queries on the screen, USD per query in the JSON; progress on the error stream."""
    rows = logged_rows(60, ("cheap", "dear"))
    train = next(row["question_key"] for row in rows if row["split"] == "train")
    again = next(row["query_id"] for row in rows if row["split"] == "test")
    for row in rows:
        if row["query_id"] == again:
            row["question_key"] = train
    write_rows(tmp_path / "mine.parquet", rows)
    code, out, err = run("mine.parquet", "--json", "out.json", "--plot", "out.png")
    assert code == 0, err
    assert "measuring" in err
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["dropped"]["test questions that stand in train"] == 1
    assert "1 test questions that stand in train" in out
    assert f"trained on {found['n_train']} queries, tested on {found['n_test']}" in out
    assert f"{1000 * found['baselines']['best_single']['cost_usd']:.4g}" in out
    for words in ("best single: dear", "TF-IDF + LR", "APGR", "AUROC", "oracle", "read off test"):
        assert words in out
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out.svg").exists()


def test_the_same_seed_gives_the_same_report(tmp_path: Path, run: Run, quick: None) -> None:
    """Run twice, the JSON is the same; the options stand in it."""
    write_rows(tmp_path / "mine.parquet", logged_rows(60))
    options = ["mine.parquet", "--folds", "2x3", "--labels", "30", "--seed", "4", "--correct-at", "0.5"]
    for name in ("a.json", "b.json"):
        assert run(*options, "--json", name)[0] == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    protocol = json.loads((tmp_path / "a.json").read_text())["protocol"]
    assert protocol == {
        "folds": "2x3", "labels": 30, "leave_out": None, "resampled": "question", "seed": 4,
        "resamples": 2000, "correct_at": 0.5, "features": ["length", "structure", "numbers", "ngrams"],
        "also_learnt": [], "also_learnt_from": {},
    }  # fmt: skip


def test_an_encoder_adds_its_vectors(
    tmp_path: Path, run: Run, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The corpus has its columns, from the folder that was named, and the report says so."""
    write_rows(tmp_path / "mine.parquet", logged_rows(40))
    seen: list[object] = []

    class Encoder:
        identity = "f00d"

        def __init__(self, path: object) -> None:
            seen.append(path)

        def tokens(self, text: str) -> tuple[np.ndarray, np.ndarray]:
            return np.full((1, 2), len(text), float), np.ones(1)

    monkeypatch.setattr(embedding, "OnnxEncoder", Encoder)
    assert run("mine.parquet", "--folds", "3", "--encoder", "encoders/small", "--json", "a.json")[0] == 0
    assert seen == [Path("encoders/small")]
    assert json.loads((tmp_path / "a.json").read_text())["protocol"]["features"][-1] == "embedding"


def test_an_encoder_that_is_none_is_named(tmp_path: Path, run: Run) -> None:
    """With what its folder lacks."""
    write_rows(tmp_path / "mine.parquet", logged_rows(40))
    code, _, told = run("mine.parquet", "--folds", "3", "--encoder", "nowhere")
    assert code != 0
    assert "nowhere lacks model.onnx and tokenizer.json" in " ".join(told.split())


@pytest.mark.parametrize(("given", "order"), [("learnt", None), ("mid, DEAR", ("middle", "dear"))])
def test_answers_adds_the_cascade(
    tmp_path: Path,
    run: Run,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    order: tuple[str, ...] | None,
) -> None:
    """It is asked for in a learnt order, or through arms that are named as models are; printed and
    written as a router of its own."""
    asked = []

    def fake(order, correct_at, likeness):  # type: ignore[no-untyped-def]  # a fake
        asked.append((order, correct_at))
        return lambda corpus, parts, own, seed: {
            "answers": [routed(corpus.grid, part, *each) for part, each in zip(parts, own, strict=True)]
        }

    monkeypatch.setattr("effortwise.commands.evaluate.Answers", fake)
    write_rows(tmp_path / "mine.parquet", logged_rows(60))
    code, out, _ = run("mine.parquet", "--answers", given, "--json", "out.json")
    assert code == 0
    assert asked == [(order, 0.99)]
    assert "answers" in out
    assert list(json.loads((tmp_path / "out.json").read_text())["routers"]) == ["answers"]


MISTAKES = [
    (["nowhere.parquet"], "nowhere.parquet cannot be read as Parquet"),
    (["mine.parquet", "--dataset", "other"], "holds no data set 'other'. It holds: planted"),
    (["mine.parquet", "--models", "dear"], "nothing to choose from: 1 arm"),
    (["mine.parquet", "--folds", "many"], "--folds takes repeats x folds, such as 5x5"),
    (["mine.parquet", "--leave-out", "moon"], "--leave-out takes task or domain"),
    (["mine.parquet", "--json", "no/where.json"], "there is no folder no"),
    (["mine.parquet", "--answers", "nobody"], "'nobody' names no model"),
    (["trained.parquet"], "No query of planted stands in split=test: give --folds 5x5"),
    (["unpriced.parquet", "--models", "cheap,dear"], "Costs are null for dear"),
    (["few.parquet"], "lacks cost_usd"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_a_mistake_ends_with_one_line(tmp_path: Path, run: Run, arguments: list[str], words: str) -> None:
    """What is wrong and what would do, on the error stream, and a code that is not 0."""
    rows = logged_rows(12)
    write_rows(tmp_path / "mine.parquet", rows)
    write_rows(tmp_path / "trained.parquet", [{**row, "split": "train"} for row in rows])
    priced = [row if row["model"] != "dear" else {**row, "cost_usd": None} for row in rows]
    write_rows(tmp_path / "unpriced.parquet", priced)
    few = [{key: value for key, value in row.items() if key != "cost_usd"} for row in rows]
    write_rows(tmp_path / "few.parquet", few)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("effortwise: ")
    assert words in err
    assert err.count("\n") == 1
