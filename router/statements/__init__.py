"""Statements: what a model claims in a form that can be checked, and the scripts that check it.

A script is a module of this package that reads a statement from its standard input and prints one line:
``holds``, ``fails: <why>`` or ``unknown: <why>``. It runs in a sandbox, as evaluating what a model wrote may
run on for ever, or worse.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import Literal, TypeAlias

from router.candidate import Verdict
from router.errors import SandboxError
from router.sandbox import Program, Sandbox

Language: TypeAlias = Literal["equations", "smt"]
SOURCE = "statement"


@dataclass(frozen=True, slots=True)
class Statement:
    """A text in one of the languages: ``equations`` of SymPy, or ``smt``, SMT-LIB for Z3."""

    language: Language
    text: str

    async def check(self, sandbox: Sandbox) -> Verdict:
        """A pass, or a fail with its counter-example; ``unknown`` where the script could not tell. Never
        sound: a statement that holds may still say something else than what was asked."""
        try:
            ran = await sandbox.run(self._script())
        except SandboxError as error:
            return Verdict.unknown(SOURCE, str(error))
        lines = ran.stdout.strip().splitlines()
        if not ran.succeeded or not lines:
            return Verdict.unknown(SOURCE, ran.complaint or "the check said nothing")
        return _verdict(lines[-1])

    def _script(self) -> Program:
        module = importlib.import_module(f"router.statements.{self.language}")
        return Program(inspect.getsource(module), self.text)


def _verdict(line: str) -> Verdict:
    ruling, _, reason = line.partition(": ")
    if ruling in ("holds", "fails"):
        return Verdict.of(ruling == "holds", SOURCE, sound=False, reason=reason)
    return Verdict.unknown(SOURCE, reason or line)
