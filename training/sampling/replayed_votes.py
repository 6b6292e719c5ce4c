"""Replayed votes: the served strategy over recorded answers, to prove what was computed without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from router.arm import Arm
from router.call import Completion
from router.confidence.agreement import Agreement
from router.model_card import ModelCard
from router.query import Query
from router.replay import Recorded, Recording
from router.stopping import StoppingRule
from router.strategies.self_consistency import SelfConsistency
from router.tariff import Tariff
from training.simulate import Simulation

_CARD = ModelCard("recorded", Tariff(0.0, 0.0), 1024, 8192, False, False, False)
_QUESTION = "Which?"


@dataclass(frozen=True, slots=True)
class Vote:
    """One series in one order, and the rule to stop it. correct: of each draw."""

    rule: StoppingRule
    answers: Sequence[str | None]
    correct: Sequence[bool]


def replay_vote(vote: Vote) -> tuple[int, float]:
    """Draws made by ``SelfConsistency`` with the vote's rule, through the replay backend, and the score of
    the answer it chose."""
    strategy = SelfConsistency(
        _CARD.name, len(vote.answers), "direct", stop=vote.rule.name, rule=_options(vote.rule)
    )
    arm = Arm("replayed", strategy, (_CARD,), strategy.family)
    rows = [
        (_CARD.name, "direct", _QUESTION, Recorded(_completion(answer), float(correct)))
        for answer, correct in zip(_neutral(vote.answers), vote.correct, strict=True)
    ]
    query = Query(({"role": "user", "content": _QUESTION},), id="replayed")
    [result] = Simulation(Recording.of(rows), Agreement()).replay([(query, arm)])
    return result.usage.calls, result.score


def _options(rule: StoppingRule) -> dict[str, object]:
    return {item.name: getattr(rule, item.name) for item in fields(rule)}  # type: ignore[arg-type]  # rules are dataclasses


def _neutral(answers: Sequence[str | None]) -> list[str | None]:
    """The answers by number, so that no reading of an answer can make two of one."""
    number: dict[str, str] = {}
    return [None if each is None else number.setdefault(each, f"answer {len(number)}") for each in answers]


def _completion(answer: str | None) -> Completion:
    content = "" if answer is None else f"\\boxed{{{answer}}}"
    return Completion({"role": "assistant", "content": content}, "stop", 0, 0)
