"""Strategies: each turns a query and a run into an answer. ``STRATEGIES`` finds the modules of this package.

A strategy is a frozen dataclass whose fields are its options in the configuration's ``[[menu]]``.
Its only input and output is awaiting its run: it counts nothing, sleeps never, and may be cancelled
at any await. It offers its best answer so far to the run (``run.offer``), so that the end of the
budget or of the time finds one standing. To add one: a module with such a class, whose ``name`` is
the module's; the conformance suite runs over the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from router.candidate import Answer
from router.registry import Registry

if TYPE_CHECKING:
    from router.run import Run


@dataclass(frozen=True, slots=True)
class Traits:
    """What a strategy can and needs.

    tools: may serve a request with tools (it passes tool calls on). response_format: leaves the
    reply's format to the caller. needs_verifier: is infeasible where the request brings none and
    the configuration binds none. more_cannot_hurt: its quality never falls with its ``compute``, as
    for best-of-n with a sound verifier; a majority vote may fall. quotes: how many earlier replies
    (``Run.quote``) one of its prompts may hold. needs_sandbox: runs code. needs_logprobs: weighs replies by
    their log-probabilities, so its models must give them. needs_continuing: its models must go on with a
    partial reply. levels: pairs of a model and a native level of effort that it must take. server_tools: the
    tools of the server that it names. runs_tools: it uses tools between its steps, those of the server and
    those that a request brings.
    """

    tools: bool = False
    response_format: bool = True
    needs_verifier: bool = False
    more_cannot_hurt: bool = False
    quotes: int = 0
    needs_sandbox: bool = False
    needs_logprobs: bool = False
    needs_continuing: bool = False
    levels: frozenset[tuple[str, str]] = frozenset()
    server_tools: frozenset[str] = frozenset()
    runs_tools: bool = False


class Strategy(Protocol):
    """A way of answering."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @property
    def traits(self) -> Traits:
        """What it can and needs, with these options."""
        ...

    @property
    def family(self) -> str:
        """What it is, but for its place on the compute ladder, e.g. ``small/self_consistency``: with
        ``@compute`` behind it, where that is not 1, this is the arm's id."""
        ...

    @property
    def compute(self) -> float:
        """Its place on the compute ladder of its family: how many answers it may draw, >= 1."""
        ...

    def demand(self) -> Mapping[str, int]:
        """Upper bound on its upstream calls, by model, for one answer."""
        ...

    async def answer(self, run: Run) -> Answer:
        """Answer the run's query. Raises what its run raises where no answer stands."""
        ...


STRATEGIES: Registry[Strategy] = Registry("strategy", "router.strategies")
