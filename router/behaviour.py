"""Behaviour: programs that were written differently agree where they do the same (by their outputs, as
AlphaCode groups its samples, Li et al. 2022, and MBR-exec votes, Shi et al. 2022).

Their inputs are no invention: each program is run on what its own examples, the other's and the question's
call it with.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from router import _behaviour_harness
from router.code_answers import python_blocks
from router.domains import domain_of
from router.errors import SandboxError
from router.parallel import Turns
from router.query import Query
from router.sandbox import Limits, Program, Sandbox

LIMITS = Limits(seconds=2.0)
MOST_S = 5.0
"""For one comparison while a caller waits; what is not told by then is compared by its letters."""
MOST_PROGRAMS = 16
"""Of one question while a caller waits; further ones are compared by their letters."""
PARALLEL = 2
"""Programs at once, so that verifiers find the sandbox free."""
_KEPT = 256
_KEPT_INPUTS = 128
FAILED = "!"
"""Begins the output of a call that failed."""
_NOTHING = "None"

Pair: TypeAlias = tuple[int, int]
"""Two replies by their numbers, the smaller first."""
Source: TypeAlias = tuple[str, ...]
"""The Python blocks of a reply."""


class Likeness(Protocol):
    """Tells which replies say the same where their letters do not."""

    async def alike(self, query: Query, replies: Sequence[str]) -> Sequence[Pair]:
        """The pairs of different replies to a question that say the same; none where it cannot tell."""
        ...


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a program does. function: the one that is compared, ``None`` where it has none. own: what the
    examples call it with. outputs: by input, whatever it was given."""

    function: str | None = None
    own: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, inputs: Iterable[str]) -> list[str]:
        """The inputs on which it was not run."""
        return [text for text in dict.fromkeys(inputs) if text not in self.outputs]

    def and_on(self, outputs: Mapping[str, str]) -> Conduct:
        """With what it does on further inputs; of those that are not its own the latest are kept."""
        others = [text for text in self.outputs if text not in self.own][-_KEPT_INPUTS:]
        kept = {text: self.outputs[text] for text in (*self.own, *others)}
        return replace(self, outputs={**kept, **outputs})

    def like(self, other: Conduct) -> bool:
        """Whether both do the same with every input of either on which not both fail, and there is one that
        makes them do anything."""
        pairs = [(self.outputs.get(text), other.outputs.get(text)) for text in (*self.own, *other.own)]
        whole = [(one, two) for one, two in pairs if not (_failed(one) and _failed(two))]
        return any(one != _NOTHING for one, _ in whole) and all(one == two for one, two in whole)


@dataclass(slots=True)
class Behaviour:
    """``Likeness`` of Python programs, run in a sandbox. What a program did is kept, for the next comparison
    with the same one.

    most_s: how long one comparison may take, seconds. most_programs: how many different ones it may hold.
    """

    sandbox: Sandbox
    most_s: float = MOST_S
    most_programs: int = MOST_PROGRAMS
    _known: OrderedDict[tuple[str, Source], Conduct] = field(default_factory=OrderedDict)
    _turns: Turns = field(default_factory=lambda: Turns(PARALLEL))

    async def alike(self, query: Query, replies: Sequence[str]) -> Sequence[Pair]:
        """See the contract. Only of queries for code; a reply without a function is like no other, and so is
        one whose program the sandbox could not run."""
        if len(set(replies)) < 2 or not asks_for_code(query):
            return ()
        sources = [tuple(python_blocks(reply)) for reply in replies]
        programs = list(dict.fromkeys(source for source in sources if source))[: self.most_programs]
        if len(programs) < 2:
            return ()
        try:
            async with asyncio.timeout(self.most_s):
                known = await self._conducts(query.text, programs)
        except TimeoutError:
            return ()
        return [
            (i, j)
            for (i, one), (j, two) in itertools.combinations(enumerate(sources), 2)
            if one in known and two in known and (one == two or known[one].like(known[two]))
        ]

    async def _conducts(self, question: str, programs: Sequence[Source]) -> Mapping[Source, Conduct]:
        """Each program's, run on its own inputs and on all the others'."""
        alone = await self._each(question, programs, ())
        inputs = [text for conduct in alone for text in conduct.own]
        return dict(zip(programs, await self._each(question, programs, inputs), strict=True))

    async def _each(
        self, question: str, programs: Sequence[Source], inputs: Sequence[str]
    ) -> Sequence[Conduct]:
        return await asyncio.gather(*(self._conduct(question, each, inputs) for each in programs))

    async def _conduct(self, question: str, program: Source, inputs: Sequence[str]) -> Conduct:
        """Of inputs on which it ran before, nothing is run again."""
        key = question, program
        known = self._known.get(key)
        if known is not None and (known.function is None or not known.lacks(inputs)):
            self._known.move_to_end(key)
            return known
        told, whole = await self._run(question, program, inputs if known is None else known.lacks(inputs))
        found = told if known is None else known.and_on(told.outputs)
        if whole:
            self._known[key] = found
            self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    async def _run(self, question: str, program: Source, inputs: Sequence[str]) -> tuple[Conduct, bool]:
        """What it does, and whether it came to its own end: where the sandbox failed, or was busy, another
        time may tell more."""
        mark = secrets.token_hex(16)
        job = {"mark": mark, "blocks": program, "question": question, "inputs": inputs}
        harness = inspect.getsource(_behaviour_harness)
        async with self._turns.here():
            try:
                ran = await self.sandbox.run(Program(harness, json.dumps(job)), LIMITS)
            except SandboxError:
                return Conduct(), False
        return _told(ran.stdout, mark, inputs), ran.ended == "exited"


def asks_for_code(query: Query) -> bool:
    """Whether programs are what is compared."""
    return domain_of(query).name == "code"


def _told(stdout: str, mark: str, inputs: Sequence[str]) -> Conduct:
    """A report that is none counts for nothing; an input of which nothing was told never came to an end."""
    reports: list[Mapping[str, Any]] = [*_reports(stdout, mark), {}]
    first, *told = reports
    function, own = first.get("function"), first.get("inputs")
    if not isinstance(function, str) or not isinstance(own, list):
        return Conduct()
    texts = tuple(text for text in own if isinstance(text, str))
    numbered = list(dict.fromkeys((*texts, *inputs)))
    outputs = dict.fromkeys(numbered, FAILED)
    for each in told:
        number, output = each.get("number"), each.get("output")
        if isinstance(number, int) and number in range(len(numbered)) and isinstance(output, str):
            outputs[numbered[number]] = output
    return Conduct(function, texts, outputs)


def _reports(stdout: str, mark: str) -> Iterator[Mapping[str, Any]]:
    for line in stdout.split("\n"):
        if line.startswith(mark):
            try:
                report = json.loads(line.removeprefix(mark))
            except ValueError:  # it was cut off
                continue
            if isinstance(report, dict):
                yield report


def _failed(output: str | None) -> bool:
    return output is None or output.startswith(FAILED)
