"""Guide: how the steps of a search are written, and by whom they are valued."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from router.call import Purpose
from router.candidate import Candidate
from router.errors import ConfigurationError
from router.run import LOGPROBS, Run
from router.search.path import ROOT, Path
from router.search.valuing import ASKING, VALUERS, valued
from router.strategies import Strategy, Traits
from router.strategies._dialogue import differing
from router.templates import instructed

PLAIN = "chain_of_thought"
"""The template of the plain draw."""
NEXT_STEP = (
    "Write only the next step of the solution, in a few sentences. "
    "If nothing is left after it, end with a line 'Answer: ' and the final answer."
)
FINISH = (
    "Finish now: write what is left of the solution, briefly. "
    "End with a line 'Answer: ' and the final answer."
)


@dataclass(frozen=True, slots=True)
class Guide:
    """What a search is led by.

    model: writes the steps. value: who values a path, of ``VALUERS``. judge: the model asked for values
    (``None``: the writer rates its own); the reward model for ``reward``. depth: most steps of a path.
    """

    model: str
    value: str
    judge: str | None
    depth: int

    def __post_init__(self) -> None:
        if self.value not in VALUERS:
            raise ConfigurationError(f"Unknown value {self.value!r}. Known: {', '.join(VALUERS)}.")
        if self.value == "reward" and self.judge is None:
            raise ConfigurationError("value = 'reward' needs judge, the name of a reward model.")
        if self.judge is not None and self.value not in ASKING:
            raise ConfigurationError(f"value = {self.value!r} asks no one: leave out judge = {self.judge!r}.")
        if self.depth < 1:
            raise ConfigurationError(f"A search needs depth >= 1, not {self.depth}.")

    @property
    def traits(self) -> Traits:
        """Steps are told how to end, so the format of the reply is not the caller's. A path stands in a
        prompt as one quote: it gets the room of one reply."""
        return Traits(
            response_format=False,
            needs_verifier=self.value == "verifier",
            quotes=1,
            needs_logprobs=self.value == "likelihood",
        )

    def demand(self, written: int, weighed: int) -> Mapping[str, int]:
        """Calls at most, by model. written: steps and forced ends. weighed: paths that are valued. On top
        comes the plain draw that every search begins with, and its own value."""
        calls = Counter({self.model: 1 + written})
        if self.value in ASKING:
            calls[self.judge or self.model] += 1 + weighed
        return dict(calls)

    def steps_within(self, calls: float) -> float:
        """How many valued steps so many calls pay for, beside the plain draw and the forced end."""
        each = 2 if self.value in ASKING else 1
        return calls if calls == inf else (calls - 1 - each) // each

    async def draw(self, run: Run) -> Path:
        """The whole solution by one plain draw: what every search begins with."""
        candidate = await run.sample(self.model, template=PLAIN, parameters=self._told(run))
        return ROOT.ended(candidate)

    async def propose(self, run: Run, path: Path) -> Path:
        """The path with one more step, by one call."""
        return path.longer(await self._ask(run, path, NEXT_STEP, "step"))

    async def finish(self, run: Run, path: Path) -> Path:
        """The path with its forced end, by one call."""
        return path.ended(await self._ask(run, path, FINISH, "candidate"))

    async def weigh(self, run: Run, path: Path) -> Path:
        """The path with its value."""
        return await valued(run, self.value, self.judge or self.model, path)

    async def _ask(self, run: Run, path: Path, instruction: str, purpose: Purpose) -> Candidate:
        steps = run.quote(path.text)
        told = {"role": "assistant", "content": steps}, {"role": "user", "content": instruction}
        messages = [*run.query.messages, *told] if steps else instructed(run.query.messages, instruction)
        return await run.ask(
            self.model,
            messages,
            template="finish" if purpose == "candidate" else "step",
            purpose=purpose,
            parameters={**differing(run.query), **self._told(run)},
        )

    def _told(self, run: Run) -> Mapping[str, Any]:
        """Where log-probabilities are the value, they are asked for."""
        return LOGPROBS if self.value == "likelihood" and run.cards[self.model].logprobs else {}


def family_of(strategy: Strategy, model: str) -> str:
    """``<model>/<name>``, with every option that is not its default, but for ``n``, which is the ladder.

    A strategy's fields besides ``model`` and ``n`` must all have defaults.
    """
    told: Any = strategy
    options = [item for item in fields(told) if item.name not in ("model", "n")]
    given = {item.name: getattr(strategy, item.name) for item in options}
    changed = [f":{item.name}={given[item.name]}" for item in options if given[item.name] != item.default]
    return f"{model}/{strategy.name}{''.join(changed)}"
