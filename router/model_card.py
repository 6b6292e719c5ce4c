"""ModelCard: what the decision must know of a configured model."""

from __future__ import annotations

from dataclasses import dataclass

from router.effort import Effort
from router.tariff import Tariff


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as configured.

    max_completion_tokens: cap on one reply where the caller sets none (always sent upstream, since
    a worst case must be known before the call). context_tokens: prompt and reply together. tools,
    logprobs, response_format: whether the upstream takes these parameters. continues: whether it goes on
    with a trailing assistant message instead of answering it. effort: the native levels that it takes.
    """

    name: str
    tariff: Tariff
    max_completion_tokens: int
    context_tokens: int
    tools: bool = False
    logprobs: bool = False
    response_format: bool = False
    continues: bool = False
    effort: Effort | None = None
