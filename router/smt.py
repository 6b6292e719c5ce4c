"""Satisfiability of constraints in SMT-LIB 2 by Z3 (de Moura and Bjørner 2008), within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, TypeAlias

from router.errors import InvalidQuery
from router.smt_text import Unreadable, read, written

Value: TypeAlias = int | Fraction | bool
Sort: TypeAlias = Literal["Int", "Real", "Bool"]

SORTS: tuple[Sort, ...] = ("Int", "Real", "Bool")
MAX_VARIABLES = 200
TIMEOUT_S = 2.0
RESOURCES = 20_000_000
"""Z3's own count of its steps (``rlimit``): the same on every machine, unlike the time."""
MEMORY_MB = 512
REMEDY = "Z3 is not installed: pip install effortwise[formal]"


@dataclass(frozen=True, slots=True)
class Constraints:
    """What values must satisfy.

    text: SMT-LIB 2 of declarations, definitions and assertions (see ``router.smt_text`` for what is taken).
    variables: sort by name of those whose values are asked for; they are declared here and not in the
    text. Raises ``InvalidQuery`` where either is wrong.
    """

    text: str
    variables: Mapping[str, Sort]
    declarations: Sequence[str] = field(init=False, repr=False)
    assertions: Sequence[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_variables(self.variables)
        if not isinstance(self.text, str):
            raise _wrong("constraints", f"must be text, not {self.text!r}")
        try:
            commands = read(self.text, tuple(self.variables))
        except Unreadable as error:
            raise _wrong("constraints", f"cannot be used: {error}") from error
        asserted = tuple(written(command) for command in commands if command[0] == "assert")
        if not asserted:
            raise _wrong("constraints", "assert nothing")
        own = (f"(declare-const {name} {sort})" for name, sort in self.variables.items())
        others = (written(command) for command in commands if command[0] != "assert")
        object.__setattr__(self, "declarations", (*own, *others))
        object.__setattr__(self, "assertions", asserted)


@dataclass(frozen=True, slots=True)
class Finding:
    """What Z3 found. values: of the variables, as text, where it is ``sat``. violated: assertions that cannot
    hold together, where it is ``unsat``. reason: why it is ``unknown``."""

    state: Literal["sat", "unsat", "unknown"]
    values: Mapping[str, str] = field(default_factory=dict)
    violated: Sequence[str] = ()
    reason: str = ""


async def solve(constraints: Constraints, values: Mapping[str, Value] | None = None) -> Finding:
    """Whether the constraints hold with these values of their variables; those without one are free, and
    ``Finding.values`` tells values that do. Bounded in time, steps and memory, off the event loop.

    To check a claim, assert what is known and the claim's negation: ``unsat`` proves it, and the values of
    ``sat`` are a counter-example.
    """
    try:
        async with asyncio.timeout(2 * TIMEOUT_S):
            return await asyncio.to_thread(_solved, constraints, values or {})
    except TimeoutError:
        return Finding("unknown", reason=f"Z3 did not end within {2 * TIMEOUT_S:g} s")


def counterexample(finding: Finding, values: Mapping[str, Value]) -> str:
    """A finding of ``unsat`` in words, for the next prompt.

    >>> counterexample(Finding("unsat", violated=("(assert (> x 5))",)), {"x": 3})
    'x = 3 violates (> x 5)'
    """
    given = ", ".join(f"{name} = {str(value).lower()}" for name, value in values.items())
    broken = " and ".join(text.removeprefix("(assert ").removesuffix(")") for text in finding.violated)
    return f"{given[:150]} violates {broken[:300]}"


def _solved(constraints: Constraints, values: Mapping[str, Value]) -> Finding:
    try:
        import z3
    except ImportError:
        return Finding("unknown", reason=REMEDY)
    try:
        return _found(z3, constraints, values)
    except z3.Z3Exception as error:
        return Finding("unknown", reason=f"Z3 cannot use that: {_words(error)}")


def _found(z3: Any, constraints: Constraints, values: Mapping[str, Value]) -> Finding:
    ctx = z3.Context()  # its own: contexts are not to be shared between threads
    solver = z3.Solver(ctx=ctx)
    for option, limit in (
        ("timeout", int(TIMEOUT_S * 1000)),
        ("rlimit", RESOURCES),
        ("max_memory", MEMORY_MB),
    ):
        solver.set(option, limit)
    asserted = z3.parse_smt2_string("\n".join((*constraints.declarations, *constraints.assertions)), ctx=ctx)
    for i, assertion in enumerate(asserted):
        solver.assert_and_track(assertion, z3.Bool(f"assertion!{i}", ctx))
    sorts = {"Int": z3.IntSort(ctx), "Real": z3.RealSort(ctx), "Bool": z3.BoolSort(ctx)}
    names = {name: z3.Const(name, sorts[sort]) for name, sort in constraints.variables.items()}
    for name, value in values.items():
        solver.add(names[name] == _term(z3, ctx, constraints.variables[name], value))
    return _told(z3, constraints, solver, names)


def _told(z3: Any, constraints: Constraints, solver: Any, names: Mapping[str, Any]) -> Finding:
    state = solver.check()
    if state == z3.sat:
        model = solver.model()
        told = {name: model.eval(const, model_completion=True) for name, const in names.items()}
        return Finding("sat", {name: str(value).lower() for name, value in told.items()})
    if state == z3.unsat:
        core = sorted(int(str(tracked).split("!")[1]) for tracked in solver.unsat_core())
        return Finding("unsat", violated=tuple(constraints.assertions[i] for i in core))
    return Finding("unknown", reason=f"Z3 could not tell: {solver.reason_unknown()[:100]}")


def _term(z3: Any, ctx: Any, sort: Sort, value: Value) -> Any:
    if sort == "Bool":
        return z3.BoolVal(bool(value), ctx)
    return z3.IntVal(int(value), ctx) if sort == "Int" else z3.RealVal(str(Fraction(value)), ctx)


def _check_variables(variables: Any) -> None:
    if not isinstance(variables, Mapping) or not 0 < len(variables) <= MAX_VARIABLES:
        raise _wrong("variables", f"must be 1 to {MAX_VARIABLES} names with their sorts")
    for name, sort in variables.items():
        if sort not in SORTS:
            raise _wrong("variables", f"has {name!r}: {sort!r}; a sort is one of {', '.join(SORTS)}")


def _wrong(option: str, what: str) -> InvalidQuery:
    return InvalidQuery(f"A z3 verifier's {option} {what}.", f"effortwise.verifier.{option}")


def _words(error: Exception) -> str:
    told = error.args[0] if error.args else error
    return (told.decode(errors="replace") if isinstance(told, bytes) else str(told)).strip()[:200]
