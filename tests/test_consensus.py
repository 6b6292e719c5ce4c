"""Consensus: agreement across arms, and what further answers would bring."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from fakes_answers import answered_grid, ignorant, part_of
from fakes_learning import candidates
from hypothesis import given
from hypothesis import strategies as st

from router.candidate import Verdict
from router.confidence import Evidence, Foreseeing
from router.confidence.agreement import SOUND_PASS, Agreement
from router.confidence.consensus import COLD, Consensus, foresight_key
from router.errors import BundleError
from router.query import Query
from training.evaluation.cascades import cheap_first
from training.evaluation.sheet import Sheet
from training.fit.consensus import ConsensusFit, fit_consensus
from training.fit.heard import Heard


def said(arm: str, answer: str | None, prior: float = 0.6) -> Evidence:
    return Evidence(prior, candidates(answer), (None,), Query([]), arm)


def among(first: Evidence, *others: Evidence) -> Evidence:
    return replace(first, others=others)


@pytest.fixture(scope="module")
def fitted() -> tuple[Sheet, ConsensusFit]:
    """Fitted on the training part of the planted grid."""
    grid = answered_grid(400)
    part = part_of(grid)
    sheet = Sheet.of(grid)
    order = cheap_first(sheet, part.train)
    prior = ignorant(grid, part)[0].quality
    heard = sheet.heard.take(part.train)
    return sheet, fit_consensus(heard, prior, part.inner, [order], Agreement())


def test_alone_an_arm_is_as_sure_as_its_own_candidates_say() -> None:
    """Before anything was learnt, the consensus of one is what ``agreement`` says."""
    for drawn in ("7", "77", "789"):
        evidence = Evidence(0.7, candidates(*drawn), (None,) * len(drawn))
        assert Consensus().probability(evidence) == pytest.approx(Agreement().probability(evidence))


def test_arms_that_agree_back_each_other_and_those_that_do_not_doubt_each_other() -> None:
    """In whichever notation; an arm without an answer agrees with nobody."""
    consensus = Consensus()
    alone = consensus.probability(said("a", "7"))
    backed = consensus.probability(among(said("a", "7"), said("b", "7.0")))
    doubted = consensus.probability(among(said("a", "7"), said("b", "8")))
    assert doubted < alone < backed
    both_silent = among(said("a", None), said("b", None))
    assert consensus.probability(both_silent) < consensus.probability(among(said("a", "7"), said("b", "7")))


def test_two_against_one_win() -> None:
    """And a single arm of a better prior can be worth more than one of a worse."""
    consensus = Consensus()
    two, one = said("a", "7"), said("c", "8")
    assert consensus.probability(among(two, said("b", "7"), one)) > consensus.probability(
        among(one, two, said("b", "7"))
    )
    assert consensus.probability(among(said("a", "7", 0.9), said("b", "8", 0.5))) > 0.5


def test_a_sound_pass_is_proof_whatever_others_say() -> None:
    """Disagreement does not outweigh a sound verifier."""
    proven = Evidence(0.1, candidates("7"), (Verdict.of(True, "exact", sound=True),), arm="a")
    assert Consensus().probability(among(proven, said("b", "8", 0.9))) == SOUND_PASS


@given(st.lists(st.tuples(st.sampled_from(["7", "8", "9", None]), st.floats(0, 1)), min_size=1, max_size=6))
def test_distinct_answers_share_one_probability(drawn: list[tuple[str | None, float]]) -> None:
    """The probabilities of different answers add up to less than one."""
    heard = [said(f"arm{i}", answer, prior) for i, (answer, prior) in enumerate(drawn)]
    sure = {}
    for i, each in enumerate(heard):
        others = tuple(other for j, other in enumerate(heard) if j != i)
        sure[each.candidates[0].extracted or i] = Consensus().probability(among(each, *others))
    assert sum(sure.values()) < 1


def test_unknown_pairs_are_foreseen_by_their_own_chances() -> None:
    """The larger of what stands and of what the further arms can."""
    heard = said("a", "7", 0.7)
    assert isinstance(Consensus(), Foreseeing)
    assert Consensus().foresee(heard, {"b": 0.9, "c": 0.8}) == 0.9
    assert Consensus().foresee(heard, {"b": 0.1}) == pytest.approx(0.7, abs=1e-3)


def test_it_is_learnt_whose_word_counts(fitted: tuple[Sheet, ConsensusFit]) -> None:
    """Agreement makes answers much likelier to be right, out of fold, and the probabilities are honest."""
    sheet, fit = fitted
    both = fit.stands[0, 1]
    rows = part_of(answered_grid(400)).train
    agree = sheet.heard.same[rows, 0, 1]
    assert both.first[agree].mean() > both.first[~agree].mean() + 0.3
    assert abs(both.first.mean() - both.right.mean()) < 0.06
    assert both.right[agree].mean() > 0.9


def test_a_wrong_equation_lowers_the_chance(fitted: tuple[Sheet, ConsensusFit]) -> None:
    """The fitted own chance reads the reply."""
    sheet, fit = fitted

    def sure(reply: str) -> float:
        drawn = replace(sheet.recorded[0][0].completion, message={"content": reply})
        heard = Evidence(
            0.6, (replace(candidates("7")[0], completion=drawn),), (None,), sheet.queries[0], "tiny"
        )
        return fit.consensus.probability(heard)

    assert sure("He has 0 + 7 = 9 apples.\n#### 7") < sure("He has 0 + 7 = 7 apples.\n#### 7") - 0.1


def billed(arm: str, answer: str, tokens: int) -> Evidence:
    candidate = candidates(answer)[0]
    drawn = replace(candidate.completion, completion_tokens=tokens)
    return Evidence(0.5, (replace(candidate, completion=drawn),), (None,), Query([]), arm)


def test_a_reply_of_more_tokens_than_usual_is_doubted() -> None:
    """Where long replies turned out wrong, though they look the same."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, 2_000, (300, 2))
    right = (rng.random((300, 2)) < np.where(tokens < 400, 0.9, 0.2)).astype(np.float64)
    said = rng.integers(20, 90, (300, 1)) + np.where(right > 0, 0, rng.choice([-7, 7], (300, 2)))
    evidence = [
        [billed(arm, str(answer), drawn) for arm, answer, drawn in zip("ab", *row, strict=True)]
        for row in zip(said.tolist(), tokens.tolist(), strict=True)
    ]
    heard = Heard.of(("a", "b"), evidence, right)
    fit = fit_consensus(heard, np.full((300, 2), 0.5), np.arange(300) % 5, [(0, 1)], Agreement())
    short, long = (fit.consensus.probability(billed("a", "55", tokens)) for tokens in (60, 1_900))
    assert long < short - 0.3


