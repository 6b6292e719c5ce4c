"""Run: the one object a strategy works with. Everything it does goes through here and is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

from router.answers import extract_answer
from router.arm import completion_cap
from router.backend import DEAF, Backend, Listener
from router.call import Call, Completion
from router.candidate import Answer, Candidate, Verdict
from router.confidence import ConfidencePredictor, Evidence, Foreseeing
from router.errors import BackendError, BudgetExceeded
from router.estimate import FloatArray
from router.metering import Meter
from router.model_card import ModelCard
from router.price import Price
from router.prospect import UNKNOWN_PROSPECT, Prospect
from router.query import Query
from router.templates import render
from router.trace import Step
from router.verifiers import Verifier

SAMPLING_TEMPERATURE = 0.7
"""Temperature of repeated draws where the caller asks for 0, since equal draws tell nothing."""

Number = TypeVar("Number", float, FloatArray)
Extraction: TypeAlias = Callable[[Query, Completion], str | None]


def from_text(query: Query, completion: Completion) -> str | None:
    """The final answer as it stands in the reply."""
    return extract_answer(query, completion.text)


def net_worth(gain: Number, cost_usd: Number, price: Price, stakes: float = 1.0) -> Number:
    """stakes * gain - lambda * cost, in quality units."""
    return stakes * gain - price.per_usd * cost_usd


@dataclass(slots=True)
class Run:
    """One query under way: metered backends by model, the verifier, the confidence predictor, the price.

    prospects: by arm id. prior: P(success) of the plan's own arm. listener: hears the tokens of the
    call that is the answer, for streaming. incumbent: the best answer so far. outer: the run of the
    strategy around this one. first_draw, draws: number the draws of one prompt, which shifts the
    caller's seed so that they differ. arm_id: of the arm under way, inside another. extract: from a reply
    to its final answer; a replay knows those that were recorded.
    """

    query: Query
    meter: Meter
    backends: Mapping[str, Backend]
    cards: Mapping[str, ModelCard]
    confidence: ConfidencePredictor
    verifier: Verifier | None = None
    price: Price = field(default_factory=Price)
    prior: float = UNKNOWN_PROSPECT.quality
    prospects: Mapping[str, Prospect] = field(default_factory=dict)
    listener: Listener = DEAF
    incumbent: Answer | None = None
    outer: Run | None = None
    first_draw: int = 0
    draws: dict[tuple[str, str], int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    arm_id: str = ""
    extract: Extraction = from_text

    async def sample(
        self, model: str, *, template: str = "direct", is_answer: bool = False, repeated: bool = False
    ) -> Candidate:
        """One candidate from one call.

        is_answer: this reply is what the caller gets, so its tokens may be streamed to it. repeated:
        one of several draws of the same prompt, which must differ (see ``SAMPLING_TEMPERATURE``).
        """
        call = self._call(model, template, repeated)
        completion = await self.backends[model].complete(call, self.listener if is_answer else DEAF)
        compared = not is_answer or self.outer is not None  # a plain reply is never weighed against others
        extracted = self.extract(self.query, completion) if compared else None
        return Candidate(completion, extracted, template)

    async def samples(
        self, model: str, count: int, *, template: str = "direct"
    ) -> AsyncGenerator[Candidate, None]:
        """Candidates of ``count`` parallel calls, as they come.

        A failed call costs its candidate only; where all fail, the last error is raised. Closing the
        iterator early cancels the calls in flight.
        """
        tasks = [
            asyncio.ensure_future(self.sample(model, template=template, repeated=True)) for _ in range(count)
        ]
        try:
            async for candidate in _surviving(tasks):
                yield candidate
        finally:
            await _cancel(tasks)

    def within(self, arm_id: str) -> Run:
        """This run as seen by a strategy inside another: same query, meter and trace, that arm's own
        prior, and nothing streamed, since its answer may not be the caller's."""
        prior = self.prospects.get(arm_id, UNKNOWN_PROSPECT).quality
        return replace(self, prior=prior, listener=DEAF, incumbent=None, outer=self, arm_id=arm_id)

    async def verify(self, candidate: Candidate) -> Verdict | None:
        """The bound verifier's verdict, ``None`` where none is bound. A verifier that crashes says
        ``unknown``."""
        if self.verifier is None:
            return None
        try:
            return await self.verifier.verify(self.query, candidate, self)
        except Exception as error:
            return Verdict.unknown(self.verifier.name, f"{type(error).__name__}: {error}")

    async def ask_judge(
        self, model: str, messages: Sequence[Mapping[str, Any]], max_completion_tokens: int
    ) -> str:
        """The text of a judge model's reply; counted like every call."""
        call = Call(
            model, messages, max_completion_tokens, {"temperature": 0.0}, template="judge", purpose="judge"
        )
        return (await self.backends[model].complete(call)).text

    def evidence(self, answer: Answer) -> Evidence:
        """What an answer of this run's arm is judged by, beside those of others."""
        return Evidence(self.prior, answer.weighed, answer.verdicts, self.query, self.arm_id)

    def worth(
        self, further: Sequence[str], evidence: Evidence, probability: float
    ) -> tuple[float, dict[str, float]]:
        """What asking further arms on top, one after another, is worth at the run's price, in quality
        units, and the numbers behind it. evidence: of the answer that leads; probability: P(it is right).

        gain = P(right after them) - P(right); worth = stakes * gain - lambda * cost. Where the confidence
        predictor does not foresee, P(right after them) is the best of their own chances.
        """
        prospects = {arm_id: self.prospects.get(arm_id, UNKNOWN_PROSPECT) for arm_id in further}
        chances = {arm_id: prospect.quality for arm_id, prospect in prospects.items()}
        gain = self._after(evidence, chances) - probability
        cost_usd = sum(prospect.cost_usd for prospect in prospects.values())
        worth = net_worth(gain, cost_usd, self.price, self.query.wishes.stakes)
        return worth, {"gain": gain, "cost_usd": cost_usd, "net_worth": worth}

    def _after(self, evidence: Evidence, chances: Mapping[str, float]) -> float:
        if isinstance(self.confidence, Foreseeing):
            return self.confidence.foresee(evidence, chances)
        return max(chances.values())

    def offer(self, answer: Answer) -> Answer:
        """Make an answer the incumbent: what the caller gets if budget or time ends now. Around it,
        it takes the place of nothing but this run's own earlier offer."""
        before, self.incumbent = self.incumbent, answer
        if self.outer is not None and self.outer.incumbent is before:
            self.outer.offer(answer)
        return answer

    def note(self, decision: Literal["stop", "continue", "escalate"], reason: str, **numbers: float) -> None:
        """Write a decision and its numbers on the trace."""
        self.steps.append(Step(decision, reason, self.meter.elapsed_s, numbers))

    def _call(self, model: str, template: str, repeated: bool) -> Call:
        cap = completion_cap(self.query, self.cards[model])
        parameters = self._parameters(self._next_draw(model, template), repeated)
        return Call(model, render(template, self.query.messages), cap, parameters, template)

    def _next_draw(self, model: str, template: str) -> int:
        draw = self.draws.get((model, template), self.first_draw)
        self.draws[model, template] = draw + 1
        return draw

    def _parameters(self, draw: int, repeated: bool) -> Mapping[str, Any]:
        parameters = self.query.parameters
        if draw and isinstance(parameters.get("seed"), int):
            parameters = {**parameters, "seed": parameters["seed"] + draw}
        if repeated and parameters.get("temperature") == 0:
            parameters = {**parameters, "temperature": SAMPLING_TEMPERATURE}
        return parameters


async def _surviving(tasks: Sequence[asyncio.Future[Candidate]]) -> AsyncIterator[Candidate]:
    last_error: Exception | None = None
    survivors = 0
    for next_done in asyncio.as_completed(tasks):
        try:
            candidate = await next_done
        except (BackendError, BudgetExceeded) as error:
            last_error = error
        else:
            survivors += 1
            yield candidate
    if not survivors and last_error is not None:
        raise last_error


async def _cancel(tasks: Sequence[asyncio.Future[Candidate]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
