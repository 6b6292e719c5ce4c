"""Training, whole: it learns what is there, says how well, and the same again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_learning import planted_quality, planted_rounds, small_menu

import training.train as train_module
from router.bundle import load_bundle
from router.errors import ConfigurationError, InvalidQuery
from router.features import Extractor
from router.learnt.platt import Platt
from router.menu import Menu
from router.query import Query
from training.calibrate import fit_platt
from training.families import Families
from training.fit.difficulty import KINDS
from training.measures import auroc, brier, calibration_error, mean_interval
from training.rounds import Round
from training.split import split
from training.table import Table, tabulate
from training.train import TrainedBundle, train

MENU = small_menu()
EXTRACTOR = Extractor.of()


@pytest.fixture(scope="module")
def trained() -> TrainedBundle:
    """A predictor on as many rounds as a short demonstration gives."""
    return train(planted_rounds(MENU, 400), MENU, EXTRACTOR)


def quality(bundle: TrainedBundle, text: str, arm_id: str) -> float:
    row = bundle.extractor(Query([{"role": "user", "content": text}]))
    return float(bundle.difficulty.estimate(row).quality[MENU.position[arm_id]])


@pytest.mark.parametrize("kind", ["logistic", "boosted"])
def test_beats_the_constant(kind: str) -> None:
    """On rounds it has not seen, a learnt predictor's log loss is below the constant's, beyond chance."""
    metrics = train(planted_rounds(MENU, 1000), MENU, EXTRACTOR, kind).metrics
    assert metrics["gain"]["low"] > 0
    assert metrics["pooled"]["log_loss"] < metrics["constant"]["log_loss"]
    assert metrics["pooled"]["auroc"] > 0.75
    assert metrics["pooled"]["calibration_error"] < 0.1


def test_few_rounds_suffice(trained: TrainedBundle) -> None:
    """Four hundred rounds over seven arms tell which arm suits which question."""
    assert trained.difficulty.name == "logistic"
    sentence = "Write a sentence about rivers and lamps number 345."
    total = "What is the sum of 345 rivers and 678 lamps?"
    assert quality(trained, sentence, "small/direct") > quality(trained, sentence, "small/steps") + 0.2
    assert quality(trained, total, "small/steps") > quality(trained, total, "small/direct") + 0.2


def test_greedy_policy_is_worth_more(trained: TrainedBundle) -> None:
    """With the logged odds, the value of acting on the predictor is estimated above the logged one."""
    value = trained.metrics["value"]
    assert value["doubly_robust"]["mean"] > value["logged"]["mean"]
    assert 1 < value["snips"]["effective_rounds"] <= value["snips"]["rounds"]


def test_no_odds_no_value() -> None:
    """Where no round has odds, nothing that needs them is computed."""
    rounds = [replace(r, propensity=None, propensities=None) for r in planted_rounds(MENU, 200)]
    assert train(rounds, MENU, EXTRACTOR).metrics["value"] is None


def test_same_seed_same_bundle(trained: TrainedBundle) -> None:
    """The same rounds and seed give the same predictor and metrics."""
    again = train(planted_rounds(MENU, 400), MENU, EXTRACTOR)
    one, other = trained.difficulty.state().arrays, again.difficulty.state().arrays
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert again.metrics == trained.metrics


def test_metrics_are_plain(trained: TrainedBundle) -> None:
    """Metrics and summary are JSON as it is defined, without infinities."""
    json.dumps([trained.metrics, trained.summary], allow_nan=False)


@pytest.mark.parametrize(
    ("rounds", "kind"), [(1, "constant"), (40, "constant"), (100, "logistic"), (2400, "logistic")]
)
def test_capacity_follows_the_rounds(rounds: int, kind: str) -> None:
    """With few rounds the predictor is simple, and where trees do not help it stays so; what it was is in
    the summary."""
    bundle = train(planted_rounds(MENU, rounds), MENU, EXTRACTOR)
    assert bundle.difficulty.name == bundle.summary["kind"] == kind


def test_trees_where_they_help() -> None:
    """Where length and kind of a question matter only together, the automatic choice grows trees."""
    rounds = planted_rounds(MENU, 2400)
    rng = np.random.default_rng(0)
    sizes = np.array([len(r.query.text) for r in rounds])
    kinds = np.array(["sentence" in r.query.text for r in rounds])
    long = np.where(kinds, sizes > np.median(sizes[kinds]), sizes > np.median(sizes[~kinds]))
    chance = np.where(long == kinds, 0.95, 0.05)
    crossed = [replace(r, reward=float(rng.random() < p)) for r, p in zip(rounds, chance, strict=True)]
    bundle = train(crossed, MENU, EXTRACTOR)
    assert bundle.difficulty.name == "boosted"
    assert bundle.metrics["pooled"]["auroc"] > 0.85


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_hardly_any_rounds(kind: str, count: int) -> None:
    """Any kind can be asked for with any number of rounds, one included."""
    bundle = train(planted_rounds(MENU, count), MENU, EXTRACTOR, kind)
    assert 0 < quality(bundle, "Anything", "small/direct") < 1


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_one_sided_rewards(reward: float) -> None:
    """Where every answer was right, or none, the predictor leans that way and stays finite."""
    rounds = [replace(r, reward=reward) for r in planted_rounds(MENU, 150)]
    bundle = train(rounds, MENU, EXTRACTOR, "logistic")
    assert abs(quality(bundle, rounds[0].query.text, "small/direct") - reward) < 0.2


def test_partial_rewards() -> None:
    """A reward between 0 and 1 counts as that share of a success."""
    rounds = [replace(r, reward=0.3) for r in planted_rounds(MENU, 200)]
    bundle = train(rounds, MENU, EXTRACTOR, "logistic")
    assert quality(bundle, rounds[0].query.text, "small/direct") == pytest.approx(0.3, abs=0.05)


def test_unknown_spending_keeps_the_prior() -> None:
    """Where no cost was recorded, the arms' costs follow the tariff and stay in its order."""
    rounds = [replace(r, cost_usd=None, latency_s=None) for r in planted_rounds(MENU, 150)]
    row = EXTRACTOR(rounds[0].query)
    estimate = train(rounds, MENU, EXTRACTOR, "logistic").difficulty.estimate(row)
    small, large = (estimate.cost_usd[MENU.position[name]] for name in ("small/direct", "large/direct"))
    assert large == pytest.approx(10 * small, rel=1e-3)
    assert (estimate.cost_usd_q90 > estimate.cost_usd).all()


