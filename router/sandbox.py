"""Sandbox: where programs that a model wrote are run, apart from the service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from router.errors import ConfigurationError

Ending: TypeAlias = Literal["exited", "crashed", "timeout", "memory", "output", "processes", "disk"]
"""How a program ended: by itself, by a signal, or by the limit of that name."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program and what it reads. source: its text. stdin: its input. files: texts by name that lie
    in its working directory, which is its scratch folder; a name has no slashes."""

    source: str
    stdin: str = ""
    language: Literal["python"] = "python"
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use. seconds: wall time. memory_bytes: of all its processes together.
    output_bytes: of its standard output and its standard error, each. processes: at once, threads not
    counted. disk_bytes: of its scratch folder."""

    seconds: float = 10.0
    memory_bytes: int = 512 << 20
    output_bytes: int = 256 << 10
    processes: int = 32
    disk_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        for name in Limits.__slots__:
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"A sandbox's limit {name} must be above 0, not {value!r}.")

    def within(self, ceiling: Limits) -> Limits:
        """The smaller of both, limit by limit.

        >>> Limits(seconds=60.0).within(Limits(seconds=30.0)).seconds
        30.0
        """
        smaller = {name: min(getattr(self, name), getattr(ceiling, name)) for name in Limits.__slots__}
        return Limits(**smaller)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program did. stdout, stderr: at most the limit's bytes of each, decoded, wrong bytes
    replaced. exit_code: ``None`` where a limit ended it. seconds: wall time."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = 0
    ended: Ending = "exited"
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether it came to its own end with exit code 0."""
        return self.ended == "exited" and self.exit_code == 0

    @property
    def complaint(self) -> str:
        """Why it did not succeed, in a line: the limit, or the last line of its standard error."""
        if self.ended not in ("exited", "crashed"):
            return f"stopped at its limit of {_LIMIT_WORDS[self.ended]} after {self.seconds:.1f} s"
        lines = self.stderr.strip().splitlines() or [f"exit code {self.exit_code}"]
        return "" if self.succeeded else lines[-1][:300]


_LIMIT_WORDS: Mapping[Ending, str] = {
    "timeout": "time",
    "memory": "memory",
    "output": "output",
    "processes": "processes",
    "disk": "scratch space",
}


class Sandbox(Protocol):
    """Runs programs that nobody has read. Cancelling the awaiting task ends the program and every
    process that it started. Raises ``SandboxError`` where the program could not be run at all;
    whatever the program itself does is told by ``Ran``."""

    async def run(self, program: Program, limits: Limits = DEFAULT_LIMITS) -> Ran:
        """Run one program to its end or to a limit."""
        ...


@dataclass(slots=True)
class Scripted:
    """A sandbox that runs nothing and says what it is told, for tests: the given results in turn, the
    last one from then on. error: raised in place of them. seen: every program. waits_s: how long each
    run takes."""

    says: Sequence[Ran] = (Ran(),)
    error: Exception | None = None
    waits_s: float = 0.0
    seen: list[Program] = field(default_factory=list)

    async def run(self, program: Program, limits: Limits = DEFAULT_LIMITS) -> Ran:
        """Say the next result."""
        self.seen.append(program)
        await asyncio.sleep(self.waits_s)
        if self.error is not None:
            raise self.error
        return self.says[min(len(self.seen), len(self.says)) - 1]
