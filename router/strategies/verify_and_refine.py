"""Verify and refine: draw, find what is wrong, revise; back to the best state when a revision is worse
(Self-Refine, Madaan et al. 2023; Reflexion, Shinn et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias

from router.call import Completion
from router.candidate import Answer, Candidate, Verdict
from router.confidence import Evidence
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run, net_worth
from router.strategies import Traits
from router.strategies._dialogue import differing, replied
from router.tariff import to_usd
from router.templates import render
from router.thinking import aloud

Move: TypeAlias = Literal["revise", "backtrack", "explore"]

CRITIQUE_TOKENS = 512
NOTHING_WRONG = "CORRECT"

_CRITIQUE = (
    f"Check the answer above. If nothing is wrong with it, reply with the one word {NOTHING_WRONG}. "
    "Else say in a few sentences what is wrong, and end with 'Rating: ' and how right it is, 0 to 10."
)
_REVISE = (
    "The answer above is not right yet, for the reason below. Give the whole answer again, corrected, "
    "in the form that was asked for at first, and nothing else.\n"
)
_RATING = re.compile(r"\b(?i:rating)\W{1,6}(10|\d(?:\.\d+)?)\b(?!\.?\d)")
_APPROVED = re.compile(rf"\W*{NOTHING_WRONG}\W*(?:{_RATING.pattern}(?:\s*(?:/|out of)\s*10)?\W*)?")
_APPROVED_FROM = 0.5
"""A lower rating beside the word of approval contradicts it."""
_UNKNOWN_WORTH = (-1.0, -1.0)


@dataclass(frozen=True, slots=True)
class State:
    """One answer and what speaks for and against it.

    worth: in [0, 1] each, compared in turn: the verdict's reward, which is 0 where the verifier could not
    tell; then the critic's rating, else P(right). Without a verifier the latter stands for both. objection:
    what is wrong with it, empty where nothing was found.
    """

    candidate: Candidate
    verdict: Verdict | None = None
    worth: tuple[float, float] = _UNKNOWN_WORTH
    objection: str = ""

    @classmethod
    def ruled(cls, candidate: Candidate, verdict: Verdict | None) -> State:
        """What the verdict alone makes of a candidate."""
        if verdict is None:
            return cls(candidate)
        if verdict.ruling == "fail":
            told = f"A check ({verdict.source}) failed. {verdict.reason}"
            return cls(candidate, verdict, (verdict.reward, 0.0), told)
        return cls(candidate, verdict, (verdict.reward, float(verdict.ruling == "pass" and verdict.sound)))

    @property
    def settled(self) -> bool:
        """Whether no critic need be asked: the verifier found something wrong, or is sure."""
        verdict = self.verdict
        return verdict is not None and (
            verdict.ruling == "fail" or (verdict.ruling == "pass" and verdict.sound)
        )


@dataclass(slots=True)
class Path:
    """The states so far, and the one that the next revision starts from.

    failures: revisions in a row that were no better than what they started from. spent_nano: on these
    states and their critiques, nano-dollars.
    """

    states: list[State] = field(default_factory=list)
    base: State | None = None
    failures: int = 0
    spent_nano: int = 0

    @property
    def best(self) -> State:
        """The state of the highest worth; ties go to the earliest."""
        return max(self.states, key=lambda state: state.worth)

    def move(self, patience: int) -> Move:
        """What to do after the latest state, which was judged and found wanting, or is not the best."""
        latest = self.states[-1]
        if latest.objection and (self.base is None or latest.worth > self.base.worth):
            self.base, self.failures = latest, 0
            return "revise"
        self.failures += 1
        if self.failures >= patience:
            self.base, self.failures = None, 0
            return "explore"
        self.base = self.best
        return "backtrack"

    def answer(self, *, complete: bool) -> Answer:
        """The best state's candidate."""
        candidates = tuple(state.candidate for state in self.states)
        verdicts = tuple(state.verdict for state in self.states)
        return Answer(self.best.candidate, self.best.verdict, candidates, verdicts, complete)


