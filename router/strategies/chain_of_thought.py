"""Chain of thought: ask once for the reasoning before the answer (Wei et al. 2022; Kojima et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from router.candidate import Answer
from router.errors import ConfigurationError
from router.run import Run
from router.strategies import Traits

PROMPTS: Mapping[str, str] = {"step_by_step": "chain_of_thought", "plan_then_solve": "plan_then_solve"}
"""The option ``prompt`` -> the template."""
USUAL = "step_by_step"


@dataclass(frozen=True, slots=True, repr=False)
class ChainOfThought:
    """One call that is told to reason first; its tokens are streamed, reasoning included.

    prompt: ``step_by_step`` (Kojima et al. 2022), or ``plan_then_solve`` (Wang et al. 2023).
    """

    name: ClassVar[str] = "chain_of_thought"
    summary: ClassVar[str] = "one call that is told to think step by step, or to plan first"
    model: str
    prompt: str = USUAL

    def __post_init__(self) -> None:
        if self.prompt not in PROMPTS:
            raise ConfigurationError(
                f"chain_of_thought has no prompt {self.prompt!r}. Known: {', '.join(PROMPTS)}."
            )

    def __repr__(self) -> str:
        """A bundle knows its arms by this text: an option that is not set is not in it."""
        more = "" if self.prompt == USUAL else f", prompt={self.prompt!r}"
        return f"ChainOfThought(model={self.model!r}{more})"

    @property
    def traits(self) -> Traits:
        """Reasoning in front of the answer breaks a format that the caller fixed."""
        return Traits(response_format=False)

    @property
    def family(self) -> str:
        """``<model>/chain_of_thought``, with the prompt where it is not the default."""
        return f"{self.model}/{self.name}" + ("" if self.prompt == USUAL else f":{self.prompt}")

    @property
    def compute(self) -> float:
        """One answer."""
        return 1.0

    def demand(self) -> Mapping[str, int]:
        """One call."""
        return {self.model: 1}

    async def answer(self, run: Run) -> Answer:
        """The model's reply."""
        return run.offer(Answer(await run.sample(self.model, template=PROMPTS[self.prompt], is_answer=True)))
