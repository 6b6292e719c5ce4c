"""Arm: one thing a policy can choose."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.budget import UNLIMITED, Budget
from router.call import PROMPT_TOKENS_PER_MESSAGE, prompt_token_bound
from router.model_card import ModelCard
from router.query import Query
from router.strategies import Strategy
from router.usage import NOTHING, Usage

TEMPLATE_TOKENS = 256
"""Bound on what a strategy's own prompt template adds to the caller's messages."""


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
    def description(self) -> str:
        """All that the id stands for, as text."""
        return f"{self.id} = {self.strategy!r} within {self.budget}"

    def worst_case(self, query: Query) -> Usage:
        """The most that answering the query may spend: every call of the strategy's demand with the
        longest prompt and reply. ``model_s`` is unknown and 0."""
        cards = {card.name: card for card in self.models}
        demand = self.strategy.demand().items()
        each = [_times(worst_call(query, cards[name]), calls * query.n) for name, calls in demand]
        return each[0] if len(each) == 1 else sum(each, NOTHING)


def _times(one: Usage, calls: int) -> Usage:
    return Usage(calls, calls * one.prompt_tokens, calls * one.completion_tokens, calls * one.cost_nano)


def worst_call(query: Query, card: ModelCard) -> Usage:
    """The most that one call for this query may spend on this model, whatever template asks."""
    completion = completion_cap(query, card)
    bound = prompt_token_bound(query.messages, query.parameters)
    prompt = min(bound + TEMPLATE_TOKENS + PROMPT_TOKENS_PER_MESSAGE, card.context_tokens)
    return Usage(1, prompt, completion, card.tariff.cost_nano(prompt, completion))


def completion_cap(query: Query, card: ModelCard) -> int:
    """The reply's token cap for this query on this model: the caller's wish within the model's cap."""
    return min(query.max_completion_tokens or card.max_completion_tokens, card.max_completion_tokens)