@dataclass(frozen=True, slots=True)
class VerifyAndRefine:
    """At most ``n`` answers: a draw, then revisions of it.

    What is wrong with an answer is told by the query's verifier where it fails; else by a critique of
    ``critic`` (the model itself where none is named), whose word never outweighs the verifier's. A revision
    that is no better leads back to the best state; after ``patience`` of them in a row a fresh draw is tried
    instead. It stops where a sound verifier passes, where the critic finds nothing wrong with the best,
    after ``n`` answers, or where one more is not worth its price: stakes * (1 - P(right)) * prior <=
    lambda * mean cost of the answers so far, as one more is right at best as often as the arm is. The answer
    of the highest worth is returned, the earliest of equals. template: of the fresh draws.
    """

    name: ClassVar[str] = "verify_and_refine"
    summary: ClassVar[str] = "draw, criticise or check, revise; back to the best state when it gets worse"
    model: str
    n: int
    critic: str | None = None
    patience: int = 2
    template: str = "direct"

    def __post_init__(self) -> None:
        if self.n < 2 or self.patience < 1:
            raise ConfigurationError(
                f"verify_and_refine needs n >= 2 and patience >= 1, not {self.n} and {self.patience}."
            )
        render(self.template, ())  # raises where there is no such template

    @property
    def traits(self) -> Traits:
        """A revision's prompt holds the answer and what is wrong with it."""
        return Traits(response_format=self.template == "direct", quotes=2)

    @property
    def family(self) -> str:
        """``<model>/verify_and_refine``, with what is not the default."""
        template = "" if self.template == "direct" else f":{self.template}"
        critic = f":critic={self.critic}" if self.critic else ""
        patience = "" if self.patience == 2 else f":patience={self.patience}"
        return f"{self.model}/{self.name}{template}{critic}{patience}"

    @property
    def compute(self) -> float:
        """Answers at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n answers and as many critiques."""
        calls = {self.model: self.n}
        calls[self._critic] = calls.get(self._critic, 0) + self.n
        return calls

    async def answer(self, run: Run) -> Answer:
        """The best state's answer."""
        path = Path()
        move: Move | None = "explore"
        try:
            while move:
                await self._enter(run, path, move)
                move = self._next(run, path)
        except (BackendError, OutOfCompute):
            if not path.states:
                raise
        return run.offer(path.answer(complete=move is None))

    async def _enter(self, run: Run, path: Path, move: Move) -> None:
        candidate = await self._drawn(run, path, move)
        path.spent_nano += _cost_nano(run, self.model, candidate.completion)
        path.states.append(State(candidate))
        run.offer(path.answer(complete=False))
        verdict = await run.verify(candidate)
        path.states[-1] = State.ruled(candidate, verdict)
        run.offer(path.answer(complete=False))
        if not path.states[-1].settled:
            path.states[-1] = await self._criticised(run, path, path.states[-1])
            run.offer(path.answer(complete=False))

    async def _drawn(self, run: Run, path: Path, move: Move) -> Candidate:
        if path.base is None:
            return await run.sample(self.model, template=self.template, repeated=bool(path.states))
        reply, objection = run.quote(path.base.candidate.text), run.quote(path.base.objection)
        return await run.ask(
            self.model,
            replied(run.query.messages, reply, _REVISE + objection),
            template="revise",
            purpose="candidate",
            parameters=differing(run.query) if move == "backtrack" else None,
        )

    async def _criticised(self, run: Run, path: Path, state: State) -> State:
        """The state with the critic's word, which is asked for where there is no verdict, or one that may
        pass what is wrong."""
        critique = await self._critique(run, state.candidate)
        path.spent_nano += _cost_nano(run, self._critic, critique.completion)
        said = aloud(critique.text)
        approved = _approved(said)
        rating = 1.0 if approved else _rating(said)
        if rating is None:
            rating = _probability(run, state)
        worth = rating if state.verdict is None else state.verdict.reward
        return replace(state, worth=(worth, rating), objection="" if approved else said or "It is wrong.")

    async def _critique(self, run: Run, candidate: Candidate) -> Candidate:
        messages = replied(run.query.messages, run.quote(candidate.text), _CRITIQUE)
        return await run.ask(
            self._critic,
            messages,
            template="critique",
            purpose="critique",
            max_completion_tokens=CRITIQUE_TOKENS,
        )

    def _next(self, run: Run, path: Path) -> Move | None:
        """The next move; ``None`` to stop. Both are noted."""
        net, numbers = self._worth(run, path)
        reason = self._end(path, net)
        if reason is not None:
            run.note("stop", reason, **numbers)
            return None
        move = path.move(self.patience)
        run.note("continue", move, **numbers)
        return move

    def _end(self, path: Path, net: float) -> str | None:
        if not path.best.objection:
            return "nothing wrong was found"
        if len(path.states) == self.n:
            return f"{self.n} of {self.n} answers"
        return "one more is not worth its price" if net <= 0 else None

    def _worth(self, run: Run, path: Path) -> tuple[float, dict[str, float]]:
        probability = _probability(run, path.best)
        cost_usd = to_usd(path.spent_nano) / len(path.states)
        net = net_worth((1 - probability) * run.prior, cost_usd, run.price, run.query.wishes.stakes)
        numbers = {"probability": probability, "worth": path.states[-1].worth[0], "best": path.best.worth[0]}
        return net, {**numbers, "answers": float(len(path.states)), "cost_usd": cost_usd, "net_worth": net}

    @property
    def _critic(self) -> str:
        return self.critic or self.model


def _probability(run: Run, state: State) -> float:
    evidence = Evidence(run.prior, (state.candidate,), (state.verdict,), run.query, run.arm_id)
    return run.confidence.probability(evidence)


def _cost_nano(run: Run, model: str, completion: Completion) -> int:
    tariff = run.cards[model].tariff
    return tariff.cost_nano(completion.prompt_tokens, completion.completion_tokens)


def _approved(critique: str) -> bool:
    """Whether a critique says the one word, if with a rating that does not contradict it."""
    rating = _rating(critique)
    return _APPROVED.fullmatch(critique) is not None and (rating is None or rating >= _APPROVED_FROM)


def _rating(critique: str) -> float | None:
    """The last rating in a critique, in [0, 1]."""
    ratings = _RATING.findall(critique)
    return float(ratings[-1]) / 10 if ratings else None