def test_arms_that_left_the_menu_teach() -> None:
    """What was logged of an arm that is gone tells which questions are hard for those that stay; it is
    counted, not measured on, and the bundle does not know it."""
    few = [r for r in planted_rounds(MENU, 700, seed=5) if r.arm == "small/direct"]
    logged = [
        replace(r, arm="old/direct", created_at=float(i))
        for i, r in enumerate(planted_rounds(MENU, 3000))
        if r.arm == "small/direct"
    ]
    alone, taught = (train(rounds, MENU, EXTRACTOR, "logistic") for rounds in (few, few + logged))
    assert (taught.menu.ids, taught.summary["of_other_arms"]) == (["small/direct"], len(logged))
    assert set(taught.metrics["arms"]) == {"small/direct"}
    sums, sentences = (
        [r.query.text for r in planted_rounds(MENU, 80, seed=9) if ("sum" in r.query.text) == is_sum]
        for is_sum in (True, False)
    )
    contrast = [
        np.mean([quality(bundle, text, "small/direct") for text in sentences])
        - np.mean([quality(bundle, text, "small/direct") for text in sums])
        for bundle in (alone, taught)
    ]
    assert contrast[0] < contrast[1] <= 0.8 + 0.1  # planted: 0.9 less 0.1


def of_a_gone_arm(count: int, arm: str = "old/direct", seed: int = 1, **more: Any) -> list[Round]:
    return [replace(r, arm=arm, **more) for r in planted_rounds(MENU, count, seed)]


def test_arms_that_only_teach_are_not_measured_or_counted(trained: TrainedBundle) -> None:
    """With far more and older rounds of a gone arm, the menu's are split as before, questions and mean reward
    are the menu's, and the measured predictor has seen the menu's arms."""
    own = planted_rounds(MENU, 400)
    taught = train(own + of_a_gone_arm(1600, created_at=1.0), MENU, EXTRACTOR)
    for name in ("questions", "mean_reward", "test", "rounds"):
        assert taught.summary[name] == trained.summary[name]
    assert taught.metrics["rounds"] == trained.metrics["rounds"]
    assert taught.metrics["gain"]["mean"] > trained.metrics["gain"]["mean"] - 0.03


