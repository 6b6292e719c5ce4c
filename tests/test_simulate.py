"""Simulation: what each arm would have answered, by the code that serves."""

from __future__ import annotations

import gc

import pytest
from fakes import CARDS, QUESTION, RIGHT, SMALL, arm_of, ask

from router.budget import Budget
from router.call import Completion
from router.confidence.agreement import Agreement
from router.price import Price
from router.prospect import Prospect
from router.replay import Recorded, Recording
from router.strategies import Strategy
from router.strategies.best_of_n import BestOfN
from router.strategies.cascade import Cascade, Stage
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency
from training.simulate import Replayed, Simulation

TEXTS = ("6", "5", "5", "7", "5", "5")
CASCADE = Cascade((Stage("small/direct", Direct("small")), Stage("large/direct", Direct("large"))))


def recording(*texts: str, latency_s: float = 2.0) -> Recording:
    """The same draws of every model and template: right where they say 5."""
    rows = []
    for model in CARDS:
        for template in ("direct", "chain_of_thought"):
            for text in texts:
                completion = Completion({"role": "assistant", "content": text}, "stop", 10, 5)
                rows.append((model, template, QUESTION, Recorded(completion, float(text == "5"), latency_s)))
    return Recording.of(rows)


def replayed(strategy: Strategy, budget: Budget | None = None, shift: int = 0, **more: object) -> Replayed:
    simulation = Simulation(recording(*TEXTS), Agreement(), **more)
    arm = arm_of(strategy, budget or Budget())
    [result] = simulation.replay([(ask(verifier=RIGHT), arm)], shift)
    return result


def test_an_arm_is_scored_by_the_answer_that_it_chose() -> None:
    """The recorded score of the first draw, of the vote's winner, of the first that passes."""
    assert replayed(Direct("small")).score == 0.0
    assert replayed(SelfConsistency("small", 4)).score == 1.0
    assert replayed(BestOfN("small", 4)).score == 1.0


def test_it_spends_what_its_draws_were_billed() -> None:
    """Tokens of the recording at the model's price, calls as made, and the time of parallel draws once."""
    result = replayed(SelfConsistency("small", 4, stop_at=1.0))
    cost = SMALL.tariff.cost_nano(10, 5)
    assert (result.usage.calls, result.usage.cost_nano) == (4, 4 * cost)
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (40, 20)
    assert result.latency_s == pytest.approx(2.0)
    assert replayed(BestOfN("small", 4)).latency_s == pytest.approx(4.0)


def test_a_shift_sees_other_draws() -> None:
    """The second draw is right where the first was wrong."""
    assert [replayed(Direct("small"), shift=shift).score for shift in range(4)] == [0, 1, 1, 0]


@pytest.mark.parametrize("strategy", [Direct("small"), SelfConsistency("small", 4), BestOfN("small", 4)])
def test_the_candidates_are_those_that_were_weighed(strategy: Strategy) -> None:
    """Each with its extracted answer, so that the confidence predictor can learn from them."""
    result = replayed(strategy)
    assert [candidate.text for candidate in result.candidates] == list(TEXTS[: result.usage.calls])
    assert all(candidate.extracted == candidate.text for candidate in result.candidates)


def test_an_arm_that_gives_no_answer_scores_nothing() -> None:
    """A question that was not recorded, or a budget below one call."""
    [unasked] = Simulation(recording(*TEXTS), Agreement()).replay([(ask("Else?"), arm_of(Direct("small")))])
    assert (unasked.score, unasked.candidates) == (0.0, ())
    broke = replayed(Direct("small"), Budget(calls=0))
    assert (broke.score, broke.usage.calls) == (0.0, 0)


def test_the_budget_and_the_deadline_hold_in_a_replay() -> None:
    """Out of calls or out of time, the incumbent is what counts, as it is in service."""
    capped = replayed(SelfConsistency("small", 6), Budget(calls=2))
    assert (capped.usage.calls, len(capped.candidates)) == (2, 2)
    late = replayed(BestOfN("small", 4), Budget(seconds=3.0))
    assert late.latency_s == pytest.approx(3.0)
    assert (late.score, late.candidates[0].text) == (0.0, "6")
    too_late = replayed(Direct("small"), Budget(seconds=1.0))
    assert (too_late.score, too_late.candidates) == (0.0, ())


@pytest.mark.parametrize(("per_usd", "calls"), [(0.0, 2), (1e9, 1)])
def test_a_cascade_decides_by_prospects_and_price(per_usd: float, calls: int) -> None:
    """What the difficulty predictor says, and what a dollar must buy, decide in a replay as in service."""
    says = {"small/direct": Prospect(0.4, 1e-6), "large/direct": Prospect(0.9, 1e-5)}
    result = replayed(CASCADE, price=Price(per_usd), prospects=lambda query: says)
    assert result.usage.calls == calls


def test_every_pair_starts_afresh() -> None:
    """One pair's draws, budget and clock are not another's; results come in the order of the pairs."""
    pairs = [(ask(id=f"q{i}"), arm_of(strategy)) for i in range(2) for strategy in (Direct("small"), CASCADE)]
    results = Simulation(recording(*TEXTS), Agreement()).replay(pairs)
    assert [(each.query_id, each.arm) for each in results] == [(query.id, arm.id) for query, arm in pairs]
    assert [each.usage.cost_nano for each in results[:2]] == [each.usage.cost_nano for each in results[2:]]
    assert results[0].latency_s == pytest.approx(results[2].latency_s)
    assert [each.candidates for each in results[:2]] == [each.candidates for each in results[2:]]


def test_it_leaves_no_litter() -> None:
    """Early ends of many replays leave no task, generator or loop behind."""
    arms = [arm_of(BestOfN("small", 4)), arm_of(SelfConsistency("small", 6), Budget(calls=2))]
    Simulation(recording(*TEXTS), Agreement()).replay([(ask(verifier=RIGHT), arm) for arm in arms * 5])
    gc.collect()
