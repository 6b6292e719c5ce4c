"""Prompt bandit: learns within one query which prompt and temperature earn reward (Thompson sampling,
Chapelle & Li 2011)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from router.candidate import Answer, Candidate, Verdict
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.parallel import as_they_come
from router.run import Run
from router.strategies import Traits
from router.templates import render
from router.verifiers.judge import Judge

DEFAULT_PROMPTS: Mapping[str, Sequence[float]] = MappingProxyType(
    {"direct": (0.3, 1.0), "chain_of_thought": (0.3, 1.0)}
)


@dataclass(frozen=True, slots=True)
class _Lever:
    """What the bandit can pull: a prompt template at a temperature."""

    template: str
    temperature: float


@dataclass(frozen=True, slots=True)
class _Pull:
    """What one pull brought. A verdict that cannot tell teaches nothing."""

    lever: _Lever
    candidate: Candidate
    verdict: Verdict | None

    @property
    def reward(self) -> float:
        return self.verdict.reward if self.verdict is not None else 0.0

    @property
    def tells(self) -> bool:
        return self.verdict is not None and self.verdict.ruling != "unknown"


@dataclass(slots=True)
class _Pulls:
    """All pulls of one query, in the order in which they were judged."""

    chance: np.random.Generator
    pulls: list[_Pull] = field(default_factory=list)

    def next_lever(self, levers: Sequence[_Lever]) -> _Lever:
        """The highest of one draw from each lever's posterior, Beta(1 + rewards, 1 + pulls - rewards)."""
        drawn = [self.chance.beta(*self._posterior(lever)) for lever in levers]
        return levers[int(np.argmax(drawn))]

    def _posterior(self, lever: _Lever) -> tuple[float, float]:
        rewards = [pull.reward for pull in self.pulls if pull.lever == lever and pull.tells]
        return 1.0 + sum(rewards), 1.0 + len(rewards) - sum(rewards)

    def best(self, *, complete: bool) -> Answer:
        """The highest reward; ties go to the earliest."""
        best = max(self.pulls, key=lambda pull: pull.reward)
        candidates = tuple(pull.candidate for pull in self.pulls)
        verdicts = tuple(pull.verdict for pull in self.pulls)
        return Answer(best.candidate, best.verdict, candidates, verdicts, complete)


@dataclass(frozen=True, slots=True)
class PromptBandit:
    """At most ``n`` draws, ``batch`` at a time; each batch goes to the prompts and temperatures that may be
    the best by what the batches before it earned, by the request's verifier or by ``judge``.

    ``prompts``: the temperatures to try by template. What is learnt ends with the answer: a strategy keeps
    nothing between queries, and each of several choices (``n`` of the request) learns for itself. Which
    prompt suits a *kind* of query is for the policy to learn, with an arm for each.
    """

    name: ClassVar[str] = "prompt_bandit"
    summary: ClassVar[str] = "a bandit that learns within the query which prompt and temperature earn reward"
    model: str
    n: int
    batch: int = 2
    judge: str | None = None
    prompts: Mapping[str, Sequence[float]] = field(default_factory=lambda: DEFAULT_PROMPTS, hash=False)

    def __post_init__(self) -> None:
        if self.n < 2 or self.batch < 1:
            raise ConfigurationError(
                f"prompt_bandit needs n >= 2 and batch >= 1, not {self.n} and {self.batch}."
            )
        for template, temperatures in self.prompts.items():
            render(template, ())  # raises where there is no such template
            if not temperatures or any(not 0 <= each <= 2 for each in temperatures):
                raise ConfigurationError(
                    f"prompts.{template} must list temperatures from 0 to 2, not {temperatures!r}."
                )
        if len(self._levers) < 2:
            raise ConfigurationError("prompt_bandit needs two or more pairs of prompt and temperature.")

    @property
    def _levers(self) -> list[_Lever]:
        return [_Lever(name, each) for name, temperatures in self.prompts.items() for each in temperatures]

    @property
    def traits(self) -> Traits:
        """With a verifier, one more draw can only turn no pass into a pass."""
        verified = self.judge is None
        return Traits(
            response_format=set(self.prompts) == {"direct"},
            needs_verifier=verified,
            more_cannot_hurt=verified,
            quotes=0 if verified else 1,
        )

    @property
    def family(self) -> str:
        """``<model>/prompt_bandit``, with batch, judge and prompts where they are not the default."""
        batch = "" if self.batch == 2 else f":batch={self.batch}"
        judge = f":judge={self.judge}" if self.judge else ""
        levers = "+".join(f"{lever.template}({lever.temperature:g})" for lever in self._levers)
        prompts = "" if self.prompts == DEFAULT_PROMPTS else f":prompts={levers}"
        return f"{self.model}/{self.name}{batch}{judge}{prompts}"

    @property
    def compute(self) -> float:
        """Draws at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n draws, and n judge calls where a judge is asked."""
        calls = {self.model: self.n}
        if self.judge:
            calls[self.judge] = calls.get(self.judge, 0) + self.n
        return calls

    async def answer(self, run: Run) -> Answer:
        """The best candidate."""
        seed = int(run.chance("prompts") * 2**53)
        drawn, passed, levers = _Pulls(np.random.default_rng(seed)), False, self._levers
        while not passed and len(drawn.pulls) < self.n:
            before = len(drawn.pulls)
            batch = [drawn.next_lever(levers) for _ in range(min(self.batch, self.n - before))]
            try:
                passed = await self._pull_all(run, batch, drawn)
            except (BackendError, OutOfCompute):
                if not drawn.pulls:
                    raise
            if len(drawn.pulls) - before < len(batch):  # a pass, or a draw was lost
                break
        return self._stop(run, drawn, passed)

    async def _pull_all(self, run: Run, batch: Sequence[_Lever], drawn: _Pulls) -> bool:
        """Whether one passed so that nothing could rank above it; that cancels the rest."""
        async with aclosing(as_they_come([self._pull(run, lever) for lever in batch])) as pulls:
            async for pull in pulls:
                drawn.pulls.append(pull)
                run.offer(drawn.best(complete=False))
                if self.judge is None and pull.verdict is not None and pull.verdict.settles:
                    return True
        return False

    async def _pull(self, run: Run, lever: _Lever) -> _Pull:
        parameters = {"temperature": lever.temperature}
        candidate = await run.sample(self.model, template=lever.template, parameters=parameters)
        if run.incumbent is None:  # better than nothing, should the time end while it is judged
            run.offer(Answer(candidate, None, (candidate,), (None,), complete=False))
        if self.judge:
            return _Pull(lever, candidate, await Judge(self.judge).verify(run.query, candidate, run))
        return _Pull(lever, candidate, await run.verify(candidate))

    def _stop(self, run: Run, drawn: _Pulls, passed: bool) -> Answer:
        count = len(drawn.pulls)
        numbers = {
            f"{lever.template}@{lever.temperature:g}": float(sum(p.lever == lever for p in drawn.pulls))
            for lever in self._levers
        }
        run.note("stop", "a candidate passed" if passed else f"{count} of {self.n} drawn", **numbers)
        return run.offer(drawn.best(complete=passed or count == self.n))