@pytest.mark.parametrize("kind", ["logistic", "boosted"])
def test_many_gone_arms_cost_a_decision_no_more_than_one_family(kind: str) -> None:
    """However many arms only teach, the predictor holds one family more than the menu's."""
    gone = [r for i in range(12) for r in of_a_gone_arm(20, f"old{i}/direct", i)]
    taught = train(planted_rounds(MENU, 200) + gone, MENU, EXTRACTOR, kind)
    families = len({arm.family for arm in MENU})
    leading = 16 if kind == "boosted" else 0
    table = taught.difficulty.state().arrays["projection.table"]
    assert table.shape[1] == 3 * (families + 1) + leading


def test_others_fill_up_the_room_that_the_menus_rounds_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the menu's rounds is given up for one that only teaches."""
    monkeypatch.setattr(train_module, "MOST_CROSSED", 150)
    summary = train(planted_rounds(MENU, 100) + of_a_gone_arm(400), MENU, EXTRACTOR).summary
    assert (summary["rounds"], summary["of_other_arms"]) == (100, 50)


@pytest.mark.parametrize("cost", [None, float("nan")])
def test_costs_of_a_gone_arm_may_be_unknown(cost: float | None) -> None:
    """It teaches all the same, and the menu's costs are finite."""
    gone = of_a_gone_arm(50, cost_usd=cost)
    taught = train(planted_rounds(MENU, 150) + gone, MENU, EXTRACTOR, "logistic")
    estimate = taught.difficulty.estimate(EXTRACTOR(gone[0].query))
    assert np.isfinite(estimate.cost_usd).all()


def test_an_estimator_for_the_whole_menu() -> None:
    """What was learnt of some arms stands at their places in a menu of more."""
    trained = train([r for r in planted_rounds(MENU, 300) if r.arm != "small/direct"], MENU, EXTRACTOR)
    row = EXTRACTOR(Query([{"role": "user", "content": "Anything"}]))
    whole, learnt = trained.estimator(MENU).estimate(row), trained.difficulty.estimate(row)
    assert whole.quality.shape == (len(MENU),)
    assert (whole.quality[[MENU.position[name] for name in trained.menu.ids]] == learnt.quality).all()


