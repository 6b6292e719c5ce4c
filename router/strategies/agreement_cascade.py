"""Agreement cascade: the last arm is asked only where cheaper ones do not agree (agreement-based cascading,
Kolawole et al. 2024). It needs neither a learnt confidence nor a price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from router.candidate import Answer, Candidate
from router.errors import BackendError, ConfigurationError, OutOfCompute
from router.run import Run
from router.strategies import Traits
from router.strategies.cascade import Heard, Stage, hear, joint_demand, joint_traits

WHOSE = ("any", "first")


@dataclass(frozen=True, slots=True)
class Backed:
    """The answer that leads: how many stages gave it, and the last of them."""

    words: int
    heard: Heard


@dataclass(frozen=True, slots=True)
class AgreementCascade:
    """Arms in order, until ``agree`` of them say the same; the last one is kept for where they do not, and
    then its answer stands.

    It is asked as soon as the others can no longer agree. Of those that agree, the reply of the last one is
    given. whose: with ``first``, only words for what the first stage said count, and its reply is given.
    Programs that do the same say the same (``Run.likeness``). What a verifier failed has no word; what one
    settles ends it.
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
        """What every stage can, and what any stage needs."""
        return joint_traits(self.stages)

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
        """What enough stages say, else what the last one does; not complete where one was wanted that
        failed, or that the budget did not admit, and another had answered."""
        *voters, last = self.stages
        heard: list[Heard] = []
        for number, stage in enumerate(voters):
            try:
                heard.append(await hear(run, stage))
            except BackendError:
                run.note("continue", f"{stage.arm_id} failed")
            except OutOfCompute:
                if not heard:
                    raise
                return await self._cut_short(run, stage, heard)
            backed = await self._backed(run, heard) if heard else None
            if backed and self._stops(run, backed):
                return backed.heard.answer
            if not self._may_agree(backed, len(voters) - number - 1):
                break
        try:
            return run.offer((await hear(run, last)).answer)
        except (BackendError, OutOfCompute):
            if not heard:
                raise
            return await self._cut_short(run, last, heard)

    async def _backed(self, run: Run, heard: Sequence[Heard]) -> Backed:
        """Of what was heard so far, at least one answer."""
        if _is_settled(heard[-1].answer):
            return Backed(self.agree, heard[-1])
        candidates = await run.in_one_form([each.answer.candidate for each in heard])
        said = [_word(each.answer, candidate) for each, candidate in zip(heard, candidates, strict=True)]
        words = [0 if word is None else said.count(word) for word in said]
        best = 0 if self.whose == "first" else max(range(len(heard)), key=lambda i: (words[i], i))
        return Backed(words[best], heard[best])

    def _stops(self, run: Run, backed: Backed) -> bool:
        run.offer(backed.heard.answer)
        stops = backed.words >= self.agree
        run.note("stop" if stops else "escalate", "how many agree", words=backed.words, wanted=self.agree)
        return stops

    def _may_agree(self, backed: Backed | None, left: int) -> bool:
        """Whether as many as are wanted still can, with as many to ask before the last one. Where the first
        stage failed whose words were to be counted, none can."""
        words = backed.words if backed else 0
        return words + left >= self.agree and (backed is not None or self.whose == "any")

    async def _cut_short(self, run: Run, failed: Stage, heard: Sequence[Heard]) -> Answer:
        backed = await self._backed(run, heard)
        run.note("stop", f"{failed.arm_id} failed", words=backed.words, wanted=self.agree)
        return run.offer(replace(backed.heard.answer, complete=False))


def _is_settled(answer: Answer) -> bool:
    return answer.verdict is not None and answer.verdict.settles


def _word(answer: Answer, candidate: Candidate) -> str | None:
    """What an answer says, in the form that it is compared in."""
    failed = answer.verdict is not None and answer.verdict.ruling == "fail"
    return None if failed else candidate.compared
