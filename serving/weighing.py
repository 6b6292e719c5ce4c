"""Weighing: what a caller's ``reasoning_effort`` asks of the decision, or of the model that it named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from router.effort import EFFORTS, EffortWish
from router.model_card import ModelCard
from router.query import Query, Wishes


def weighed(query: Query, cards: Mapping[str, ModelCard]) -> Query:
    """The query with ``reasoning_effort`` turned into a worth and a cap on calls where the service decides
    (``EFFORTS``); a model that the caller named gets the level itself, in its own form."""
    effort = query.parameters.get("reasoning_effort")
    if effort is None:
        return query
    parameters = {key: value for key, value in query.parameters.items() if key != "reasoning_effort"}
    card = cards.get(query.target)
    if card is None:
        return replace(query, parameters=parameters, wishes=_effort_wishes(query, EFFORTS[effort]))
    if card.effort is None or effort not in card.effort.levels:
        return query
    return replace(query, parameters={**parameters, **card.effort.parameters(effort)})


def _effort_wishes(query: Query, effort: EffortWish) -> Wishes:
    """A cap that the caller gives stands beside the effort's: the smaller holds."""
    wishes = query.wishes
    caps = [wishes.max_calls, effort.calls and effort.calls * query.n]
    max_calls = min((cap for cap in caps if cap is not None), default=None)
    return replace(wishes, stakes=wishes.stakes * effort.stakes, max_calls=max_calls)
