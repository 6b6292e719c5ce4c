"""Consensus: which arms gave the same answer, how much each one's word counts, and how each reply reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any, ClassVar

from router.confidence import Evidence
from router.confidence.agreement import SOUND_PASS, Agreement, leader
from router.errors import BundleError
from router.reading import READINGS, read

COLD_STRENGTH = 2.0
"""Before any was learnt: what an arm's word counts beside its own logit."""
COLD_FURTHER = 0.5
"""Before any was learnt: the share at which each further arm's word for the same answer counts."""

COLD: Mapping[str, Any] = {
    "agreement": Agreement().learnt,
    "own": {"": [0.0, 1.0, *[0.0] * len(READINGS)]},
    "strength": {"": COLD_STRENGTH},
    "weight": 1.0,
    "further": COLD_FURTHER,
    "none": [COLD_STRENGTH, 0.0, 0.0],
    "gain": {},
}
"""The state before any was learnt: one arm's answers are as sure as ``agreement`` says."""

_LARGEST = 30.0


@dataclass(frozen=True, slots=True)
class Voice:
    """What one arm says: its answer, normalised (``None`` where it has none that could be compared),
    the logit of its chance to be right by itself, and whether a sound verifier proved it."""

    arm: str
    answer: str | None
    logit: float
    proven: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How probable each distinct answer is, by the voices' numbers that gave it, and that none is right."""

    groups: tuple[tuple[int, ...], ...]
    probabilities: tuple[float, ...]
    none: float

    def of(self, voice: int) -> float:
        """P(right) of what a voice said."""
        return next(p for group, p in zip(self.groups, self.probabilities, strict=True) if voice in group)


@dataclass(frozen=True, slots=True)
class Consensus:
    """A multinomial logit over the distinct answers, and that none of them is right.

    One arm's own logit: linear in ``agreement``'s logit of its candidates and in the readings of its
    leading reply, with weights of its own. An arm's word: strength + weight * own logit. An answer's utility:
    the sum of the words for it, from the largest down, the k-th times further^(k - 1), since arms err alike;
    that of none: 1, the number of distinct answers and the number of arms, weighted. P(the best answer is
    right after certain further arms): P(it is right now), and a gain that is linear in what stands now,
    learnt for each such pair from realised differences.

    learnt: the state of an earlier ``state()``. ``own`` and ``strength`` are by arm id, ``""`` for all
    others; ``gain`` by ``foresight_key``.
    """

    name: ClassVar[str] = "consensus"
    summary: ClassVar[str] = "agreement across arms, each weighed by its strength and by how its reply reads"

    learnt: Mapping[str, Any] = field(default_factory=lambda: dict(COLD))

    def __post_init__(self) -> None:
        missing = [name for name in COLD if name not in self.learnt]
        if missing or any(len(weights) != 2 + len(READINGS) for weights in self.learnt["own"].values()):
            raise BundleError(
                f"The confidence predictor needs {', '.join(COLD)}, and 2 + {len(READINGS)} weights per arm. "
                "Train again."
            )

    def probability(self, evidence: Evidence) -> float:
        """See the contract; 0 where there is no candidate yet."""
        if not evidence.candidates:
            return 0.0
        voices = self._voices((evidence, *evidence.others))
        return SOUND_PASS if voices[0].proven else self._standing(voices).of(0)

    def foresee(self, evidence: Evidence, further: Mapping[str, float]) -> float:
        """See the contract. Of arms that it never saw together, the larger of what stands and of the
        arms' own chances."""
        heard = (evidence, *evidence.others)
        standing = self._standing(self._voices(heard))
        weights = self.learnt["gain"].get(foresight_key((each.arm for each in heard), further))
        if weights is None:
            return max(*standing.probabilities, *further.values())
        first, second, *_ = [*sorted(standing.probabilities, reverse=True), 0.0]
        inputs = foresight_inputs(first, second, standing.none, max(further.values()))
        return min(max(first + _dot(weights, inputs), 0.0), 1.0)

    def state(self) -> Mapping[str, Any]:
        """Plain values; see the class."""
        return self.learnt

    def _voices(self, heard: Sequence[Evidence]) -> list[Voice]:
        agreement = Agreement(self.learnt["agreement"])
        return [self._voice(agreement, each) for each in heard if each.candidates]

    def _voice(self, agreement: Agreement, evidence: Evidence) -> Voice:
        chosen = evidence.candidates[leader(evidence)]
        alone = agreement.probability(evidence)
        own = self.learnt["own"]
        weights = own.get(evidence.arm, own[""])
        chance = _dot(weights, own_inputs(alone, reading_of(evidence)))
        return Voice(evidence.arm, chosen.compared, chance, alone == SOUND_PASS)

    def _standing(self, voices: Sequence[Voice]) -> Standing:
        groups = _grouped(voices)
        strength, weight = self.learnt["strength"], self.learnt["weight"]
        words = [strength.get(voice.arm, strength[""]) + weight * voice.logit for voice in voices]
        utilities = [self._utility([words[i] for i in group]) for group in groups]
        none = _dot(self.learnt["none"], (1.0, float(len(groups)), float(len(voices))))
        return _softmax(groups, utilities, none)

    def _utility(self, words: Sequence[float]) -> float:
        further: float = self.learnt["further"]
        return sum(word * further**rank for rank, word in enumerate(sorted(words, reverse=True)))


def own_inputs(probability: float, reading: Sequence[float]) -> tuple[float, ...]:
    """1, the logit of what ``agreement`` says of one arm's candidates, and how the leading reply reads."""
    return 1.0, logit(probability), *reading


def reading_of(evidence: Evidence) -> tuple[float, ...]:
    """How the leading reply reads; at least one candidate must stand."""
    chosen = evidence.candidates[leader(evidence)]
    question = evidence.query.text if evidence.query else ""
    return read(question, chosen.text, chosen.extracted, chosen.completion.completion_tokens)


def foresight_key(heard: Iterable[str], further: Iterable[str]) -> str:
    """The name of a pair: who has answered, in any order, and who would answer next."""
    return f"{' + '.join(sorted(heard))} > {' + '.join(sorted(further))}"


def foresight_inputs(first: float, second: float, none: float, further: float) -> tuple[float, ...]:
    """1; the best answer's probability, and its logit; the logits of the second's, of none's, and of the
    best further arm's own chance."""
    return 1.0, first, logit(first), logit(second), logit(none), logit(further)


def _grouped(voices: Sequence[Voice]) -> tuple[tuple[int, ...], ...]:
    """The voices' numbers by what they said; one without an answer agrees with nobody."""
    groups: dict[tuple[str | None, int], list[int]] = {}
    for i, voice in enumerate(voices):
        groups.setdefault((voice.answer, -1 if voice.answer is not None else i), []).append(i)
    return tuple(map(tuple, groups.values()))


def _softmax(groups: tuple[tuple[int, ...], ...], utilities: Sequence[float], none: float) -> Standing:
    top = max(none, *utilities)
    weights = [exp(max(utility - top, -_LARGEST)) for utility in (*utilities, none)]
    *shares, left = (weight / sum(weights) for weight in weights)
    return Standing(groups, tuple(shares), left)


def _dot(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(map(float.__mul__, weights, values))


def logit(probability: float) -> float:
    """log(p / (1 - p)), p between 0.0001 and 0.9999."""
    clipped = min(max(probability, 1e-4), 1 - 1e-4)
    return log(clipped / (1 - clipped))
