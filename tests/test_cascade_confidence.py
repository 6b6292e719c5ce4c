"""The confidence predictor of cascades: learnt by training, in the bundle, and as evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from fakes_answers import COSTS, answered_grid, part_of
from fakes_learning import candidate, planted_rounds, small_menu
from service_process import write_toml

from effortwise.commands.train import train as train_command
from router.allocator import Allocator
from router.arm import Arm
from router.bundle import Bundle, load_bundle
from router.candidate import Candidate
from router.confidence import ConfidencePredictor
from router.confidence.agreement import Agreement
from router.configuration import load_configuration
from router.configured import configured_menu
from router.errors import ConfigurationError
from router.features import Extractor
from router.menu import Menu
from router.policies.between import Between
from router.policies.greedy import Greedy
from router.price import Price
from router.prospect import Prospects
from router.query import Query
from router.replay import Recording
from router.strategies.cascade import Cascade, Stage
from router.strategies.direct import Direct
from training.cascade_confidence import answered, cascades_of
from training.evaluation.cascades import answer_aware
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import question_groups
from training.evaluation.grid import Grid
from training.evaluation.learners import served
from training.evaluation.sheet import Sheet
from training.rounds import Round
from training.simulate import Simulation
from training.train import train

MODELS = ("tiny", "small", "large")
ORDER = tuple(f"{model}/direct" for model in MODELS)
TOKENS = 60
"""Of every recorded call."""
PRICES = [Price(rate) for rate in (30.0, 100.0, 300.0)]


DEAR_LOOKS = {"tiny": 6e-4, "small": 6e-4, "large": 1e-3}


def settled(grid: Grid, costs: Mapping[str, float] = COSTS) -> Grid:
    """Every call costs what its model's tariff says."""
    draws = [
        [(replace(cell[0], cost_usd=costs[arm]),) for arm, cell in zip(grid.arms, row, strict=True)]
        for row in grid.draws
    ]
    return replace(grid, draws=draws, cost_usd=np.tile([costs[arm] for arm in grid.arms], (len(grid), 1)))


@pytest.fixture(scope="module")
def grid() -> Grid:
    """Three arms that answered 500 questions."""
    return settled(answered_grid(500))


def configured(
    folder: Path, costs: Mapping[str, float] = COSTS, orders: Sequence[Sequence[str]] = (ORDER,)
) -> Path:
    tariffs = {model: costs[model] * 1e6 / TOKENS for model in MODELS}
    return write_toml(
        folder / "config.toml",
        {
            "decision": {"price_per_usd": 100.0},
            "backends": {"fake": {"type": "scripted", "rules": []}},
            "models": {
                model: {
                    "backend": "fake",
                    "usd_per_million_prompt_tokens": tariff,
                    "usd_per_million_completion_tokens": tariff,
                }
                for model, tariff in tariffs.items()
            },
            "menu": [
                {"strategy": "direct", "models": list(MODELS)},
                *({"strategy": "cascade", "stages": list(order), "accept_at": 1.0} for order in orders),
            ],
        },
    )


def recorded(grid: Grid, rows: Sequence[int], path: Path) -> Path:
    """The calls of some questions, as a file."""
    calls = [
        {
            "query_id": grid.query_ids[i],
            "query": grid.texts[i],
            "model": model,
            "strategy": "direct",
            "response": draw.response,
            "score": draw.score,
            "prompt_tokens": draw.prompt_tokens,
            "completion_tokens": draw.completion_tokens,
            "question_key": grid.keys[i],
        }
        for i in rows
        for model, (draw,) in zip(grid.arms, grid.draws[i], strict=True)
    ]
    parquet.write_table(pa.Table.from_pylist(calls), path)
    return path


