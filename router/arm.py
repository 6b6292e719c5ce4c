"""Arm: one thing a policy can choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from router.budget import UNLIMITED, Budget
from router.call import PROMPT_TOKENS_PER_MESSAGE, prompt_token_bound
from router.model_card import ModelCard
from router.query import Query
from router.strategies import Strategy
from router.usage import NOTHING, Usage

TEMPLATE_TOKENS = 256
"""Bound on what a strategy's own prompt template adds to the caller's messages."""
AUXILIARY_TOKENS = 64
"""Cap on a reply that is no answer (a rating, a choice), however short an answer the caller wants."""
QUOTE_BYTES_PER_TOKEN = 4
"""What is kept of an earlier reply that stands in a prompt, per token of a reply's cap."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A strategy with its parameters and models, under a stable id such as ``small/self_consistency@8``.

    family: the id without its place on the compute ladder; arms of one family differ in ``compute``
    only. An id is never reused with another meaning: ``description`` goes into the menu's hash.
    """

    id: str
    strategy: Strategy
    models: tuple[ModelCard, ...]
    family: str
    budget: Budget = field(default=UNLIMITED)

    @property
    def compute(self) -> float:
        """Place on the family's compute ladder, >= 1."""
        return self.strategy.compute

    @property
    def monotone(self) -> bool:
        """Whether more compute cannot lower this family's quality."""
        return self.strategy.traits.more_cannot_hurt

    @property
    def thinking_tokens(self) -> int:
        """What a native level of effort may think at most in one call, of those that the strategy asks for;
        0 where none tells."""
        efforts = {card.name: card.effort for card in self.models}
        told = [
            effort.tokens.get(level, 0)
            for model, level in self.strategy.traits.levels
            if (effort := efforts[model]) is not None
        ]
        return max(told, default=0)

    @property
    def description(self) -> str:
        """All that the id stands for, as text."""
        return f"{self.id} = {self.strategy!r} within {self.budget}"

    def reserved(self, query: Query, judges: Mapping[ModelCard, int]) -> Usage:
        """The most that a plan may spend: the strategy's worst case and its verifier's. judges: calls per
        verdict of each model that the request's verifier asks."""
        if not judges:
            return self.worst_case(query)
        return self.worst_case(query, tuple(judges)) + self.judging(query, judges)

    def worst_case(self, query: Query, judges: Sequence[ModelCard] = ()) -> Usage:
        """The most that answering the query may spend: every call of the strategy's demand with the
        longest prompt and reply. ``model_s`` is unknown and 0. judges: models that its verifier asks; the
        length of a quote depends on every model of the run."""
        cards = {card.name: card for card in self.models}
        demand = self.strategy.demand().items()
        quotes = self.strategy.traits.quotes
        quoted = quotes * quote_bytes(query, (*self.models, *judges)) if quotes else 0
        each = [_times(worst_call(query, cards[name], quoted), calls * query.n) for name, calls in demand]
        return each[0] if len(each) == 1 else sum(each, NOTHING)

    def judging(self, query: Query, judges: Mapping[ModelCard, int]) -> Usage:
        """The most that a request's verifier may spend which makes so many calls of each model per verdict,
        and compares at most two answers in one: every call of the strategy may end in a verdict."""
        verdicts = query.n * sum(self.strategy.demand().values())
        own = len(orjson.dumps(query.wishes.verifier, default=repr))  # a rubric, a reference
        quoted = own + 2 * quote_bytes(query, (*self.models, *judges))
        each = [_times(worst_call(query, card, quoted), n * verdicts) for card, n in judges.items()]
        return sum(each, NOTHING)


def _times(one: Usage, calls: int) -> Usage:
    return Usage(calls, calls * one.prompt_tokens, calls * one.completion_tokens, calls * one.cost_nano)


def worst_call(query: Query, card: ModelCard, quoted_bytes: int = 0) -> Usage:
    """The most that one call for this query may spend on this model, whatever template asks.
    quoted_bytes: of earlier replies in the prompt; such a strategy also has calls that answer nothing."""
    completion = completion_cap(query, card)
    bound = prompt_token_bound(query.messages, query.parameters) + TEMPLATE_TOKENS + PROMPT_TOKENS_PER_MESSAGE
    if quoted_bytes:
        bound += quoted_bytes + 2 * PROMPT_TOKENS_PER_MESSAGE
        completion = max(completion, AUXILIARY_TOKENS)
    prompt = min(bound, card.context_tokens)
    return Usage(1, prompt, completion, card.tariff.cost_nano(prompt, completion))


def quote_bytes(query: Query, cards: Iterable[ModelCard]) -> int:
    """How much of an earlier reply may stand in a prompt, bytes."""
    return QUOTE_BYTES_PER_TOKEN * max(completion_cap(query, card) for card in cards)


def completion_cap(query: Query, card: ModelCard) -> int:
    """The reply's token cap for this query on this model: the caller's wish within the model's cap."""
    return min(query.max_completion_tokens or card.max_completion_tokens, card.max_completion_tokens)
