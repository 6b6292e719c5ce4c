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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from router import _behaviour_harness
from router.code_answers import python_blocks
from router.domains import domain_of
from router.query import Query
from router.sandbox import Limits, Program, Sandbox

LIMITS = Limits(seconds=3.0)
MOST_PROGRAMS = 16
"""Of one question; further ones are compared by their letters."""
_KEPT = 256
FAILED = "!"
"""Begins the output of a call that failed."""

Pair: TypeAlias = tuple[int, int]
"""Two replies by their numbers, the smaller first."""
Source: TypeAlias = tuple[str, ...]
"""The Python blocks of a reply."""


class Likeness(Protocol):
    """Tells which replies say the same where their letters do not."""

    def concerns(self, query: Query) -> bool:
        """Whether it may tell anything of replies to this query."""
        ...

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

    def like(self, other: Conduct) -> bool:
        """Whether both do the same with every input of either on which not both fail, and there is one."""
        pairs = [(self.outputs.get(text), other.outputs.get(text)) for text in (*self.own, *other.own)]
        telling = [(one, two) for one, two in pairs if not (_failed(one) and _failed(two))]
        return bool(telling) and all(one == two for one, two in telling)


@dataclass(slots=True)
class Behaviour:
    """``Likeness`` of Python programs, run in a sandbox. What a program did is kept, for the next comparison
    with the same one."""

    sandbox: Sandbox
    _known: OrderedDict[tuple[str, Source], Conduct] = field(default_factory=OrderedDict)

    def concerns(self, query: Query) -> bool:
        """See the contract."""
        return asks_for_code(query)

    async def alike(self, query: Query, replies: Sequence[str]) -> Sequence[Pair]:
        """See the contract. Only of queries for code; a reply without a function is like no other, and so is
        each where the sandbox fails."""
        if len(set(replies)) < 2 or not asks_for_code(query):
            return ()
        sources = [tuple(python_blocks(reply)) for reply in replies]
        programs = list(dict.fromkeys(source for source in sources if source))[:MOST_PROGRAMS]
        if len(programs) < 2:
            return ()
        try:
            known = await self._conducts(query.text, programs)
        except ExceptionGroup:  # the sandbox's own; what a program does is told by its result
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
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._conduct(question, each, inputs)) for each in programs]
        return [task.result() for task in tasks]

    async def _conduct(self, question: str, program: Source, inputs: Sequence[str]) -> Conduct:
        """Of inputs on which it ran before, nothing is run again."""
        key = question, program
        known = self._known.get(key)
        if known is None:
            known = await self._run(question, program, inputs)
        elif known.function is not None and (further := known.lacks(inputs)):
            ran = await self._run(question, program, further)
            known = replace(known, outputs={**known.outputs, **ran.outputs})
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return known

    async def _run(self, question: str, program: Source, inputs: Sequence[str]) -> Conduct:
        mark = secrets.token_hex(16)
        job = {"mark": mark, "blocks": program, "question": question, "inputs": inputs}
        harness = inspect.getsource(_behaviour_harness)
        ran = await self.sandbox.run(Program(harness, json.dumps(job)), LIMITS)
        return _told(ran.stdout, mark, inputs)


def asks_for_code(query: Query) -> bool:
    """Whether programs are what is compared."""
    return domain_of(query).name == "code"


def _told(stdout: str, mark: str, inputs: Sequence[str]) -> Conduct:
    """With an input of which nothing was told, it never came to an end."""
    reports = [json.loads(line.removeprefix(mark)) for line in stdout.splitlines() if line.startswith(mark)]
    if not reports:
        return Conduct()
    first, *told = reports
    outputs: dict[str, str] = {each["input"]: each["output"] for each in told}
    own = tuple(first["inputs"])
    return Conduct(first["function"], own, {**dict.fromkeys((*own, *inputs), FAILED), **outputs})


def _failed(output: str | None) -> bool:
    return output is None or output.startswith(FAILED)
