"""Program of thought: the model writes a program, the sandbox works the answer out (Chen et al. 2022; PAL,
Gao et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from router.answers import MAX_ANSWER_CHARACTERS, extract_answer
from router.candidate import Answer, Candidate, composed
from router.code_answers import extract_code
from router.errors import ConfigurationError, SandboxError
from router.query import Message
from router.run import Run
from router.sandbox import Program, Ran, Sandbox
from router.strategies import Traits
from router.strategies._dialogue import STEP_TOKENS, differing, replied
from router.strategies._standing import Standing, beside_a_plain_draw
from router.templates import instructed

ERROR_LINES = 8
"""Of an error its last lines are fed back, where it says what went wrong."""

_ASK = (
    "Do not answer yourself. Write one Python program in a ```python code block that works the answer out "
    "and prints the final answer alone on its last line. It reads no input and has no network."
)
_REPAIR = (
    "That program did not work, see below. Write it again, whole and corrected, in one ```python code block; "
    "it prints the final answer alone on its last line.\n"
)


@dataclass(frozen=True, slots=True)
class ProgramOfThought:
    """``n`` programs in parallel, each repaired at most ``repairs`` times, and a vote of what they print.

    A plain draw beside them stands until a program has printed something, and is the answer where none
    does or there is no sandbox.
    """

    name: ClassVar[str] = "program_of_thought"
    summary: ClassVar[str] = (
        "programs that work the answer out in a sandbox, repaired, and a vote of their outputs"
    )
    model: str
    n: int = 1
    repairs: int = 1

    def __post_init__(self) -> None:
        if self.n < 1 or self.repairs < 0:
            raise ConfigurationError(
                f"program_of_thought needs n >= 1 and repairs >= 0, not {self.n} and {self.repairs}."
            )

    @property
    def traits(self) -> Traits:
        """It runs code, and answers in a form of its own. A repair's prompt holds program and error."""
        return Traits(response_format=False, quotes=2, needs_sandbox=True)

    @property
    def family(self) -> str:
        """``<model>/program_of_thought``, with the repairs where they are not the default."""
        return f"{self.model}/{self.name}{'' if self.repairs == 1 else f':repairs={self.repairs}'}"

    @property
    def compute(self) -> float:
        """Programs at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """The plain draw, and n programs with their repairs."""
        return {self.model: 1 + self.n * (1 + self.repairs)}

    async def answer(self, run: Run) -> Answer:
        """What most programs printed."""
        sandbox = run.sandbox
        if sandbox is None:
            run.note("stop", "there is no sandbox")
            return await beside_a_plain_draw(run, self.model, lambda standing: ())
        return await beside_a_plain_draw(
            run,
            self.model,
            lambda standing: [self._program(run, sandbox, standing) for _ in range(self.n)],
        )

    async def _program(self, run: Run, sandbox: Sandbox, standing: Standing) -> bool:
        """Write, run and repair one program, until it prints something."""
        asked = instructed(run.query.messages, _ASK)
        more = differing(run.query) if self.n > 1 else None
        reply = await self._asked(run, asked, "program", more)
        standing.step(reply)
        drawn = [reply]
        for left in range(self.repairs, -1, -1):
            ran = await _ran(sandbox, reply)
            if printed := _printed(ran):
                standing.find(_stated(run, printed, drawn))
                run.note("continue", "a program printed its answer", repairs=self.repairs - left)
                return True
            run.note("continue", "a program printed no answer", repairs_left=left)
            if left:
                reply = standing.step(await self._repaired(run, reply, ran))
                drawn.append(reply)
        return True

    async def _repaired(self, run: Run, reply: Candidate, ran: Ran) -> Candidate:
        told = _REPAIR + run.quote(_trouble(ran))
        return await self._asked(run, replied(run.query.messages, run.quote(reply.text), told), "repair")

    async def _asked(
        self, run: Run, messages: Sequence[Message], template: str, more: Mapping[str, Any] | None = None
    ) -> Candidate:
        return await run.ask(
            self.model, messages, template=template, max_completion_tokens=STEP_TOKENS, parameters=more
        )


async def _ran(sandbox: Sandbox, reply: Candidate) -> Ran:
    """What the reply's program did. That there is none, or that it could not be run, is told as its error."""
    source = extract_code(reply.text)
    if source is None:
        return Ran(stderr="There was no Python code block.", exit_code=1)
    try:
        return await sandbox.run(Program(source))
    except SandboxError as error:
        return Ran(stderr=str(error), exit_code=None, ended="crashed")


def _printed(ran: Ran) -> str:
    """The last line that a program printed, empty where it failed or printed none."""
    lines = ran.stdout.strip().splitlines() if ran.succeeded else []
    return lines[-1].strip()[:MAX_ANSWER_CHARACTERS] if lines else ""


def _trouble(ran: Ran) -> str:
    if ran.succeeded:
        return "It printed nothing."
    lines = ran.stderr.strip().splitlines()[-ERROR_LINES:]
    return "\n".join(lines if ran.ended == "exited" and lines else [*lines, ran.complaint])


def _stated(run: Run, printed: str, drawn: list[Candidate]) -> Candidate:
    text = f"Answer: {printed}"
    parts = [candidate.completion for candidate in drawn]
    return composed(text, extract_answer(run.query, text), parts, "program")
