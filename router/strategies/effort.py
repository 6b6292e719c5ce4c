"""Effort: ask once, at one of the model's own levels of thinking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from router.candidate import Answer
from router.effort import EFFORTS
from router.errors import ConfigurationError
from router.run import Run
from router.strategies import Traits


@dataclass(frozen=True, slots=True)
class Effort:
    """One call with the caller's own messages, in which the model is told how long to think.

    level: a name of ``router.effort.EFFORTS``; its place there is the arm's place on the ladder. What the
    body says at that level is the model's own (``ModelCard.effort``); nothing, where it has none.
    """

    name: ClassVar[str] = "effort"
    summary: ClassVar[str] = "one call at one of the model's own levels of thinking"
    model: str
    level: str = "medium"

    def __post_init__(self) -> None:
        if self.level not in EFFORTS:
            raise ConfigurationError(f"Unknown effort level {self.level!r}. Known: {', '.join(EFFORTS)}.")

    @property
    def traits(self) -> Traits:
        """Serves everything that its model serves."""
        return Traits(tools=True, levels=frozenset({(self.model, self.level)}))

    @property
    def family(self) -> str:
        """``<model>/effort``."""
        return f"{self.model}/{self.name}"

    @property
    def compute(self) -> float:
        """The level's place: ``none`` is 1, ``medium`` 4, ``max`` 7."""
        return 1.0 + list(EFFORTS).index(self.level)

    def demand(self) -> Mapping[str, int]:
        """One call."""
        return {self.model: 1}

    async def answer(self, run: Run) -> Answer:
        """The model's reply; its tokens are streamed."""
        native = run.cards[self.model].effort
        parameters = None if native is None else native.parameters(self.level)
        return run.offer(Answer(await run.sample(self.model, is_answer=True, parameters=parameters)))
