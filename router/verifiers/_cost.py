"""What one verdict cost: the calls that a verifier makes, added up apart from those of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from router.backend import DEAF, Backend, Listener
from router.call import Call, Completion
from router.model_card import ModelCard
from router.usage import NOTHING, Usage

if TYPE_CHECKING:
    from router.run import Run


@dataclass(slots=True)
class Overheard:
    """A backend whose answered calls are added up in ``usage``; ``model_s`` stays 0. What failed on the
    way to an answer stands on the trace alone."""

    name: ClassVar[str] = "overheard"
    backend: Backend
    card: ModelCard
    usage: Usage = NOTHING

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Pass one call on."""
        completion = await self.backend.complete(call, listener)
        prompt, reply = completion.prompt_tokens, completion.completion_tokens
        self.usage += Usage(1, prompt, reply, self.card.tariff.cost_nano(prompt, reply))
        return completion

    async def aclose(self) -> None:
        """The wrapped backend outlives it: nothing to close."""


def overheard(run: Run, model: str) -> tuple[Run, Overheard]:
    """The run as a verifier uses it, and what adds up its calls of a model. ``KeyError`` where the run
    does not reach the model."""
    ear = Overheard(run.backends[model], run.cards[model])
    return replace(run, backends={**run.backends, model: ear}), ear
