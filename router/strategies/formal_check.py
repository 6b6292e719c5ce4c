"""Formal check: the model answers and states its claim formally; what refutes the claim is fed back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, get_args

from router.answers import extract_answer
from router.candidate import Answer, Candidate, Verdict, composed
from router.errors import ConfigurationError
from router.run import Run
from router.sandbox import Sandbox
from router.statements import SOURCE, Language, Statement
from router.strategies import Traits
from router.strategies._dialogue import STEP_TOKENS, replied
from router.strategies._standing import Standing, beside_a_plain_draw
from router.templates import instructed

_ASK: Mapping[Language, str] = {
    "equations": (
        "Reason, end with a line 'Answer: ...', then state what you claim for SymPy in an ```equations "
        "block: a relation per line, such as 2*(3 + 4) == 14. A line x = 5 defines x. Other names stand "
        "for any number."
    ),
    "smt": (
        "Reason, end with a line 'Answer: ...', then prove it to Z3 in an ```smt block: declare constants, "
        "assert the question's facts, and at last, in one (assert (not ...)), that your answer is wrong."
    ),
}
_AGAIN = (
    "The formal claim was checked and did not hold, for the reason below. Find the mistake, in the answer "
    "or in the claim, and write both again in the same form.\n"
)
_BLOCK = re.compile(
    rf"^[ \t]*```[ \t]*({'|'.join(get_args(Language))})\b[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$\n?|\Z)",
    re.MULTILINE | re.DOTALL,
)
_NO_ANSWER = re.compile(r"\banswer\b|[\s:*_#`]+", re.IGNORECASE)
"""What is no answer by itself: the label of one, and marks."""


@dataclass(frozen=True, slots=True)
class FormalCheck:
    """At most ``n`` rounds of answer and claim, until a claim holds; the check runs in the sandbox.

    What a passed check means: what the model stated follows (``language = "smt"``: from the facts as the
    model stated them; ``"equations"``: each relation is true). It does not mean that the answer is right,
    unless the claim is the question. A claim that could not be checked counts as unknown, never as a pass.
    An answer whose claim holds takes the place of a plain draw beside the first round, which is the answer
    where none does or there is no sandbox.
    """

    name: ClassVar[str] = "formal_check"
    summary: ClassVar[str] = "answer and formal claim, checked by SymPy or Z3; a counter-example is fed back"
    model: str
    n: int = 2
    language: Language = "equations"

    def __post_init__(self) -> None:
        if self.n < 1 or self.language not in get_args(Language):
            known = ", ".join(get_args(Language))
            raise ConfigurationError(
                f"formal_check needs n >= 1 and a language of {known}, not {self.n} and {self.language!r}."
            )

    @property
    def traits(self) -> Traits:
        """Checks run in the sandbox. A further round's prompt holds the reply and what refuted it."""
        return Traits(response_format=False, quotes=2, needs_sandbox=True)

    @property
    def family(self) -> str:
        """``<model>/formal_check``, with the language where it is not the default."""
        return f"{self.model}/{self.name}{'' if self.language == 'equations' else f':{self.language}'}"

    @property
    def compute(self) -> float:
        """Rounds at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """The plain draw, and n rounds."""
        return {self.model: 1 + self.n}

    async def answer(self, run: Run) -> Answer:
        """The first answer whose claim holds, else the plain draw."""
        sandbox = run.sandbox
        if sandbox is None:
            run.note("stop", "there is no sandbox")
            return await beside_a_plain_draw(run, self.model, lambda standing: ())
        return await beside_a_plain_draw(
            run, self.model, lambda standing: [self._rounds(run, sandbox, standing)]
        )

    async def _rounds(self, run: Run, sandbox: Sandbox, standing: Standing) -> bool:
        messages = instructed(run.query.messages, _ASK[self.language])
        for left in range(self.n - 1, -1, -1):
            reply = standing.step(
                await run.ask(
                    self.model, messages, template=f"claim_{self.language}", max_completion_tokens=STEP_TOKENS
                )
            )
            verdict = await self._checked(sandbox, reply)
            if verdict.ruling == "pass":
                standing.find(_without_claim(run, reply), verdict)
                run.note("stop", "the claim holds", rounds_left=left)
                return True
            run.note("continue" if left else "stop", f"the claim: {verdict.ruling}", rounds_left=left)
            told = _AGAIN + run.quote(verdict.reason)
            messages = replied(run.query.messages, run.quote(reply.text), told)
        return True

    async def _checked(self, sandbox: Sandbox, reply: Candidate) -> Verdict:
        if not _NO_ANSWER.sub("", _BLOCK.sub("", reply.text)):
            return Verdict.unknown(SOURCE, "there is no answer beside the claim")
        stated = [text for language, text in _BLOCK.findall(reply.text) if language == self.language]
        if not stated:
            return Verdict.unknown(SOURCE, f"there is no ```{self.language} block")
        return await Statement(self.language, stated[-1]).check(sandbox)


def _without_claim(run: Run, reply: Candidate) -> Candidate:
    """The answer as the caller gets it."""
    text = _BLOCK.sub("", reply.text).strip()
    return composed(text, extract_answer(run.query, text), [reply.completion], reply.template)