def test_an_arm_without_rounds_is_not_learnt(tmp_path: Path) -> None:
    """Of a family without a round there is nothing to know: a service that offers it finds it new, and the
    value of a policy is that among the others. Of a family with rounds, all arms are known."""
    rounds = [r for r in planted_rounds(MENU, 400) if r.arm not in ("small/steps", "small/checked@4")]
    trained = train(rounds, MENU, EXTRACTOR)
    assert trained.menu.ids == [name for name in MENU.ids if name != "small/steps"]
    assert trained.metrics["value"]["logged"]["rounds"] == trained.metrics["rounds"]
    trained.save(tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle", MENU).newcomers == ("small/steps",)


@pytest.mark.parametrize(("gone", "known"), [("small/checked@16", True), ("small/checked@x", False)])
def test_a_rung_that_left_the_menu_teaches_its_family(gone: str, known: bool) -> None:
    """Its family's other rungs are known by it, as by each other: more compute is better, and nothing else
    was logged of the family. What is no rung of it teaches what is hard, no more."""
    others = [
        replace(r, propensities=None)
        for r in planted_rounds(MENU, 500)
        if not r.arm.startswith("small/checked")
    ]
    rungs = [
        replace(r, propensities=None, arm="small/checked@16" if r.arm == "small/checked@8" else r.arm)
        for r in planted_rounds(MENU, 4000, seed=3)
        if r.arm in ("small/checked@2", "small/checked@8")
    ]
    few = Menu(tuple(arm for arm in MENU if arm.id not in ("small/checked@2", "small/checked@8")))
    logged = [replace(r, arm=gone if r.arm == "small/checked@16" else "small/checked@1") for r in rungs]
    logged = logged if known else [r for r in logged if r.arm == gone]
    trained = train(others + logged, few, EXTRACTOR, "logistic")
    assert ("small/checked@4" in trained.menu.ids) == known
    assert trained.summary["of_other_arms"] == len(logged)
    assert set(trained.metrics["arms"]) <= set(trained.menu.ids)
    if known:
        told = trained.difficulty.estimate(EXTRACTOR(rungs[0].query)).quality
        middle = told[trained.menu.ids.index("small/checked@4")]
        assert 0.4 < middle < 0.9  # planted: 0.5 with two draws, which are called one here, and 0.9 with 16


def test_nothing_to_learn_from() -> None:
    """Without a round there is a clear error, as with a kind that does not exist."""
    with pytest.raises(InvalidQuery, match="no round"):
        train([], MENU, EXTRACTOR)
    with pytest.raises(InvalidQuery, match="no round to train on"):
        train([replace(r, arm="old/direct") for r in planted_rounds(MENU, 9)], MENU, EXTRACTOR)
    with pytest.raises(ConfigurationError, match="logistic"):
        train(planted_rounds(MENU, 5), MENU, EXTRACTOR, "neural")


def test_weights_follow_the_odds() -> None:
    """With a clip, rare draws weigh more, at most the clip's multiple; without one all weigh alike."""
    rounds = [
        replace(r, propensity=p) for r, p in zip(planted_rounds(MENU, 3), (0.5, 0.01, None), strict=True)
    ]
    groups = np.arange(3)
    clipped = tabulate(rounds, groups, EXTRACTOR, MENU, clip=10.0).weight
    assert clipped.tolist() == pytest.approx((np.array([2, 10, 1]) * 3 / 13).tolist())
    assert tabulate(rounds, groups, EXTRACTOR, MENU).weight.tolist() == [1, 1, 1]


def calibration_table(rounds: list[Round]) -> Table:
    return tabulate(rounds, split(rounds).groups, EXTRACTOR, MENU)


def test_platt_repairs_overconfidence() -> None:
    """Logits that are three times too large come out calibrated, by family."""
    rounds = planted_rounds(MENU, 2000)
    table = calibration_table(rounds)
    truth = np.array([planted_quality(MENU[r.arm], "sentence" in r.query.text) for r in rounds])
    wrong = 3 * np.log(truth / (1 - truth)) + 1
    platt = fit_platt(wrong, table, Families.of(MENU))
    found = Platt(platt.slope[table.arm], platt.shift[table.arm]).probabilities(wrong)
    assert calibration_error(found, table.reward) < 0.05
    assert calibration_error(1 / (1 + np.exp(-wrong)), table.reward) > 0.1


def test_platt_with_nothing_is_the_identity() -> None:
    """Without rounds the logits are taken as they are; with one, nearly so."""
    table = calibration_table(planted_rounds(MENU, 10))
    none, one = table.take(np.arange(0)), table.take(np.arange(1))
    families = Families.of(MENU)
    untouched, nearly = fit_platt(np.zeros(0), none, families), fit_platt(np.zeros(1), one, families)
    assert untouched.slope.tolist() == [1] * len(MENU)
    assert untouched.shift.tolist() == [0] * len(MENU)
    assert np.abs(nearly.shift).max() < 0.25


def test_platt_keeps_the_order_of_a_family() -> None:
    """Arms of one family have one slope and shift, the slope above zero even against the evidence."""
    rounds = planted_rounds(MENU, 500)
    table = calibration_table(rounds)
    platt = fit_platt(5 - 10 * table.reward, table, Families.of(MENU))
    assert (platt.slope > 0).all()
    checked = [i for i, each in enumerate(MENU) if each.family == "small/checked"]
    assert len(set(platt.slope[checked])) == len(set(platt.shift[checked])) == 1


def test_rounds_that_only_teach_do_not_calibrate() -> None:
    """What came of arms that nobody is sent to does not count, in whatever family they are."""
    table = calibration_table(planted_rounds(MENU, 500)).judged_on(2)
    logits, families = np.random.default_rng(0).normal(size=len(table)), Families.of(MENU)
    other = table.arm >= 2
    turned = replace(table, reward=np.where(other, 1 - table.reward, table.reward))
    before, after = (fit_platt(logits, each, families) for each in (table, turned))
    assert (before.slope == after.slope).all()
    assert (before.shift == after.shift).all()
    assert (fit_platt(logits, replace(turned, judged_arms=len(MENU)), families).shift != before.shift).any()


def test_measures() -> None:
    """The measures are what their definitions say, on small cases."""
    predicted, reward = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])
    assert auroc(predicted, reward) == 0.75
    assert auroc(predicted, np.ones(4)) is None
    assert brier(predicted, reward) == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)
    assert calibration_error(np.full(10, 0.5), np.array([1.0, 0.0] * 5), bins=1) == pytest.approx(0)


def test_bootstrap_interval_covers() -> None:
    """The interval holds the true mean in about 95 of 100 repetitions, whole groups resampled."""
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(100):
        effect = rng.normal(size=60)
        group = np.repeat(np.arange(60), 4)
        _, low, high = mean_interval(effect[group] + rng.normal(size=240) * 0.1, group, seed, 400)
        covered += low <= 0 <= high
    assert covered >= 86
