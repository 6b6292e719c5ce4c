"""Python, run in the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from router.code_answers import extract_code
from router.errors import ConfigurationError, SandboxError
from router.sandbox import Limits, Program, Ran, Sandbox
from router.tools import failed, shortened


@dataclass(frozen=True, slots=True)
class Python:
    """Runs a program and gives what it prints, then what it complains of. Every program starts anew.

    sandbox: where it runs. timeout_s: its wall time.
    """

    name: ClassVar[str] = "python"
    summary: ClassVar[str] = "runs a Python program in the sandbox and gives what it prints"

    sandbox: Sandbox
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s < float("inf"):
            raise ConfigurationError(f"timeout_s of the tool python must be above 0, not {self.timeout_s!r}.")

    @property
    def description(self) -> str:
        """What the model is told about it."""
        return "Runs a Python program and gives what it prints. It has no network and remembers nothing."

    @property
    def schema(self) -> Mapping[str, Any]:
        """A program's text."""
        return {"type": "string", "description": "the program, which prints its result"}

    async def use(self, argument: str) -> str:
        """What the program printed; ``error: ...`` at the end where it failed, or was stopped."""
        source = extract_code(argument) or argument
        try:
            ran = await self.sandbox.run(Program(source), Limits(seconds=self.timeout_s))
        except SandboxError as error:
            return failed(str(error))
        return _told(ran)


def _told(ran: Ran) -> str:
    printed = ran.stdout.strip()
    if ran.succeeded:
        return shortened(printed) or "(it printed nothing)"
    return shortened(f"{printed}\n{failed(ran.complaint)}".strip())
