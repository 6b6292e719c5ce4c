"""Confidence predictors, over the registry, and what the first one makes of agreement."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

import pytest
from fakes_learning import candidates
from hypothesis import given, settings
from hypothesis import strategies as st

from router.call import Completion
from router.candidate import Candidate, Verdict
from router.confidence import CONFIDENCE, ConfidencePredictor, Evidence
from router.confidence.agreement import COLD_WEIGHTS, SOUND_PASS, Agreement, leader
from router.errors import BundleError
from router.query import Query
from training.fit.confidence import Example, examples_of, fit_confidence
from training.rounds import Round

PASS = Verdict.of(True, "exact", sound=True)
FORMED = Verdict.of(True, "json", sound=False)
FAIL = Verdict.of(False, "exact", sound=True)
UNKNOWN = Verdict.unknown("judge", "it timed out")

evidences = st.builds(
    lambda prior, drawn: Evidence(prior, candidates(*[a for a, _ in drawn]), [v for _, v in drawn]),
    st.floats(0, 1),
    st.lists(
        st.tuples(st.sampled_from(["7", "8", None]), st.sampled_from([None, PASS, FORMED, FAIL, UNKNOWN])),
        max_size=9,
    ),
)


def evidence(prior: float, *extracted: str | None, verdicts: list[Verdict | None] | None = None) -> Evidence:
    return Evidence(prior, candidates(*extracted), verdicts or [None] * len(extracted))


@pytest.fixture(params=CONFIDENCE.names())
def predictor(request: pytest.FixtureRequest) -> ConfidencePredictor:
    """Every registered confidence predictor, cold."""
    return CONFIDENCE[request.param]()


@given(evidences)
@settings(max_examples=60)
def test_is_a_probability(evidence: Evidence) -> None:
    """Whatever stands, it is a probability."""
    for name in CONFIDENCE.names():
        assert 0 <= CONFIDENCE[name]().probability(evidence) <= 1


def test_updates_the_prior(predictor: ConfidencePredictor) -> None:
    """A larger prior gives a larger probability for the same answers."""
    low, high = (predictor.probability(evidence(prior, "7", "8")) for prior in (0.2, 0.8))
    assert low < high


def test_more_agreement_more_confidence(predictor: ConfidencePredictor) -> None:
    """Four equal answers are worth more than two and two, and these more than four different ones."""
    unanimous, split, scattered = (
        predictor.probability(evidence(0.5, *drawn)) for drawn in ("7777", "7788", "6789")
    )
    assert scattered < split < unanimous


def test_sound_pass_is_proof(predictor: ConfidencePredictor) -> None:
    """A pass of a sound verifier decides, even for the odd one out with a small prior."""
    assert predictor.probability(evidence(0.05, "7", "7", "8", verdicts=[FAIL, FAIL, PASS])) > 0.95


def test_verdicts_are_ordered(predictor: ConfidencePredictor) -> None:
    """A failed check lowers the probability, an unsound pass raises it, an unknown does neither."""
    failed, unknown, none, formed = (
        predictor.probability(evidence(0.5, "7", verdicts=[verdict]))
        for verdict in (FAIL, UNKNOWN, None, FORMED)
    )
    assert failed < unknown == none < formed < SOUND_PASS


def test_nothing_extracted(predictor: ConfidencePredictor) -> None:
    """An answer from which nothing could be extracted is worth less than one with an answer."""
    assert predictor.probability(evidence(0.5, None)) < predictor.probability(evidence(0.5, "7"))


def test_state_restores(predictor: ConfidencePredictor) -> None:
    """The state survives JSON and gives the same predictor."""
    remade = cast("Callable[..., ConfidencePredictor]", type(predictor))(
        json.loads(json.dumps(predictor.state()))
    )
    asked = evidence(0.3, "7", "8", "7")
    assert remade.probability(asked) == predictor.probability(asked)


def test_one_answer_leaves_the_prior() -> None:
    """Cold, a single short extracted answer says nothing beyond the prior."""
    assert Agreement().probability(evidence(0.3, "7")) == pytest.approx(0.3)


def test_no_candidates() -> None:
    """Before the first candidate nothing is right."""
    assert Agreement().probability(evidence(0.9)) == 0


def test_failed_candidates_do_not_lead() -> None:
    """The vote is among the candidates of the best standing."""
    assert leader(evidence(0.5, "7", "7", "8", verdicts=[FAIL, FAIL, None])) == 2
    assert leader(evidence(0.5, "7", "8", "8", verdicts=[FORMED, None, None])) == 0


def test_token_probabilities_count() -> None:
    """Where the backend gives log-probabilities, an unlikely reply is trusted less."""

    def sure(logprob: float) -> float:
        completion = Completion({"content": "7"}, "stop", 1, 1, {"content": [{"logprob": logprob}]})
        return Agreement().probability(Evidence(0.5, [Candidate(completion, "7")], [None]))

    assert sure(-3.0) < sure(-0.1)


def test_wrong_state() -> None:
    """A state without all its weights is refused."""
    with pytest.raises(BundleError, match="prior_logit"):
        Agreement({"weights": {"prior_logit": 1.0}})


def test_fit_learns_that_agreement_misleads() -> None:
    """Where unanimous answers turn out wrong, the fitted predictor trusts them less than the cold one."""
    examples = [Example(evidence(0.5, "7", "7", "7", "7"), 0.0)] * 80 + [
        Example(evidence(0.5, "7"), 1.0)
    ] * 80
    fitted, unanimous = fit_confidence(examples), evidence(0.5, "7", "7", "7", "7")
    assert fitted.probability(unanimous) < 0.35 < Agreement().probability(unanimous)
    assert fitted.state()["weights"]["prior_logit"] >= 0.1


def test_fit_without_examples_is_cold() -> None:
    """With nothing to learn from, the cold weights stand."""
    assert fit_confidence([]).state()["weights"] == COLD_WEIGHTS


def test_examples_from_a_run() -> None:
    """Each prefix whose leader is the judged answer is an example; others have no known reward."""
    r = Round(Query([]), "small/vote@4", 1.0, "key", candidates=tuple(candidates("8", "7", "7", "7")))
    examples = examples_of([r], lambda _: 0.6)
    assert [len(example.evidence.candidates) for example in examples] == [3, 4]
    assert {example.reward for example in examples} == {1.0}


def test_examples_from_single_answers() -> None:
    """Judged single answers of one arm to one question stand in for the draws of one run."""
    drawn = [("7", 1.0), ("8", 0.0), ("8", 0.0)]
    rounds = [
        Round(Query([]), "small/direct", reward, "key", candidates=tuple(candidates(extracted)))
        for extracted, reward in drawn
    ]
    assert [example.reward for example in examples_of(rounds, lambda _: 0.5)] == [1.0, 1.0, 0.0]


def test_two_notations_of_one_number_agree() -> None:
    """They count as the same answer twice would."""
    same, split = (Agreement().probability(evidence(0.5, *each)) for each in (("1/2", "1/2"), ("1/2", "3")))
    assert Agreement().probability(evidence(0.5, "1/2", "0.5")) == pytest.approx(same) != pytest.approx(split)
