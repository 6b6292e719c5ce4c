"""The watch on effort: whether the usage that comes back shows the thinking that a level promises."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from router.backend import DEAF, Backend, Listener
from router.call import Call, Completion
from router.effort import Effort, shows_thinking
from router.model_card import ModelCard

_log = logging.getLogger(__name__)


def watched(backends: Mapping[str, Backend], cards: Mapping[str, ModelCard]) -> dict[str, Backend]:
    """The backends by model, those of models with native effort under watch."""
    efforts = {name: card.effort for name, card in cards.items()}
    return {
        name: backend if (effort := efforts.get(name)) is None else EffortWatch(backend, effort)
        for name, backend in backends.items()
    }


@dataclass(slots=True)
class EffortWatch:
    """A backend for one model with native effort. replies, silent: of each level, how many replies came, and
    how many of them showed no thinking though the level promises some; the first such is warned of."""

    name: ClassVar[str] = "effort_watch"
    backend: Backend
    effort: Effort
    replies: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer one call, and look at the reply."""
        completion = await self.backend.complete(call, listener)
        level = self.effort.level_of(call.parameters)
        if level is not None:
            self._count(call.model, level, completion)
        return completion

    async def aclose(self) -> None:
        """Close the wrapped backend."""
        await self.backend.aclose()

    def _count(self, model: str, level: str, completion: Completion) -> None:
        self.replies[level] += 1
        if not self.effort.promises_thinking(level) or shows_thinking(completion):
            return
        self.silent[level] += 1
        if self.silent[level] == 1:
            _log.warning(
                "%r at effort %r: a reply shows no thinking; further ones are counted in /readyz",
                model,
                level,
            )

    def as_values(self) -> dict[str, dict[str, int]]:
        """The counts by level."""
        return {
            level: {"replies": count, "without_thinking": self.silent[level]}
            for level, count in self.replies.items()
        }
