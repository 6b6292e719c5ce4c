"""Fakes for the tests of the learning: a strategy that is only described, menus of it, planted rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from router.arm import Arm
from router.call import Completion
from router.candidate import Answer, Candidate
from router.menu import Menu
from router.model_card import ModelCard
from router.query import Query
from router.run import Run
from router.strategies import Traits
from router.tariff import Tariff
from training.rounds import Round, question_key

SMALL = ModelCard("small", Tariff(0.1, 0.4), 256, 4096)
LARGE = ModelCard("large", Tariff(1.0, 4.0), 1024, 8192)


@dataclass(frozen=True, slots=True)
class Described:
    """A strategy that is described but never run."""

    name: ClassVar[str] = "described"
    summary: ClassVar[str] = "for tests"

    kind: str
    model: str
    draws: int = 1
    sound: bool = False

    @property
    def traits(self) -> Traits:
        return Traits(more_cannot_hurt=self.sound)

    @property
    def family(self) -> str:
        return f"{self.model}/{self.kind}"

    @property
    def compute(self) -> float:
        return float(self.draws)

    def demand(self) -> Mapping[str, int]:
        return {self.model: self.draws}

    async def answer(self, run: Run) -> Answer:
        raise NotImplementedError


def arm(kind: str, card: ModelCard = SMALL, draws: int = 1, *, sound: bool = False) -> Arm:
    """One arm under the id that its strategy implies."""
    strategy = Described(kind, card.name, draws, sound)
    name = strategy.family if draws == 1 else f"{strategy.family}@{draws}"
    return Arm(name, strategy, (card,), strategy.family)


def small_menu() -> Menu:
    """Seven arms of five families; ``small/checked`` is monotone in compute, the vote is not."""
    return Menu(
        (
            arm("direct"),
            arm("direct", LARGE),
            arm("steps"),
            arm("vote", draws=4),
            arm("checked", draws=2, sound=True),
            arm("checked", draws=4, sound=True),
            arm("checked", draws=8, sound=True),
        )
    )


def wide_menu(arms: int = 64) -> Menu:
    """Ladders of four over as many families as it takes, every other one monotone."""
    kinds = [f"kind{i}" for i in range(arms // 4)]
    ladder = (1, 2, 4, 8)
    cards = (SMALL, LARGE)
    return Menu(
        tuple(
            arm(kind, cards[i % 2], draws, sound=i % 4 < 2)
            for i, kind in enumerate(kinds)
            for draws in ladder
        )
    )


SUBJECTS = ("apples", "trains", "rivers", "stars", "books", "clouds", "engines", "lamps", "stones", "birds")


def planted_rounds(menu: Menu, count: int, seed: int = 0) -> list[Round]:
    """Rounds under a uniform policy with a pattern to find: sums are right step by step and with
    checks, sentences are right directly, cost grows with compute, and the large model is always good."""
    rng = np.random.default_rng(seed)
    rounds = []
    for i in range(count):
        easy = bool(rng.random() < 0.5)
        picked = menu.arms[int(rng.integers(len(menu)))]
        text = _question(easy, rng)
        reward = float(rng.random() < planted_quality(picked, easy))
        cost = 1e-5 * picked.compute * (10 if picked.models[0] is LARGE else 1) * float(rng.lognormal(0, 0.3))
        rounds.append(
            Round(
                Query([{"role": "user", "content": text}]),
                picked.id,
                reward,
                question_key(text),
                propensity=1 / len(menu),
                propensities=(1 / len(menu),) * len(menu),
                cost_usd=cost,
                latency_s=0.2 * picked.compute * float(rng.lognormal(0, 0.3)),
                created_at=1_000_000.0 + i,
            )
        )
    return rounds


def planted_quality(picked: Arm, easy: bool) -> float:
    """P(success) of an arm on a sentence (easy) or a sum."""
    if picked.models[0] is LARGE:
        return 0.92
    if picked.family.endswith(("direct", "vote")):
        return 0.9 if easy else 0.1
    if picked.family.endswith("steps"):
        return 0.25 if easy else 0.8
    return (0.35 if easy else 0.3) + 0.18 * float(np.log2(picked.compute))


def _question(easy: bool, rng: np.random.Generator) -> str:
    subject, other = rng.choice(SUBJECTS, 2, replace=False)
    number = int(rng.integers(1000))
    if easy:
        return f"Write a sentence about {subject} and {other} number {number}."
    return f"What is the sum of {number} {subject} and {int(rng.integers(1000))} {other}?"


def candidate(extracted: str | None, text: str | None = None) -> Candidate:
    """A candidate with this extracted answer."""
    content = text if text is not None else f"The answer is {extracted}."
    return Candidate(Completion({"role": "assistant", "content": content}, "stop", 10, 5), extracted)


def candidates(*extracted: str | None) -> Sequence[Candidate]:
    """Candidates with these extracted answers."""
    return tuple(candidate(each) for each in extracted)
