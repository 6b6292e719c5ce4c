"""The probe of effort: one small call per declared level asks whether the upstream takes it, since none is
taken on trust."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from router.allocator import Allocator
from router.call import Completion
from router.configuration import Configuration
from router.effort import shows_thinking, thinking_tokens
from router.errors import BackendRefused, EffortwiseError
from router.ledger import Allowance
from router.model_card import ModelCard
from router.query import Message, Query
from router.sections import ModelSection
from serving.effort_watch import EffortWatch
from serving.execution import Execution

PROBE_ACCOUNT = "effortwise:probe"
"""Whose account the calls of a service's probes are on."""
PROBE: Sequence[Message] = (
    {
        "role": "user",
        "content": "How many numbers from 1 to 60 are divisible by 3 or by 5? Reply with the number only.",
    },
)
"""A question that thinking helps with."""
PROBE_TOKENS = 512
"""Cap on the reply, beside the tokens that a level may think."""
_REFUSALS = frozenset({400, 422})
"""What an upstream answers to a body that it does not take."""

Ask: TypeAlias = Callable[[ModelCard, Mapping[str, Any], int], Awaitable[Completion]]
"""Makes one call: a model, parameters of the body, and the reply's cap."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of one level.

    status: ``unknown`` where the call failed for another reason than the level. thinking_tokens: as the
    usage tells them, ``None`` where it tells none. remark: what is wrong, if anything.
    """

    level: str
    status: Literal["accepted", "refused", "unknown"]
    thinking_tokens: int | None = None
    completion_tokens: int = 0
    remark: str = ""


async def probe(card: ModelCard, ask: Ask) -> list[Probed]:
    """Try every declared level of a model, one after another, in their order.

    A refusal counts only where the same call without a level is answered. A level that shows no thinking
    though it promises some, or less than the level below, is remarked on.
    """
    if card.effort is None:
        return []
    found = [await _probe_level(card, level, ask) for level in card.effort.levels]
    if any(each.status == "refused" for each in found) and not await _answers_plainly(card, ask):
        found = [_in_doubt(each) for each in found]
    return _compared(found)


async def _probe_level(card: ModelCard, level: str, ask: Ask) -> Probed:
    effort = card.effort
    if effort is None:
        return Probed(level, "unknown", remark="the model has no effort")
    cap = min(card.max_completion_tokens, PROBE_TOKENS + effort.tokens.get(level, 0))
    try:
        completion = await ask(card, effort.parameters(level), cap)
    except EffortwiseError as error:
        refused = isinstance(error, BackendRefused) and error.status in _REFUSALS
        return Probed(level, "refused" if refused else "unknown", remark=f"{type(error).__name__}: {error}")
    silent = effort.promises_thinking(level) and not shows_thinking(completion)
    remark = "the reply shows no thinking" if silent else ""
    return Probed(level, "accepted", thinking_tokens(completion), completion.completion_tokens, remark)


async def _answers_plainly(card: ModelCard, ask: Ask) -> bool:
    try:
        await ask(card, {}, min(card.max_completion_tokens, PROBE_TOKENS))
    except EffortwiseError:
        return False
    return True


def _in_doubt(probed: Probed) -> Probed:
    if probed.status != "refused":
        return probed
    return replace(probed, status="unknown", remark=f"refused without a level too: {probed.remark}")


def _compared(found: Sequence[Probed]) -> list[Probed]:
    """One reply per level is little: a fall is told, and nothing more."""
    told: list[Probed] = []
    below: Probed | None = None
    for probed in found:
        if probed.status == "accepted":
            if below is not None and _spent(probed) < _spent(below):
                fall = f"less than at {below.level}: {_spent(probed)} tokens, {_spent(below)} there"
                probed = replace(probed, remark="; ".join(filter(None, (probed.remark, fall))))
            below = probed
        told.append(probed)
    return told


def _spent(probed: Probed) -> int:
    return probed.completion_tokens if probed.thinking_tokens is None else probed.thinking_tokens


def _is_probed(section: ModelSection) -> bool:
    if section.effort is None:
        return False
    prices = section.usd_per_million_prompt_tokens, section.usd_per_million_completion_tokens
    return not any(prices) if section.effort.probe is None else section.effort.probe


@dataclass(slots=True)
class EffortProbes:
    """The probes of a running service: in the background, over the ledger like any request. A level that is
    refused takes its arms out of every policy's choice. models: those to probe."""

    allocator: Allocator
    execution: Execution
    models: Sequence[str]
    found: dict[str, list[Probed]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, configuration: Configuration, allocator: Allocator, execution: Execution) -> EffortProbes:
        """Of the models whose effort is to be probed: as they say, else those that cost nothing."""
        models = [name for name, section in configuration.models.items() if _is_probed(section)]
        return cls(allocator, execution, models)

    def start(self) -> None:
        """Begin, where there is anything to probe."""
        if self.models:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        for name in self.models:
            try:
                self.found[name] = await probe(self.allocator.cards[name], self._ask)
            except Exception:  # an observer that fails breaks no service
                _log.exception("the effort of %r could not be probed", name)
                continue
            for probed in self.found[name]:
                self._note(name, probed)

    async def _ask(self, card: ModelCard, parameters: Mapping[str, Any], cap: int) -> Completion:
        query = Query(PROBE, card.name, parameters, max_completion_tokens=cap, account=PROBE_ACCOUNT)
        answered = await self.execution.answer(query, Allowance(PROBE_ACCOUNT))
        return answered.answers[0].candidate.completion

    def _note(self, name: str, probed: Probed) -> None:
        if probed.remark:
            _log.warning("%r at effort %r: %s, %s", name, probed.level, probed.status, probed.remark)
        if probed.status != "refused":
            return
        for arm in self.allocator.menu:
            if (name, probed.level) in arm.strategy.traits.levels:
                self.allocator.bar(arm.id, f"the upstream of {name!r} refuses effort {probed.level!r}")

    def as_values(self) -> dict[str, dict[str, Any]]:
        """By model with native effort: what its probe found, and what its replies show by level."""
        return {
            name: {
                "probe": [asdict(probed) for probed in self.found.get(name, ())],
                "replies": backend.as_values(),
            }
            for name, backend in self.execution.backends.items()
            if isinstance(backend, EffortWatch)
        }
