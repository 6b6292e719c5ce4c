"""Constraints that the answer's values must satisfy, checked by Z3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from router.candidate import Candidate, Verdict
from router.query import Query
from router.smt import Constraints, Sort, counterexample, solve
from router.verifiers._values import values_in

if TYPE_CHECKING:
    from router.run import Run


@dataclass(frozen=True, slots=True)
class Z3:
    """Passes where the values in the reply satisfy constraints in SMT-LIB 2.

    constraints: declarations, definitions and assertions over the variables. variables: by name, ``Int``,
    ``Real`` or ``Bool``; the reply gives each a value, as a JSON object, as ``name = value``, or, of a single
    one, as its final answer. sound: whether satisfying them is all that a right answer means. A fail's reason
    is the counter-example: the values, and the assertions that they violate.
    """

    name: ClassVar[str] = "z3"
    summary: ClassVar[str] = "the answer's values satisfy constraints in SMT-LIB, by Z3"

    constraints: str
    variables: Mapping[str, Sort]
    sound: bool = False
    _read: Constraints = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_read", Constraints(self.constraints, self.variables))

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where the reply lacks a value, Z3 cannot tell in time, or it is not installed."""
        values = values_in(query, candidate.text, self.variables)
        if values is None:
            return Verdict.unknown(self.name, f"no value for each of {', '.join(self.variables)}"[:200])
        found = await solve(self._read, values)
        if found.state == "unknown":
            return Verdict.unknown(self.name, found.reason)
        reason = counterexample(found, values) if found.state == "unsat" else ""
        return Verdict.of(found.state == "sat", self.name, sound=self.sound, reason=reason)