@pytest.fixture(scope="module")
def menu_and_bundle(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> tuple[Menu, Bundle]:
    """What ``train --replay`` made of the training part, loaded as a service loads it."""
    folder = tmp_path_factory.mktemp("trained")
    config = configured(folder)
    calls = recorded(grid, part_of(grid).train.tolist(), folder / "calls.parquet")
    train_command(config, None, calls, "logistic", folder / "bundle", 0)
    menu = configured_menu(load_configuration(config))
    return menu, load_bundle(folder / "bundle", menu)


def test_a_bundle_from_a_recording_holds_the_consensus(menu_and_bundle: tuple[Menu, Bundle]) -> None:
    """With what each stage's word counts, and what every later one would bring."""
    _, bundle = menu_and_bundle
    assert bundle.confidence.name == "consensus"
    learnt = bundle.confidence.state()
    assert set(learnt["own"]) == {*ORDER, ""}
    assert "small/direct + tiny/direct > large/direct" in learnt["gain"]
    assert bundle.manifest["summary"]["confidence"] == "consensus"


def test_what_was_trained_decides_as_what_was_evaluated(
    grid: Grid, menu_and_bundle: tuple[Menu, Bundle]
) -> None:
    """The bundle's cascade stops nearly every question, never seen before, where the evaluation of the same
    recording stops it at the same price, and is about as often right."""
    menu, bundle = menu_and_bundle
    sheet, part = Sheet.of(grid), part_of(grid)
    learner = served(Corpus.of(grid, question_groups(grid), Extractor.of()), 0)
    told = answer_aware(grid, sheet, part, *learner(part), given=(0, 1, 2))
    draws = Recording.of(sheet.draws(part.test, range(3)))
    cascade, alike = menu.arms[-1], []
    for price in PRICES:
        simulation = Simulation(
            draws, bundle.confidence, price, lambda query: Prospects.of(query, menu, bundle)
        )
        replayed = simulation.replay([(sheet.queries[i], cascade) for i in part.test])
        expected = told.test.at(price)
        spent = np.array([sum(draw.cost_usd or 0.0 for draw in each.draws) for each in replayed])
        alike.append(np.isclose(spent, expected.cost_usd).mean())
        assert np.mean([each.score for each in replayed]) == pytest.approx(expected.reward.mean(), abs=0.02)
    assert np.mean(alike) > 0.94


def test_what_was_learnt_pays(grid: Grid, menu_and_bundle: tuple[Menu, Bundle]) -> None:
    """The cascade is worth more than by the cold predictor's word, and stops at every stage."""
    menu, bundle = menu_and_bundle
    sheet, test = Sheet.of(grid), part_of(grid).test
    draws = Recording.of(sheet.draws(test, range(3)))
    price = Price(100.0)

    def worth(confidence: ConfidencePredictor, stages: int) -> float:
        simulation = Simulation(draws, confidence, price, lambda query: Prospects.of(query, menu, bundle))
        replayed = simulation.replay([(sheet.queries[i], menu.arms[-1]) for i in test])
        assert len({len(each.draws) for each in replayed}) == stages
        return float(np.mean([each.score - price.per_usd * each.usage.cost_usd for each in replayed]))

    assert worth(bundle.confidence, 3) > worth(Agreement(), 1)


def single(model: str) -> Arm:
    return Arm(f"{model}/direct", Direct(model), (), f"{model}/direct")


def cascading(*models: str) -> Arm:
    strategy = Cascade(tuple(Stage(f"{model}/direct", Direct(model)) for model in models))
    return Arm(strategy.family, strategy, (), strategy.family)


def round_of(key: str, model: str, text: str, reward: float = 1.0) -> Round:
    drawn: tuple[Candidate, ...] = (candidate(text),)
    return Round(Query([{"role": "user", "content": key}]), f"{model}/direct", reward, key, candidates=drawn)


def test_only_questions_that_all_stages_answered_count() -> None:
    """Each with the rounds that hold their answers; equal answers count once."""
    rounds = [round_of(f"q{i}", model, str(i % 5)) for i in range(80) for model in MODELS[: 1 + i % 8]]
    twice = [*rounds, *rounds]
    found = answered(twice, [ORDER[:2]])
    assert found is not None
    assert found.heard.arms == ORDER[:2]
    assert len(found.heard) == 70
    for row in found.rounds.tolist():
        first, second = (twice[i] for i in row)
        assert (first.question_key, first.arm, second.arm) == (second.question_key, *ORDER[:2])
    assert answered(rounds[:100], [ORDER]) is None


def test_the_cascade_with_the_most_questions_comes_first() -> None:
    """Another is learnt beside it only where enough questions were answered by all of both."""
    rounds = [round_of(f"q{i}", model, str(i % 5)) for i in range(100) for model in MODELS[: 2 + (i < 30)]]
    found = answered(rounds, [ORDER, ORDER[:2]])
    assert found is not None
    assert (found.heard.arms, len(found.heard), found.orders) == (ORDER[:2], 100, ((0, 1),))
    more = [round_of(f"q{i}", model, str(i % 5)) for i in range(100) for model in MODELS]
    found = answered(more, [ORDER[:2], ORDER[::2]])
    assert found is not None
    assert found.orders == ((0, 1), (0, 2))


def test_answers_of_one_arm_are_paired_with_others_of_another() -> None:
    """Two arms that were replayed over the same draws would agree with themselves."""
    rounds = [round_of(f"q{i}", model, text) for i in range(60) for model in MODELS[:2] for text in "12"]
    found = answered(rounds, [ORDER[:2]])
    assert found is not None
    assert len(found.heard) == 120
    assert not found.heard.same[:, 0, 1].any()


def test_the_orders_are_those_of_the_menu_s_cascades() -> None:
    """Each once."""
    arms = (*map(single, MODELS), cascading("tiny", "large"), cascading(*MODELS))
    assert cascades_of(Menu(arms)) == [ORDER[::2], ORDER]


def test_without_answers_in_common_agreement_serves() -> None:
    """A log of one arm a question says nothing of agreement across arms."""
    menu = small_menu()
    trained = train(planted_rounds(menu, 200), menu, Extractor.of())
    assert (trained.confidence.name, trained.summary["confidence"]) == ("agreement", "agreement")


def test_too_few_questions_take_no_bundles_place(grid: Grid, tmp_path: Path) -> None:
    """A bundle that nothing could tell from a bad one is not registered: a constant learnt from two outcomes
    would take the place of what serves."""
    config = configured(tmp_path)
    calls = recorded(grid, range(10), tmp_path / "calls.parquet")
    with pytest.raises(ConfigurationError, match="10 judged questions are too few"):
        train_command(config, None, calls, "auto", None, 0)


def telling(grid: Grid) -> Grid:
    """Every second question tells which model is the first to be right."""
    first = ["alpha", "beta", "gamma", "none"]
    marks = [first[int(np.append(row, 1.0).argmax())] for row in grid.reward]
    texts = [
        f"{text} {mark} " * 2 if i % 2 else text
        for i, (text, mark) in enumerate(zip(grid.texts, marks, strict=True))
    ]
    return replace(grid, texts=tuple(texts))


def test_the_served_policy_chooses_as_the_evaluation_does(tmp_path: Path) -> None:
    """Where looks are dear and half of the questions say who is right: at the price that the bundle was
    trained at, greedy over the single arms and their cascade sends some questions straight to one arm, which
    earns more than the cascade for all, and about what the evaluation's choice earns."""
    grid = telling(settled(answered_grid(700), DEAR_LOOKS))
    sheet, part, price = Sheet.of(grid), part_of(grid), Price(100.0)
    config = configured(tmp_path, DEAR_LOOKS)
    calls = recorded(grid, part.train.tolist(), tmp_path / "calls.parquet")
    train_command(config, None, calls, "logistic", tmp_path / "bundle", 0)
    menu = configured_menu(load_configuration(config))
    bundle = load_bundle(tmp_path / "bundle", menu)
    cards = {card.name: card for card in menu.models.values()}
    allocator = Allocator(menu, {"greedy": Greedy()}, "greedy", price, bundle, cards, menu.arms[0], "")
    simulation = Simulation(
        Recording.of(sheet.draws(part.test, range(3))),
        bundle.confidence,
        price,
        lambda query: Prospects.of(query, menu, bundle),
    )

    def worth(arms: Sequence[Arm]) -> float:
        replayed = simulation.replay(
            [(sheet.queries[i], arm) for i, arm in zip(part.test, arms, strict=True)]
        )
        spent = np.array([sum(draw.cost_usd or 0.0 for draw in each.draws) for each in replayed])
        return float((np.array([each.score for each in replayed]) - price.per_usd * spent).mean())

    chosen = [allocator.plan(sheet.queries[i]).arm for i in part.test]
    learner = served(Corpus.of(grid, question_groups(grid), Extractor.of()), 0)
    expected = answer_aware(grid, sheet, part, *learner(part)).test.at(price)
    told = float((expected.reward - price.per_usd * expected.cost_usd).mean())
    cascade = menu.arms[-1]
    assert 0.1 < np.mean([arm is cascade for arm in chosen]) < 0.9
    assert worth(chosen) > worth([cascade] * len(chosen)) + 0.01
    assert worth(chosen) > told - 0.03


def test_two_orders_are_dealt_out_as_the_evaluation_tells(tmp_path: Path) -> None:
    """A share of the queries goes along another cascade, all others along the first, and what comes of it is
    what the evaluation tells of both orders in that proportion."""
    grid = settled(answered_grid(500))
    sheet, part, price, share = Sheet.of(grid), part_of(grid), Price(100.0), 0.4
    config = configured(tmp_path, orders=[ORDER, ORDER[1:]])
    calls = recorded(grid, part.train.tolist(), tmp_path / "calls.parquet")
    train_command(config, None, calls, "logistic", tmp_path / "bundle", 0)
    menu = configured_menu(load_configuration(config))
    bundle = load_bundle(tmp_path / "bundle", menu)
    cards = {card.name: card for card in menu.models.values()}
    *alone, whole, late = menu.ids
    dealt = Between(100.0, 100.0, share, without=[*alone, late], further_without=[*alone, whole])
    allocator = Allocator(menu, {"dealt": dealt}, "dealt", price, bundle, cards, menu.arms[0], "")
    plans = [allocator.plan(sheet.queries[i]) for i in part.test]
    assert np.array([plan.propensities for plan in plans]) == pytest.approx(
        np.tile([0, 0, 0, 1 - share, share], (len(plans), 1))
    )
    simulation = Simulation(
        Recording.of(sheet.draws(part.test, range(3))),
        bundle.confidence,
        price,
        lambda query: Prospects.of(query, menu, bundle),
    )
    pairs = [(sheet.queries[i], plan.arm) for i, plan in zip(part.test, plans, strict=True)]
    replayed = simulation.replay(pairs)
    learner = served(Corpus.of(grid, question_groups(grid), Extractor.of()), 0)
    told = [answer_aware(grid, sheet, part, *learner(part), given=order) for order in ((0, 1, 2), (1, 2))]
    near, far = (each.test.at(price) for each in told)
    dealt_far = np.array([plan.arm.id == late for plan in plans])
    assert 0.3 < dealt_far.mean() < 0.5
    reward, cost_usd = (
        np.where(dealt_far, getattr(far, name), getattr(near, name)) for name in ("reward", "cost_usd")
    )
    spent = np.array([sum(draw.cost_usd or 0.0 for draw in each.draws) for each in replayed])
    assert np.isclose(spent, cost_usd).mean() > 0.9
    assert np.mean([each.score for each in replayed]) == pytest.approx(reward.mean(), abs=0.02)
    shared = near.shared_with(far, share)
    assert spent.mean() == pytest.approx(shared.cost_usd.mean(), rel=0.1)
