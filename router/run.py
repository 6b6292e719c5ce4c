"""Run: the one object a strategy works with. Everything it does goes through here and is counted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from typing import Any, Literal, TypeAlias, TypeVar

from router.answers import extract_answer
from router.arm import AUXILIARY_TOKENS, completion_cap, quote_bytes
from router.backend import DEAF, Backend, Listener
from router.behaviour import Likeness
from router.call import Call, Completion, Purpose
from router.candidate import Answer, Candidate, Verdict, in_one_form
from router.confidence import ConfidencePredictor, Evidence, Foreseeing
from router.draw import uniform
from router.errors import MalformedReply
from router.estimate import FloatArray
from router.metering import Meter
from router.model_card import ModelCard
from router.parallel import as_they_come, together
from router.price import Price
from router.prospect import UNKNOWN_PROSPECT, Prospect
from router.query import Message, Query
from router.sandbox import Sandbox
from router.templates import render
from router.tools import Tool
from router.trace import Step
from router.verifiers import Verifier

SAMPLING_TEMPERATURE = 0.7
"""Temperature of repeated draws where the caller asks for 0, since equal draws tell nothing."""
SEEDS = 2**63
"""Seeds stay below: what does not fit into 64 bits cannot be sent."""
LOGPROBS: Mapping[str, Any] = {"logprobs": True}
"""Parameters of a call whose ``Candidate.mean_logprob`` is wanted."""

_SAMPLING = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty"}
)
"""What a strategy's own prompts keep of the caller's parameters: how to draw, not what form to answer in."""

Number = TypeVar("Number", float, FloatArray)
T = TypeVar("T")
Extraction: TypeAlias = Callable[[Query, Completion], str | None]
Observer: TypeAlias = Callable[[Step | Answer], None]
"""Told every decision as it is taken, and every answer that becomes the best so far. Never blocks."""


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
    to its final answer; a replay knows those that were recorded. sandbox: where code may run, ``None``
    where none is configured. tools: by the name that a model calls them by. likeness: tells which answers
    of different arms say the same in other letters, ``None`` where nobody does.
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
    sandbox: Sandbox | None = None
    tools: Mapping[str, Tool] = field(default_factory=dict)
    observer: Observer | None = None
    likeness: Likeness | None = None

    @property
    def calls_left(self) -> float:
        """How many more calls the plan's budget admits for one of the request's choices, which share it;
        infinite where it has no such cap."""
        cap = self.meter.budget.calls
        return inf if cap is None else (cap - self.meter.usage.calls) // self.query.n

    async def sample(
        self,
        model: str,
        *,
        template: str = "direct",
        is_answer: bool = False,
        repeated: bool = False,
        parameters: Mapping[str, Any] | None = None,
    ) -> Candidate:
        """One candidate from one call.

        is_answer: this reply is what the caller gets, so its tokens may be streamed to it. repeated:
        one of several draws of the same prompt, which must differ (see ``SAMPLING_TEMPERATURE``).
        parameters: laid over the caller's.
        """
        call = self._call(model, template, repeated, parameters or {})
        completion = await self.backends[model].complete(call, self.listener if is_answer else DEAF)
        compared = not is_answer or self.outer is not None  # a plain reply is never weighed against others
        extracted = self.extract(self.query, completion) if compared else None
        return Candidate(completion, extracted, template)

    async def samples(
        self, model: str, count: int, *, template: str = "direct", parameters: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Candidate, None]:
        """Candidates of ``count`` parallel calls, as they come.

        A failed call costs its candidate only; where all fail, the last error is raised. Closing the
        iterator early cancels the calls in flight.
        """
        draws = [
            self.sample(model, template=template, repeated=True, parameters=parameters) for _ in range(count)
        ]
        async with aclosing(as_they_come(draws)) as candidates:
            async for candidate in candidates:
                yield candidate

    async def ask(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        template: str,
        purpose: Purpose = "step",
        max_completion_tokens: int | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Candidate:
        """One call with messages of the strategy's own making.

        template: names the prompt on the call's record, and its draws are numbered by it. A ``candidate``
        is answered under all of the caller's parameters, anything else only drawn as the caller wishes;
        ``parameters`` are laid over both. max_completion_tokens: at most the reply's own cap, or
        ``AUXILIARY_TOKENS`` where that is more.
        """
        cap = completion_cap(self.query, self.cards[model])
        if max_completion_tokens is not None:
            cap = min(max_completion_tokens, max(cap, AUXILIARY_TOKENS))
        drawn = self._parameters(self._next_draw(model, template), repeated=False)
        kept = drawn if purpose == "candidate" else {key: drawn[key] for key in _SAMPLING & drawn.keys()}
        call = Call(model, messages, cap, {**kept, **(parameters or {})}, template, purpose)
        completion = await self.backends[model].complete(call)
        return Candidate(completion, self.extract(self.query, completion), template)

    async def together(self, work: Sequence[Coroutine[Any, Any, T]]) -> list[T | None]:
        """The results of parallel calls, in their order: ``None`` for one that failed or that the budget
        did not admit. Where all fail, the last error is raised."""
        return await together(work)

    def quote(self, text: str) -> str:
        """A reply as it may stand in a further prompt: its end, where answers stand, within what the arm's
        worst case has for each of its strategy's ``Traits.quotes``."""
        most = quote_bytes(self.query, [self.cards[model] for model in self.backends])
        return text.encode(errors="replace")[-most:].decode(errors="ignore")

    async def verify(self, candidate: Candidate) -> Verdict | None:
        """The bound verifier's verdict, ``None`` where none is bound. A verifier that crashes says
        ``unknown``."""
        if self.verifier is None:
            return None
        try:
            return await self.verifier.verify(self.query, candidate, self)
        except Exception as error:
            return Verdict.unknown(self.verifier.name, f"{type(error).__name__}: {error}")

    async def in_one_form(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """The same candidates, with one form for those that say the same in other letters."""
        if self.likeness is None or len(candidates) < 2:
            return candidates
        pairs = await self.likeness.alike(self.query, [each.text for each in candidates])
        return in_one_form(candidates, pairs) if pairs else candidates

    async def ask_judge(self, model: str, messages: Sequence[Message], max_completion_tokens: int) -> str:
        """The text of a judge model's reply, drawn at temperature 0."""
        reply = await self.ask(
            model,
            messages,
            template="judge",
            purpose="judge",
            max_completion_tokens=max_completion_tokens,
            parameters={"temperature": 0.0},
        )
        return reply.text

    async def score(self, model: str, candidate: Candidate) -> float:
        """A reward model's number for a candidate; ``MalformedReply`` where it says no finite one."""
        messages = [*self.query.messages, {"role": "assistant", "content": self.quote(candidate.text)}]
        reply = await self.ask(model, messages, template="reward", purpose="reward", max_completion_tokens=1)
        try:
            number = float(reply.text)
        except ValueError:
            number = nan
        if not isfinite(number):
            raise MalformedReply(f"The reward model {model!r} answered no number: {reply.text[:80]!r}.")
        return number

    def chance(self, salt: str) -> float:
        """A number in [0, 1) for a strategy's own randomness: the same whenever this query is answered
        again, another for each choice and for each arm inside another."""
        return uniform(salt, f"{self.query.id}:{self.first_draw}:{self.arm_id}")

    def within(self, arm_id: str) -> Run:
        """This run as seen by a strategy inside another: same query, meter and trace, that arm's own
        prior, and nothing streamed, since its answer may not be the caller's."""
        prior = self.prospects.get(arm_id, UNKNOWN_PROSPECT).quality
        return replace(self, prior=prior, listener=DEAF, incumbent=None, outer=self, arm_id=arm_id)

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
        elif self.outer is None and self.observer is not None and answer is not before:
            self.observer(answer)
        return answer

    def note(self, decision: Literal["stop", "continue", "escalate"], reason: str, **numbers: float) -> None:
        """Write a decision and its numbers on the trace."""
        step = Step(decision, reason, self.meter.elapsed_s, numbers)
        self.steps.append(step)
        if self.observer is not None:
            self.observer(step)

    def _call(self, model: str, template: str, repeated: bool, more: Mapping[str, Any]) -> Call:
        cap = completion_cap(self.query, self.cards[model])
        parameters = self._parameters(self._next_draw(model, template), repeated)
        if more:
            parameters = {**parameters, **more}
        return Call(model, render(template, self.query.messages), cap, parameters, template)

    def _next_draw(self, model: str, template: str) -> int:
        draw = self.draws.get((model, template), self.first_draw)
        self.draws[model, template] = draw + 1
        return draw

    def _parameters(self, draw: int, repeated: bool) -> Mapping[str, Any]:
        parameters = self.query.parameters
        if draw and isinstance(parameters.get("seed"), int):
            parameters = {**parameters, "seed": (parameters["seed"] + draw) % SEEDS}
        if repeated and parameters.get("temperature") == 0:
            parameters = {**parameters, "temperature": SAMPLING_TEMPERATURE}
        return parameters
