"""Budget forcing: thinking cut at a token budget, or drawn out by a nudge (s1, Muennighoff et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from router.arm import AUXILIARY_TOKENS, completion_cap
from router.candidate import Answer, Candidate, composed
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.query import Message
from router.run import Run
from router.strategies import Traits
from router.templates import render

NUDGE = "\nWait"
"""What s1 puts where the model would have ended."""
FINAL = "\nFinal Answer:"

CONTINUING: Mapping[str, Any] = {"add_generation_prompt": False, "continue_final_message": True}
"""What vLLM, SGLang and llama.cpp want said, to go on with the last message instead of answering it."""


@dataclass(slots=True)
class _Thought:
    """One line of thinking: its parts, its text so far, the end of it where the answer stands (all of it,
    until one is forced), and the tokens that are left to it."""

    left_tokens: int
    text: str = ""
    conclusion: str = ""
    ended: bool = False
    parts: list[Candidate] = field(default_factory=list)

    def add(self, prefix: str, part: Candidate) -> None:
        self.text += prefix + part.text
        self.conclusion = prefix + part.text if prefix.startswith(FINAL) else self.text
        self.left_tokens -= part.completion.completion_tokens
        self.ended = part.completion.finish_reason != "length"
        self.parts.append(part)


@dataclass(frozen=True, slots=True)
class BudgetForcing:
    """The model thinks step by step within ``think_tokens``.

    Where it ends sooner, ``Wait`` is put behind its words and it goes on, at most ``n`` times; where the
    tokens are used up, or no answer can be read, ``Final Answer:`` is, and the answer follows. The model
    must go on with a partial assistant message (``ModelCard.continues``); for one that does not, as a
    replay's, the nudge is said by the user. think_tokens: without it, what the cap on the reply leaves.
    """

    name: ClassVar[str] = "budget_forcing"
    summary: ClassVar[str] = "thinking cut at a token budget, or drawn out by a nudge"
    model: str
    n: int = 1
    think_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or (self.think_tokens is not None and self.think_tokens < 1):
            raise ConfigurationError("budget_forcing needs n >= 1 and think_tokens >= 1.")

    @property
    def traits(self) -> Traits:
        """Each prompt holds the thinking so far."""
        return Traits(response_format=False, quotes=1, needs_continuing=True)

    @property
    def family(self) -> str:
        """``<model>/budget_forcing``, with the tokens where they are set."""
        tokens = "" if self.think_tokens is None else f":{self.think_tokens}"
        return f"{self.model}/{self.name}{tokens}"

    @property
    def compute(self) -> float:
        """Nudges at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """The first thinking, n nudges, and the forced answer."""
        return {self.model: self.n + 2}

    async def answer(self, run: Run) -> Answer:
        """The thinking with the answer at its end, as one reply."""
        cap = completion_cap(run.query, run.cards[self.model])
        answer_tokens = min(AUXILIARY_TOKENS, max(1, cap // 2))
        most = max(1, cap - answer_tokens)
        thought = _Thought(min(most, self.think_tokens or most))
        try:
            await self._think(run, thought)
            if not thought.ended or _extracted(run, thought) is None:
                await self._continue(run, thought, FINAL, answer_tokens)
        except (BackendError, OutOfCompute):
            if not thought.parts:
                raise
            return run.offer(_answer(run, thought, complete=False))
        return run.offer(_answer(run, thought, complete=True))

    async def _think(self, run: Run, thought: _Thought) -> None:
        messages = render("chain_of_thought", run.query.messages)
        first = await run.ask(
            self.model, messages, template="chain_of_thought", max_completion_tokens=thought.left_tokens
        )
        thought.add("", first)
        run.offer(_answer(run, thought, complete=False))
        for _ in range(self.n):
            if not thought.ended or thought.left_tokens < 1:
                break
            await self._continue(run, thought, NUDGE, thought.left_tokens)
        reason = "ended by itself" if thought.ended else "cut at its budget"
        run.note("stop", f"thinking {reason}", nudges=len(thought.parts) - 1, left_tokens=thought.left_tokens)

    async def _continue(self, run: Run, thought: _Thought, nudge: str, tokens: int) -> None:
        continues = run.cards[self.model].continues
        part = await run.ask(
            self.model,
            self._messages(run, thought, nudge, continues),
            template=self.name,
            max_completion_tokens=tokens,
            parameters=CONTINUING if continues else None,
        )
        thought.add(nudge if continues else f"{nudge} ", part)
        run.offer(_answer(run, thought, complete=False))

    def _messages(self, run: Run, thought: _Thought, nudge: str, continues: bool) -> Sequence[Message]:
        asked = render("chain_of_thought", run.query.messages)
        said = run.quote(thought.text)
        if continues:
            return [*asked, {"role": "assistant", "content": said + nudge}]
        return [*asked, {"role": "assistant", "content": said}, {"role": "user", "content": nudge.strip()}]


def _extracted(run: Run, thought: _Thought) -> str | None:
    """The final answer; a forced one stands above whatever the thinking held on its way."""
    concluded = replace(thought.parts[-1].completion, message={"content": thought.conclusion})
    return run.extract(run.query, concluded)


def _answer(run: Run, thought: _Thought, *, complete: bool) -> Answer:
    parts = [part.completion for part in thought.parts]
    candidate = composed(thought.text, _extracted(run, thought), parts, BudgetForcing.name)
    return Answer(candidate, weighed=(candidate,), verdicts=(None,), complete=complete)
