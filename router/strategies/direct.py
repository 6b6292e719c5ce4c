"""Direct: ask once, as the caller asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from router.candidate import Answer
from router.run import Run
from router.strategies import Traits


@dataclass(frozen=True, slots=True)
class Direct:
    """One call with the caller's own messages; its tokens are streamed."""

    name: ClassVar[str] = "direct"
    summary: ClassVar[str] = "one call with the caller's own messages"
    model: str

    @property
    def traits(self) -> Traits:
        """Serves everything that its model serves."""
        return Traits(tools=True)

    @property
    def family(self) -> str:
        """``<model>/direct``."""
        return f"{self.model}/{self.name}"

    @property
    def compute(self) -> float:
        """One answer."""
        return 1.0

    def demand(self) -> Mapping[str, int]:
        """One call."""
        return {self.model: 1}

    async def answer(self, run: Run) -> Answer:
        """The model's reply."""
        return run.offer(Answer(await run.sample(self.model, is_answer=True)))
