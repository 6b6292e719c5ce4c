"""Agreement cascade: the last arm is asked only where cheaper ones do not agree (agreement-based cascading,
Kolawole et al. 2024). It needs neither a learnt confidence nor a price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from router.behaviour import asks_for_code
from router.candidate import Answer, Verdict
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run
from router.strategies import Traits
from router.strategies.cascade import Stage, hear, joint_demand, joint_traits

WHOSE = ("any", "first")


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one stage answered, and what the request's verifier says of it."""

    stage: Stage
    answer: Answer
    verdict: Verdict | None

    @property
    def is_proven(self) -> bool:
        """Passed by a verifier whose pass means that it is right."""
        return self.verdict is not None and self.verdict.ruling == "pass" and self.verdict.sound

    @property
    def has_failed(self) -> bool:
        """Then it has no word."""
        return self.verdict is not None and self.verdict.ruling == "fail"


@dataclass(frozen=True, slots=True)
class Poll:
    """How things stand after some stages. leading: of those that said what counts most, the one whose reply
    is given. words: how many said it. possible: as many, or one where a program may yet turn out to do what
    another does. standing: what is given if nothing more comes."""

    leading: Spoken
    words: int
    possible: int
    standing: Spoken


@dataclass(frozen=True, slots=True)
class AgreementCascade:
    """Arms in order, until ``agree`` of them say the same; the last one is kept for where they do not, and
    then its answer stands.

    It is asked as soon as the others can no longer agree. Of those that agree, the reply of the last one is
    given. whose: with ``first``, only words for what the first stage said count, and its reply is given.
    Programs that do the same say the same (``Run.likeness``). What the request's verifier failed has no word;
    what a sound one passed ends it.
    """

    name: ClassVar[str] = "agreement_cascade"
    summary: ClassVar[str] = "cheap arms until enough say the same, else the last one"
    stages: tuple[Stage, ...]
    agree: int = 2
    whose: str = "any"

    def __post_init__(self) -> None:
        if len(self.stages) < 3 or not 2 <= self.agree < len(self.stages):
            raise ConfigurationError(
                "agreement_cascade needs three or more stages and 2 <= agree < the number of stages."
            )
        if self.whose not in WHOSE:
            raise ConfigurationError(
                f"agreement_cascade knows no whose = {self.whose!r}. Known: {', '.join(WHOSE)}."
            )

    @property
    def traits(self) -> Traits:
        """What every stage can, and what any stage needs; no tools, since calls of tools are not compared."""
        return replace(joint_traits(self.stages), tools=False)

    @property
    def family(self) -> str:
        """``agreement_cascade(<arm>><arm>...)``, with the options that are not the default."""
        agree = "" if self.agree == 2 else f":agree={self.agree}"
        whose = "" if self.whose == "any" else f":whose={self.whose}"
        return f"{self.name}({'>'.join(stage.arm_id for stage in self.stages)}){agree}{whose}"

    @property
    def compute(self) -> float:
        """It has no ladder."""
        return 1.0

    def demand(self) -> Mapping[str, int]:
        """All stages' calls."""
        return joint_demand(self.stages)

    async def answer(self, run: Run) -> Answer:
        """What enough stages say, else what the last one does. Where that one fails, or the budget does not
        admit it, what stands, or what a stage says that was not asked yet: not complete."""
        *left, last = self.stages
        spoken: list[Spoken] = []
        possible = 0
        while left:
            if heard := await self._spoken(run, left.pop(0)):
                spoken.append(heard)
                poll = await self._poll(run, spoken)
                if self._stops(run, poll):
                    return run.offer(poll.leading.answer)
                possible = poll.possible
            if not self._may_agree(possible, len(left)):
                break
        return await self._end(run, last, left, spoken)

    async def _spoken(self, run: Run, stage: Stage) -> Spoken | None:
        """``None`` where the stage failed, or the budget did not admit it."""
        try:
            return await self._asked(run, stage)
        except (BackendError, OutOfCompute):
            run.note("continue", f"{stage.arm_id} failed")
            return None

    async def _asked(self, run: Run, stage: Stage) -> Spoken:
        answer = (await hear(run, stage)).answer
        if run.verifier is None or (answer.verdict and answer.verdict.source == run.verifier.name):
            return Spoken(stage, answer, answer.verdict if run.verifier else None)
        return Spoken(stage, answer, await run.within(stage.arm_id).verify(answer.candidate))

    async def _poll(self, run: Run, spoken: Sequence[Spoken]) -> Poll:
        forms = await run.in_one_form([each.answer.candidate for each in spoken])
        said = [None if each.has_failed else form.compared for each, form in zip(spoken, forms, strict=True)]
        words = [0 if word is None else said.count(word) for word in said]
        possible = [word or _may_speak(run, each) for word, each in zip(words, spoken, strict=True)]
        best = max(range(len(spoken)), key=lambda i: (not spoken[i].has_failed, words[i], i))
        if spoken[-1].is_proven:
            return Poll(spoken[-1], words[-1], 0, spoken[-1])
        if self.whose == "first":
            return Poll(spoken[0], words[0], possible[0], spoken[best])
        return Poll(spoken[best], words[best], max(possible), spoken[best])

    def _stops(self, run: Run, poll: Poll) -> bool:
        run.offer(poll.standing.answer)
        stops = poll.words >= self.agree or poll.leading.is_proven
        run.note("stop" if stops else "escalate", "how many agree", words=poll.words, wanted=self.agree)
        return stops

    def _may_agree(self, possible: int, left: int) -> bool:
        """Whether as many as are wanted still can, with as many to ask before the last one."""
        return possible + left >= self.agree and (possible > 0 or self.whose == "any")

    async def _end(self, run: Run, last: Stage, left: Sequence[Stage], spoken: Sequence[Spoken]) -> Answer:
        try:
            return run.offer((await self._asked(run, last)).answer)
        except (BackendError, OutOfCompute):
            for stage in left if not spoken else ():
                if heard := await self._spoken(run, stage):
                    spoken = (heard,)
                    break
            if not spoken:
                raise
        run.note("stop", f"{last.arm_id} failed")
        return run.offer(replace((await self._poll(run, spoken)).standing.answer, complete=False))


def _may_speak(run: Run, spoken: Spoken) -> int:
    """1 for a program that nothing was read from: another that is heard yet may do the same."""
    return int(not spoken.has_failed and run.likeness is not None and asks_for_code(run.query))