def test_further_answers_are_foreseen_as_they_turn_out(fitted: tuple[Sheet, ConsensusFit]) -> None:
    """On average what is foreseen out of fold is what comes, and the less sure, the more there is to gain."""
    _, fit = fitted
    found = fit.foresights[(0, 1), (2,)].out_of_fold
    gained = fit.stands[0, 1, 2].right - fit.stands[0, 1].right
    assert abs(found.mean() - gained.mean()) < 0.05
    assert np.corrcoef(found, fit.stands[0, 1].first)[0, 1] < -0.3


def test_an_arm_that_was_not_heard_is_as_sure_as_its_own_candidates_say(
    fitted: tuple[Sheet, ConsensusFit],
) -> None:
    """What was learnt of others says nothing of an arm that answers alone."""
    consensus = fitted[1].consensus
    for drawn in ("7", "77", "789"):
        evidence = Evidence(0.7, candidates(*drawn), (None,) * len(drawn), Query([]), "stranger")
        assert consensus.probability(evidence) == pytest.approx(Agreement().probability(evidence))


def test_the_fitted_state_survives_json(fitted: tuple[Sheet, ConsensusFit]) -> None:
    """As a bundle stores it."""
    consensus = fitted[1].consensus
    remade = Consensus(json.loads(json.dumps(consensus.state())))
    heard = among(said("tiny", "7"), said("small", "8"))
    assert remade.probability(heard) == consensus.probability(heard)
    assert remade.foresee(heard, {"large": 0.8}) == consensus.foresee(heard, {"large": 0.8})
    assert foresight_key(["small", "tiny"], ["large"]) in consensus.state()["gain"]


def test_a_state_that_lacks_something_is_refused() -> None:
    """Or one whose readings were others."""
    with pytest.raises(BundleError, match="gain"):
        Consensus({name: value for name, value in COLD.items() if name != "gain"})
    with pytest.raises(BundleError, match="weights"):
        Consensus({**COLD, "own": {"": [0.0, 1.0]}})


def test_one_more_look_is_cheap(fitted: tuple[Sheet, ConsensusFit]) -> None:
    """P(right) of a candidate whose reply was read before (bound: 0.2 ms, best of ten)."""
    sheet, fit = fitted
    drawn = sheet.recorded[0]
    heard = [Evidence(0.6, candidates(draw.answer), (None,), sheet.queries[0], "tiny") for draw in drawn]

    def once() -> float:
        began = time.perf_counter()
        for _ in range(20):
            fit.consensus.probability(among(*heard))
        return (time.perf_counter() - began) / 20

    assert min(once() for _ in range(10)) < 2e-4
