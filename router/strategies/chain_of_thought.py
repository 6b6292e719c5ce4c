"""Chain of thought: ask once for the reasoning before the answer (Wei et al. 2022; Kojima et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from router.candidate import Answer
from router.run import Run
from router.strategies import Traits


@dataclass(frozen=True, slots=True)
class ChainOfThought:
    """One call that is told to think step by step; its tokens are streamed, reasoning included."""

    name: ClassVar[str] = "chain_of_thought"
    summary: ClassVar[str] = "one call that is told to think step by step"
    model: str

    @property
    def traits(self) -> Traits:
        """Reasoning in front of the answer breaks a format that the caller fixed."""
        return Traits(response_format=False)

    @property
    def family(self) -> str:
        """``<model>/chain_of_thought``."""
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
        return run.offer(Answer(await run.sample(self.model, template=self.name, is_answer=True)))
